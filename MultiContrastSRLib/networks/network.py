"""The interface that all networks share: images and positions in, an image out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from ..core.errors import InputError
from .positions import Positions
from .spec import Spec
from .test_time_augmentation import enabled_transforms, mean_over_transforms, transform, transform_positions


class Network(nn.Module, ABC):
    """A network that super-resolves slices with the help of a reference.

    `forward` encodes both images and decodes an image at the output's positions. Encodings may be kept and decoded at
    other positions.

    All that depends on the network and not on the images is in `spec`: whether the scale is fixed
    (`Spec.fixed_scale`), the normalisation of intensities that the images must have (`Spec.normalisation`), the base
    image that is corrected (`Spec.base_image`) and the auxiliary image (`Spec.auxiliary_image`).

    Attributes:
        spec: the configuration.
        weights: SHA-256 of the file that its weights are from; empty where there is none.
        test_time_augmentation: over how many flips and transpositions `forward` averages, 1 to 8; see
            `test_time_augmentation`.
    """

    black_reference_is_none: ClassVar[bool] = False  # whether a reference of zeros gives the image without one
    reach: int | None = None  # output pixels that a correction depends on, the limit aside; None: the whole slice

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec, self.weights = spec, ""
        self.test_time_augmentation = 1

    def checked_base(self, base: Tensor | None) -> Tensor:
        """`base` as of `forward`.

        Raises:
            InputError: there is none, or it has another number of channels.
        """
        if base is None:
            raise InputError(
                "This network corrects a base image but none is given; pass `base` on the output's lattice."
            )
        if base.shape[1] != self.spec.base_channels:
            raise InputError(
                f"`base` has {base.shape[1]} channels; expected {self.spec.base_channels}. Pass the images "
                "that the network's configuration names."
            )
        return base

    @abstractmethod
    def encode_target(self, target: Tensor) -> Any:
        """The encoding of the target (B, C, h, w), for `decode`."""

    @abstractmethod
    def encode_reference(self, reference: Tensor) -> Any:
        """The encoding of the reference (B, C, any size), for `decode`; with `Spec.fixed_scale` (B, C, H, W)."""

    @abstractmethod
    def decode(self, target: Any, reference: Any | None, positions: Positions, *, base: Tensor | None = None) -> Tensor:
        """The image (B, C, H, W) at `positions` from the encodings; `base` as in `forward`."""

    def reconstruct_reference(self, reference: Any) -> Tensor | None:
        """The reference (B, C, its size) from its encoding, for a loss on it; None for networks without that output."""
        return None

    def forward(
        self, target: Tensor, reference: Tensor | None, positions: Positions, *, base: Tensor | None = None
    ) -> Tensor:
        """Super-resolve a batch of slices, with test-time augmentation where it is set.

        Args:
            target: (B, C, h, w), normalised, see `intensity`.
            reference: (B, C, any size), normalised; with a fixed scale (B, C, H, W). None without a reference.
            positions: of the H×W output pixels in the pixels of both images.
            base: (B, C, H, W), the image to correct, required where `spec` names a base image; with an auxiliary image
                (B, 2·C, H, W), that one last.

        Returns:
            (B, C, H, W), normalised as the target.

        Raises:
            InputError: there is no base image but the network needs one, or images or positions that do not agree.
        """
        count = enabled_transforms(self.test_time_augmentation)
        if count == 1:
            return self._encode_and_decode(target, reference, positions, base, reconstruct=False)[0]

        def predict(code: int) -> Tensor:
            there = transform_positions(
                positions, code, target.shape[-2:], None if reference is None else reference.shape[-2:]
            )
            low, other, image = (None if x is None else transform(x, code) for x in (target, reference, base))
            return self._encode_and_decode(low, other, there, image, reconstruct=False)[0].float()

        return mean_over_transforms(predict, count)

    def forward_with_reference(
        self, target: Tensor, reference: Tensor | None, positions: Positions, *, base: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(the image as of `forward`, `reconstruct_reference`): for training, without test-time augmentation."""
        return self._encode_and_decode(target, reference, positions, base, reconstruct=True)

    def _encode_and_decode(
        self, target: Tensor, reference: Tensor | None, positions: Positions, base: Tensor | None, *, reconstruct: bool
    ) -> tuple[Tensor, Tensor | None]:
        encoded = None if reference is None else self.encode_reference(reference)
        image = self.decode(self.encode_target(target), encoded, positions, base=base)
        return image, self.reconstruct_reference(encoded) if reconstruct and encoded is not None else None
