"""Training recipes: all settings of a training run as frozen dataclasses.

A recipe names the network, the data, the degradation of the ground truth, the augmentation, the loss and the
optimisation. Checkpoints and model cards contain the whole recipe, so that a training run can be repeated from either.
`recipe_file` reads recipes from TOML files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ..core.errors import InputError
from ..networks.spec import Spec
from .recipe_checks import recipe_problems


@dataclass(frozen=True)
class Source:
    """Scans of several subjects.

    Attributes:
        part: "train" or "validation".
        contrasts: contrast → path below the data folder, with `{subject}` and wildcards; at least two contrasts.
        subjects: subjects to use; empty uses all that are found.
        exclude: subjects to leave out.
        validation_share: share of the subjects, evenly spaced, that are used for validation instead.
        targets: contrasts to super-resolve; empty uses each contrast in turn.
        register: "off", "auto" or "on", see `alignment.align`.
        planes: "slices" uses the acquired slices only, "all" slices isotropic scans along all three axes.
        slice_step: keep every n-th slice, for scans that are sliced along one axis.
        spacing: smallest voxel spacing in mm; finer scans are cropped in k-space to it. 0 keeps the measured spacing.
    """

    part: str = "train"
    contrasts: Mapping[str, str] = field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    validation_share: float = 0.0
    targets: tuple[str, ...] = ()
    register: str = "off"
    planes: str = "slices"
    slice_step: int = 1
    spacing: float = 0.0


@dataclass(frozen=True)
class Labels:
    """Label maps for synthetic contrasts. They are read when `Augmentation.synthetic` is above 0.

    Attributes:
        files: path below the data folder, with wildcards; empty for none.
        count: number of label maps to use, evenly spaced; 0 uses all.
        background: labels that are zero in a skull-stripped scan.
    """

    files: str = ""
    count: int = 0
    background: tuple[int, ...] = ()


@dataclass(frozen=True)
class Degradation:
    """How the low-resolution target is made from the ground truth.

    Attributes:
        scales: lowest and highest scale factor.
        scale_step: step between the scale factors that are drawn; 0 draws real numbers.
        scale_sampling: "uniform", or "log-uniform" (as many factors from 2 to 4 as from 3 to 6, real numbers).
        slice_sizes: sizes in pixels to which slices are padded or cropped, drawn for each axis; multiples of 24 in
            the P1 protocol.
        anisotropic: share of the batches with different factors along rows and columns.
        slab: share of the batches with thick slices along one axis and full resolution along the other.
        noise: largest standard deviation of the noise on the target, relative to the intensity range.
        magnitude: share of the examples whose target is the magnitude of a complex image, with noise in both parts.
        apodised: share of the batches whose target was filtered in k-space, weaker towards its border.
        eight_bit: share of the examples whose target is stored in 256 steps.
    """

    scales: tuple[float, float] = (1.0, 4.0)
    scale_step: float = 0.1
    scale_sampling: str = "uniform"
    slice_sizes: tuple[int, ...] = (192, 216)
    anisotropic: float = 0.0
    slab: float = 0.0
    noise: float = 0.0
    magnitude: float = 0.0
    apodised: float = 0.0
    eight_bit: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """How examples are varied. Values are shares of the examples (0 to 1) where nothing else is stated.

    Attributes:
        synthetic: examples generated from label maps.
        flips: random flips and 90° rotations of every example.
        hard_edges: slices that are cut at the border of the field of view instead of fading out.
        max_coarsening: largest factor by which the pixels of a slice are made coarser; 1 keeps them. By a crop of
            k-space: interpolation would take from the truths what a network has to learn.
        bias_field: examples with a smooth multiplicative field on each image.
        target_curve: target intensities mapped by a random monotone curve.
        intensity_curve: reference intensities mapped likewise.
        target_inversion: target intensities inverted.
        intensity_inversion: reference intensities inverted.
        max_shift: largest misregistration, in pixels of the ground truth.
        shifted: examples whose reference is misregistered as a whole.
        locally_shifted: examples whose reference is deformed.
        wrong_reference: examples whose reference is another slice.
        partly_wrong: examples whose reference is another slice in irregular regions.
        partly_absent: share of the batches whose reference is left out in irregular regions.
        no_reference: share of the batches without a reference.
        lesions: examples with lesions inserted into the target only, the reference only, or both.
        reference_lesions: share of the batches in which the second half repeats the first half with small structures
            inserted into the reference only. They measure how much of the reference leaks into the result.
        gain: largest relative error of the intensity normalisation.
        offset: largest error of its offset, relative to the intensity range.
    """

    synthetic: float = 0.0
    flips: bool = True
    hard_edges: float = 0.0
    max_coarsening: float = 1.0
    bias_field: float = 0.0
    target_curve: float = 0.0
    target_inversion: float = 0.0
    intensity_curve: float = 0.0
    intensity_inversion: float = 0.0
    max_shift: float = 0.0
    shifted: float = 0.0
    locally_shifted: float = 0.0
    wrong_reference: float = 0.0
    partly_wrong: float = 0.0
    partly_absent: float = 0.0
    no_reference: float = 0.0
    lesions: float = 0.0
    reference_lesions: float = 0.0
    gain: float = 0.0
    offset: float = 0.0


@dataclass(frozen=True)
class Loss:
    """Weights of the terms of the loss.

    loss = target · L1(target) + mse · MSE(target) + reference · L1(reconstructed reference) + kspace · K-loss
    + leakage · relative energy of structures that only the reference shows
    + relative · mean of the examples' MSE(target) / MSE(base image)

    Attributes:
        mse: weight of the mean squared error, which PSNR is the logarithm of. It emphasises large errors, and so high
            scale factors, more than L1 does.
        relative: weight of the squared error relative to that of the base image, so that every scale factor, pair of
            contrasts and slice counts alike. Only for networks with a base image.
        leakage: weight of `losses.leakage_loss`, in batches made by `Augmentation.reference_lesions`.
        kspace_norm: norm of the K-loss, "l1" or "l2".
        kspace_band: "lost" evaluates the K-loss at the frequencies that were cut off, "measured" at the others.
        data_consistency: apply data consistency to the output before the loss is computed. A patch is treated as a
            field of view of its own, which is exact except near its borders.
    """

    target: float = 1.0
    mse: float = 0.0
    reference: float = 0.0
    kspace: float = 0.0
    relative: float = 0.0
    leakage: float = 0.0
    kspace_norm: str = "l1"
    kspace_band: str = "lost"
    data_consistency: bool = False


@dataclass(frozen=True)
class Curriculum:
    """Stages of Dual-ArbNet's Cur-Random curriculum (Zhang et al., MICCAI 2023, Sec. 2.4), as shares of all steps.

    Attributes:
        warmup: integer factors 2, 3 and 4, reference at full resolution.
        prelearning: all factors, reference at full resolution.
        low_reference: after these stages, share of the batches whose reference has the target's resolution.
    """

    warmup: float = 0.0
    prelearning: float = 0.0
    low_reference: float = 0.0


@dataclass(frozen=True)
class Optimisation:
    """Optimiser, patch sizes, validation and checkpoint intervals.

    Attributes:
        steps: optimisation steps.
        initial_weights: weights to fine-tune from, used where name and shape of a tensor agree: a method whose
            weights ship, or a .safetensors file. Empty starts from random weights.
        freeze_initial_weights: keep the initial weights of a shipped method unchanged; the exported file refers to
            them instead of containing them.
        trainable: shell pattern of the names of the parameters to train ("head.*"); empty trains all.
        batch_size: examples in a batch.
        patch: side of the training patches in target pixels; 0 trains on whole slices.
        output_patch: side of the training patches in output pixels instead, so that every scale takes the same time;
            0 uses `patch`.
        whole_slices: share of the steps, at the end, on whole slices; global statistics of a patch differ from
            those of a slice.
        whole_slice_batch_size: examples in a batch of whole slices.
        learning_rate: of Adam.
        muon_learning_rate: of Muon, for the weights of the convolutions; 0 uses Adam for all parameters. Muon needs
            PyTorch 2.9.
        schedule: "cosine" to zero after `warmup` steps, "stable-decay" (constant, then linear to zero over the last
            `decay` of the steps), "halving" every `halve_every` steps, or "constant".
        warmup: steps of linear warm-up.
        restart: step at which the cosine begins again (SGDR, Loshchilov and Hutter, ICLR 2017), so that a training run
            that has ended can be prolonged; 0 for none.
        restart_share: of the learning rates, with which it begins again.
        ema_decay: decay of the exponential moving average of the weights, which is validated and exported.
        max_gradient_norm: gradient clipping; 0 does not clip.
        amp: "auto" (bfloat16 on GPUs and CPUs where it is faster), "bf16" or "off".
        max_skipped_steps: number of consecutive steps with non-finite gradients (which are skipped) that stops the
            training.
        validate_every, save_every: intervals in steps; `validate_every` 0 does not validate.
        validation_slices: validation slices of each pair of contrasts.
        validation_scales: scale factors for validation.
        seed: of weights, examples and augmentation.
    """

    steps: int = 100_000
    initial_weights: str = ""
    freeze_initial_weights: bool = False
    trainable: str = ""
    batch_size: int = 6
    patch: int = 32
    output_patch: int = 0
    whole_slices: float = 0.0
    whole_slice_batch_size: int = 1
    learning_rate: float = 1e-4
    muon_learning_rate: float = 0.0
    schedule: str = "cosine"
    warmup: int = 0
    restart: int = 0
    restart_share: float = 1.0
    decay: float = 0.25
    halve_every: int = 0
    ema_decay: float = 0.999
    max_gradient_norm: float = 0.0
    amp: str = "auto"
    max_skipped_steps: int = 10
    validate_every: int = 1000
    save_every: int = 1000
    validation_slices: int = 4
    validation_scales: tuple[float, ...] = (2.0, 4.0)
    seed: int = 0


@dataclass(frozen=True)
class About:
    """Texts for the model card.

    Attributes:
        title: title of the model.
        licence: licence of the weights.
        data: scans and label maps with their licences and citations.
        limits: what the weights are not intended for.
    """

    title: str = ""
    licence: str = ""
    data: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


PARTS = {
    "labels": Labels,
    "degradation": Degradation,
    "augmentation": Augmentation,
    "loss": Loss,
    "curriculum": Curriculum,
    "optimisation": Optimisation,
    "about": About,
}


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run.

    Raises:
        InputError: a value that is not possible.
    """

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
        for problem in recipe_problems(self):
            raise InputError(f"Recipe {self.name!r}: {problem} Correct the recipe.")

    def as_dict(self) -> dict[str, object]:
        """Nested tables of JSON types; `recipe_file.from_mapping` reads them."""
        parts = {name: asdict(getattr(self, name)) for name in PARTS}
        model, sources = self.spec.as_dict(), [asdict(s) for s in self.sources]
        return _json_types({"name": self.name, "model": model, "source": sources, **parts})


def _json_types(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _json_types(v) for key, v in value.items()}
    return [_json_types(v) for v in value] if isinstance(value, (tuple, list)) else value
