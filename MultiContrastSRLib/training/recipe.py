"""Recipes: everything that decides a training, as small frozen dataclasses.

A recipe names the network, the data, how truth is degraded, how examples are varied, the loss and the optimisation. A
checkpoint and a model card carry it whole, so that a training can be repeated from either. `recipe_file` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from ..core.errors import InputError
from ..networks.specs import SPECS, Spec


@dataclass(frozen=True)
class Source:
    """Scans of several subjects.

    Attributes:
        part: "train" or "validation".
        contrasts: contrast → path below the data folder, with `{subject}` and wildcards; at least two.
        subjects: which; empty takes all that are found.
        without: subjects to leave out.
        validation: share of the subjects that validate instead, evenly spread.
        targets: contrasts to super-resolve; empty takes each in turn.
        register: "off", "auto" or "on", see `alignment.align`.
        planes: "all" slices isotropic scans in three planes, "slices" takes the acquired slices only.
        every: keep every n-th slice (of scans that are sliced in one plane).
        spacing: mm; finer slices are brought to it in k-space. 0 keeps all that was measured.
    """

    part: str = "train"
    contrasts: Mapping[str, str] = field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    validation: float = 0.0
    targets: tuple[str, ...] = ()
    register: str = "off"
    planes: str = "slices"
    every: int = 1
    spacing: float = 0.0


@dataclass(frozen=True)
class Labels:
    """Label maps for synthetic contrasts.

    Attributes:
        files: path below the data folder, with wildcards.
        count: how many of them to take, evenly spread; 0 takes all.
        background: labels that a skull-stripped scan shows as zero.
    """

    files: str = ""
    count: int = 0
    background: tuple[int, ...] = ()


@dataclass(frozen=True)
class Degradation:
    """How the truth becomes the target.

    Attributes:
        scales: lowest and highest factor. step: their grid; 0 draws real numbers.
        even: "difference" draws all factors alike; "ratio" as many from 2 to 4 as from 3 to 6, real numbers.
        canvas: sizes of the slices, of which one is drawn an axis; multiples of 24 in the P1 protocol.
        anisotropic: share of batches with another factor on each axis.
        slab: share of batches with thick slices along one axis instead, and nothing along the other.
        noise: largest standard deviation of noise on the target, relative to its range.
    """

    scales: tuple[float, float] = (1.0, 4.0)
    step: float = 0.1
    even: str = "difference"
    canvas: tuple[int, ...] = (192, 216)
    anisotropic: float = 0.0
    slab: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """How examples are varied. Shares of examples, 0 to 1, unless said otherwise.

    Attributes:
        synthetic: made of label maps.
        flips: mirror and turn, always with equal chances.
        curve: reference intensities bent by a random monotone curve; invert: turned around.
        shift: largest misregistration in pixels of the truth. shifted: share that is misregistered.
        wrong: with the reference of another slice. missing: batches without a reference.
        lesions: with lesions drawn into one image only, or both.
        planted: batches of which half are the other half with small structures planted in the reference alone.
        gain: largest relative change of the intensities that normalisation leaves.
    """

    synthetic: float = 0.0
    flips: bool = True
    curve: float = 0.0
    invert: float = 0.0
    shift: float = 0.0
    shifted: float = 0.0
    wrong: float = 0.0
    missing: float = 0.0
    lesions: float = 0.0
    planted: float = 0.0
    gain: float = 0.0


@dataclass(frozen=True)
class Loss:
    """What is minimised: target · L1(target) + square · MSE(target) + reference · L1(auxiliary reference)
    + kspace · K-loss + leak · energy of what only the reference has.

    Attributes:
        square: weight of the mean squared error, which PSNR is the logarithm of. It heeds large errors, and so strong
            downscaling, more than L1 does.
        consistent: judge what data consistency leaves of the error. A patch is taken for a field of view of its own,
            which is exact but for its borders.
        leak: weight of `losses.leak_loss`, in batches that `Augmentation.planted` makes.
        norm: "l1" or "l2" of the K-loss. band: "lost" counts the frequencies that were cut off, "measured" the others.
    """

    target: float = 1.0
    square: float = 0.0
    reference: float = 0.0
    kspace: float = 0.0
    leak: float = 0.0
    norm: str = "l1"
    band: str = "lost"
    consistent: bool = False


@dataclass(frozen=True)
class Curriculum:
    """Stages of Dual-ArbNet's Cur-Random as shares of all steps; zeros train fully from the start.

    Attributes:
        warmup: whole factors, reference at full resolution. prelearning: all factors, reference at full resolution.
        low_reference: afterwards, share of batches whose reference has the target's resolution.
    """

    warmup: float = 0.0
    prelearning: float = 0.0
    low_reference: float = 0.0


@dataclass(frozen=True)
class Optimisation:
    """The optimiser and its surroundings.

    Attributes:
        start: where weights of the same names and shapes are taken from: a method's shipped ones, or a .safetensors
            file. Empty begins at random.
        frozen: weights taken from a method's shipped ones stay as they are; the exported file does not repeat them.
        only: names of the parameters that are trained, as a shell pattern ("correction.further.0.*": those of the
            second scale that has a set of its own); empty trains all.
        rate: of Adam. matrix_rate: of Muon, to which the weights of convolutions are then given; 0 leaves all to Adam.
        schedule: "cosine" to zero after `warmup` steps, "halving" every `halve` steps, or "constant".
        patch: side of the target patches; 0 trains on whole slices.
        window: side of the patches in the output instead, so that every scale costs the same; 0 for `patch`.
        whole: share of the steps, the last ones, on whole slices after all: statistics of a slice are not a patch's.
        whole_batch: slices in a batch of those.
        ema: decay of the averaged weights, which are what is validated and exported.
        clip: largest norm of the gradient; 0 does not clip.
        amp: "auto" (bfloat16 on GPUs that have it and CPUs with AMX, which are faster by it), "bf16" or "off".
        patience: steps in a row whose gradient may be not finite (each is skipped) before training stops.
        validate, save: every so many steps.
        slices: validation slices a pair.
        validation_scales: factors at which they are scored.
    """

    steps: int = 100_000
    start: str = ""
    frozen: bool = False
    only: str = ""
    batch: int = 6
    patch: int = 32
    window: int = 0
    whole: float = 0.0
    whole_batch: int = 1
    rate: float = 1e-4
    matrix_rate: float = 0.0
    schedule: str = "cosine"
    warmup: int = 0
    halve: int = 0
    ema: float = 0.999
    clip: float = 0.0
    amp: str = "auto"
    patience: int = 10
    validate: int = 1000
    save: int = 1000
    slices: int = 4
    validation_scales: tuple[float, ...] = (2.0, 4.0)
    seed: int = 0


@dataclass(frozen=True)
class About:
    """What the model card says of the weights beyond numbers.

    Attributes:
        title: of the model. licence: of the weights.
        data: scans and label maps with their licences and citations. limits: what the weights were not made for.
    """

    title: str = ""
    licence: str = ""
    data: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A whole training; see the parts."""

    name: str
    spec: Spec
    sources: tuple[Source, ...]
    labels: Labels = Labels()
    degradation: Degradation = Degradation()
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    curriculum: Curriculum = Curriculum()
    optimisation: Optimisation = Optimisation()
    about: About = About()

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise InputError(f"Recipe {self.name!r}: {problem} Correct the recipe.")

    def as_dict(self) -> dict[str, object]:
        """JSON-able, and what `from_mapping` reads."""
        parts = {name: asdict(getattr(self, name)) for name in PARTS}
        model, sources = self.spec.as_dict(), [asdict(s) for s in self.sources]
        return _plain({"name": self.name, "model": model, "source": sources, **parts})


