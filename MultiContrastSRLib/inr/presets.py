"""Settings of a fit by name: the published one, and faster ones that correct the result of joint non-local means."""

from __future__ import annotations

from dataclasses import dataclass

VARIANTS = ("split-head", "vanilla", "single-contrast")


@dataclass(frozen=True)
class Architecture:
    """A coordinate network.

    Attributes:
        encoding: "fourier" (random frequencies) or "grid" (dense grids of learned features, coarse to fine).
        variant: "split-head" (common trunk, a head per contrast), "vanilla" (common to the last layer) or
            "single-contrast" (an independent network per contrast).
        contrasts: number of outputs.
        width, depth: of the trunk: `depth` linear layers, each followed by ReLU.
        frequencies, sigma: Fourier: half the number of features, and their standard deviation.
        levels: grid: spacing of each level in mm, coarsest first.
        features: grid: number of features of a level.
        conditions: number of further inputs, from the initial images: see `InitialImages`.
    """

    encoding: str = "fourier"
    variant: str = "split-head"
    contrasts: int = 2
    width: int = 1024
    depth: int = 5
    frequencies: int = 256
    sigma: float = 4.0
    levels: tuple[float, ...] = ()
    features: int = 0
    conditions: int = 0


@dataclass(frozen=True)
class Preset:
    """How a network is made and fitted.

    Attributes:
        start: correct initial images, which joint total variation reconstructs, instead of fitting the images.
        rounds: of non-local means that refine the initial images.
        slab: average the network over each sample's slice profile; else it is evaluated at the sample's centre.
        batch: acquired samples a step, of all contrasts together.
        epochs: passes over the fitted samples, at most.
        rate: Adam's learning rate; falls to 0 along a cosine.
        roughness: weight of the variance of the correction across a slab.
        averaging: decay of the moving average of the weights; 0 is no average.
        foreground: leave out samples of the empty background.
        opening: share of the epochs in which finer levels of a grid are activated one after the other.
    """

    encoding: str
    width: int
    depth: int
    levels: tuple[float, ...]
    features: int
    start: bool
    rounds: int
    slab: bool
    batch: int
    epochs: int
    rate: float
    roughness: float
    averaging: float
    foreground: bool
    opening: float


PRESETS = {
    "fast": Preset("grid", 32, 2, (16.0, 8.0, 4.0), 4, True, 4, True, 8192, 3, 5e-3, 0.05, 0.98, True, 0.4),
    "balanced": Preset("grid", 64, 2, (16.0, 8.0, 4.0, 2.0), 4, True, 4, True, 8192, 20, 4e-3, 0.05, 0.99, True, 0.4),
    "paper": Preset("fourier", 1024, 5, (), 0, False, 0, False, 1000, 50, 4e-4, 0.0, 0.0, False, 0.0),
}


@dataclass(frozen=True)
class Settings:
    """A preset and further choices of the caller.

    Attributes:
        stop: "plateau" (of mutual information or loss, whichever comes first), "information", "loss" or "never".
        max_seconds: time limit of the fit with its initial images; 0 is none.
        precision: "float32", or "bfloat16" for the layers while they are fitted.
    """

    preset: Preset
    variant: str = "split-head"
    stop: str = "plateau"
    max_seconds: float = 0.0
    seed: int = 0
    precision: str = "float32"

    def architecture(self, contrasts: int) -> Architecture:
        """The network for so many contrasts."""
        p = self.preset
        conditions = 2 * contrasts if p.start else 0
        return Architecture(
            p.encoding, self.variant, contrasts, p.width, p.depth, levels=p.levels, features=p.features,
            conditions=conditions,
        )  # fmt: skip