PARTS = {
    "labels": Labels,
    "degradation": Degradation,
    "augmentation": Augmentation,
    "loss": Loss,
    "curriculum": Curriculum,
    "optimisation": Optimisation,
    "about": About,
}


def _problems(recipe: Recipe) -> Iterator[str]:
    """Values that cannot be worked with, as sentences."""
    d, a, o, c = recipe.degradation, recipe.augmentation, recipe.optimisation, recipe.curriculum
    shares = {
        **{f"augmentation.{n}": getattr(a, n) for n in ("synthetic", "curve", "invert", "shifted", "wrong", "missing")},
        "augmentation.lesions": a.lesions,
        "augmentation.planted": a.planted,
        "augmentation.gain": a.gain,
        "source.validation": max((s.validation for s in recipe.sources), default=0.0),
        "degradation.anisotropic": d.anisotropic,
        "degradation.slab": d.slab,
        "curriculum.warmup": c.warmup,
        "curriculum.prelearning": c.prelearning,
        "curriculum.low_reference": c.low_reference,
        "optimisation.whole": o.whole,
    }
    for name, value in shares.items():
        if not 0 <= value <= 1:
            yield f"{name} is {value}; expected a share from 0 to 1."
    choices = [
        ("loss.norm", recipe.loss.norm, ("l1", "l2")),
        ("loss.band", recipe.loss.band, ("lost", "measured")),
        ("degradation.even", d.even, ("difference", "ratio")),
        ("optimisation.schedule", o.schedule, ("cosine", "halving", "constant")),
        ("optimisation.amp", o.amp, ("auto", "bf16", "off")),
        *(("source.part", s.part, ("train", "validation")) for s in recipe.sources),
        *(("source.register", s.register, ("off", "auto", "on")) for s in recipe.sources),
        *(("source.planes", s.planes, ("all", "slices")) for s in recipe.sources),
    ]
    for name, value, allowed in choices:
        if value not in allowed:
            yield f"{name} is {value!r}; expected one of {', '.join(allowed)}."
    for source in recipe.sources:
        if len(source.contrasts) < 2:
            yield f"a source names {len(source.contrasts)} contrasts; expected at least two."
        if not set(source.targets) <= set(source.contrasts):
            yield f"source.targets is {list(source.targets)}; expected some of {', '.join(source.contrasts)}."
        if source.every < 1:
            yield f"source.every is {source.every}; expected 1 or more."
    if len(d.scales) != 2 or not 1 <= d.scales[0] <= d.scales[-1]:
        yield f"degradation.scales is {list(d.scales)}; expected the lowest and the highest factor, from 1 on."
    if min(d.canvas, default=0) < 16:
        yield f"degradation.canvas is {list(d.canvas)}; expected sizes of at least 16."
    leasts = {"steps": 1, "batch": 1, "whole_batch": 1, "patience": 1, "save": 1}
    for name, least in {**leasts, "validate": 0, "patch": 0, "window": 0}.items():
        if getattr(o, name) < least:
            yield f"optimisation.{name} is {getattr(o, name)}; expected {least} or more."
    if o.matrix_rate < 0:
        yield f"optimisation.matrix_rate is {o.matrix_rate}; expected 0 or a number above it."
    if o.rate <= 0:
        yield f"optimisation.rate is {o.rate}; expected a number above 0."
    if o.frozen and o.start not in SPECS:
        yield f"optimisation.frozen is true, and start is {o.start!r}; expected a method whose weights ship."
    if o.schedule == "halving" and o.halve < 1:
        yield f"optimisation.halve is {o.halve}; expected the steps between halvings."
    if recipe.spec.in_channels != 1:
        yield f"the model has {recipe.spec.in_channels} channels; expected 1: training is on magnitude images."
    yield from _fixed_scale_problems(recipe)


def _fixed_scale_problems(recipe: Recipe) -> Iterator[str]:
    """What a network of one scale, with the reference on the output's grid, cannot be trained on."""
    fixed = getattr(recipe.spec, "scale", None)
    if fixed is None:
        return
    d = recipe.degradation
    if d.scales != (fixed, fixed) or d.slab or d.anisotropic:
        yield f"degradation.scales is {list(d.scales)}; expected [{fixed}, {fixed}], with slab and anisotropic at 0."
    if any(n % (2 * fixed) for n in d.canvas):
        yield f"degradation.canvas is {list(d.canvas)}; expected multiples of {2 * fixed}: first pixels coincide then."
    if recipe.curriculum.low_reference:
        yield "curriculum.low_reference is above 0; expected 0: this network's reference lies on the output's grid."


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value
