"""A fitted network with its coordinates, units, initial images and provenance, and its file format."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import FileReadError
from ..core.fallback import FallbackDevice, release_memory, retry_smaller
from ..core.progress import Monitor
from ..image.grid import Grid
from ..io.files import check_ours, replaced_together
from ..weights.safetensors_format import decode, encode
from .initial_images import InitialImages
from .networks import FeatureGrids, build, parameter_count
from .presets import Architecture

FORMAT = "multicontrastsr subject model 1"
_AT_ONCE = 6e9  # multiplications between checks for a cancel: about a tenth of a second on a CPU
_MOST, _MOST_ON_CPU = 1 << 18, 1 << 15  # points at once
_FEWEST = 64


@dataclass(frozen=True)
class Contrast:
    """One output of a network: intensity = zero + low + scale · output; corrections are multiplied by `correction`.

    Initial images do not include `zero`, which is 0 but for scans far from zero (`image.offset`).
    """

    name: str
    low: float
    scale: float
    correction: float = 1.0
    zero: float = 0.0


@dataclass(eq=False)
class SubjectModel:
    """A continuous image of one patient in several contrasts.

    Attributes:
        architecture: of the network.
        center, size: RAS mm: the box around all scans; its longest side is normalised to −1 … 1.
        contrasts: one per output.
        provenance: JSON-able: scans, settings, what ended the fit, its curve.
        seed: of the random weights.
        initial: the images that the network corrects; None when its outputs are the images.
        network: on the CPU while no fit runs.
    """

    architecture: Architecture
    center: np.ndarray
    size: np.ndarray
    contrasts: tuple[Contrast, ...]
    provenance: dict[str, object] = field(default_factory=dict)
    seed: int = 0
    initial: InitialImages | None = None

    def __post_init__(self) -> None:
        self.network = build(self.architecture, self.size, float(self.size.max()), self.seed)

    @property
    def half(self) -> float:
        """Length of one normalised unit in mm."""
        return float(self.size.max()) / 2

    @property
    def nbytes(self) -> int:
        """Memory of weights and initial images, in bytes."""
        modules = [self.network] if self.initial is None else [self.network, self.initial]
        tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
        images = [] if self.initial is None else self.initial.images
        return sum(t.nbytes for t in (*tensors, *images))

    def set_initial_images(self, images: Sequence[np.ndarray], lattice: Grid) -> None:
        """Make the network a correction, at first of 0, to `images` on `lattice`, in the scans' units less `zero`."""
        self.initial = InitialImages(images, lattice, self)
        self.network.zero_outputs()

    def normalised(self, positions: np.ndarray) -> Tensor:
        """RAS mm (…, 3) as the network takes them."""
        return torch.from_numpy(((positions - self.center) / self.half).astype(np.float32))

    def _slab(self, grid: Grid, first: int, depth: int, device: str) -> Tensor:
        """The positions (p, 3) of up to `depth` slices of `grid` from slice `first`, normalised, made on `device`."""
        shape = (min(depth, grid.shape[0] - first), *grid.shape[1:])
        steps = grid.affine[:3, 2::-1].T / self.half  # of k, j, i
        along = [np.arange(n)[:, None] * step for n, step in zip(shape, steps, strict=True)]
        along[0] += (grid.positions(np.array([first, 0, 0])) - self.center) / self.half
        k, j, i = (torch.from_numpy(part.astype(np.float32)).to(device) for part in along)
        return (k[:, None, None] + j[:, None] + i).reshape(-1, 3)

    def output(self, positions: Tensor) -> tuple[Tensor | None, Tensor]:
        """(initial image or None, output of the network), each (p, contrasts), at normalised positions (p, 3)."""
        if self.initial is None:
            return None, self.network(positions)
        base, conditions, weight = self.initial.read(positions)
        return base, self.network(positions, conditions) * weight

    def points_at_once(self, device: str, passes: int = 1) -> int:
        """How many points to compute at once. `passes`: 1, or 3 with gradients."""
        dense = parameter_count(self.network)
        dense -= sum(p.numel() for m in self.network.modules() if isinstance(m, FeatureGrids) for p in m.parameters())
        most = min(_MOST_ON_CPU, _AT_ONCE / (dense * passes)) if device == "cpu" else _MOST
        return int(max(_FEWEST, most))

    def query(self, positions: np.ndarray, device: str = "cpu", monitor: Monitor | None = None) -> np.ndarray:
        """Intensities (p, contrasts), in the scans' units, at RAS mm (p, 3)."""
        computing = FallbackDevice(device, "the fitted network")
        base, found = computing.run(partial(self._read, self.normalised(positions), monitor=monitor or Monitor()))
        return self._scaled(base, found) + np.array([c.zero for c in self.contrasts], np.float32)

    def images(self, grid: Grid, device: str = "cpu", monitor: Monitor | None = None) -> list[np.ndarray]:
        """The image of every contrast on `grid`, (k, j, i), in the scans' units; computed a few slices at once.

        On their own lattice the initial images are not interpolated.
        """
        found, _ = self.images_with_warnings(grid, device, monitor)
        return found

    def images_with_warnings(
        self, grid: Grid, device: str = "cpu", monitor: Monitor | None = None
    ) -> tuple[list[np.ndarray], tuple[str, ...]]:
        """(`images`, warnings for the report about a device that ran out of memory or failed)."""
        computing = FallbackDevice(device, "the fitted network")
        images = computing.run(partial(self._images, grid, monitor or Monitor()))
        for image, contrast in zip(images, self.contrasts, strict=True):
            image += contrast.zero
        return images, computing.warnings

    def _images(self, grid: Grid, monitor: Monitor, device: str) -> list[np.ndarray]:
        """`images`, less `zero`."""
        _, scale, correction = self._units()
        exact = self.initial is not None and grid.same_as(self.initial.lattice)
        images = [image.copy() if exact else np.empty(grid.shape, np.float32) for image in self._templates()]
        if exact and not correction.any():
            return images
        depth = max(1, (1 << 18) // (grid.shape[1] * grid.shape[2]))
        with self.placed(device):
            for k in range(0, grid.shape[0], depth):
                part = monitor.part(k / grid.shape[0], min(1.0, (k + depth) / grid.shape[0]))
                base, found = self._read(self._slab(grid, k, depth, device), device, part)
                values = found * scale if exact else self._scaled(base, found)
                for image, column in zip(images, values.T, strict=True):
                    block = column.reshape(-1, *grid.shape[1:])
                    image[k : k + depth] = image[k : k + depth] + block if exact else block
        return images

    def _templates(self) -> Sequence[np.ndarray | None]:
        return [None] * len(self.contrasts) if self.initial is None else self.initial.images

    def _read(self, positions: Tensor, device: str, monitor: Monitor) -> tuple[np.ndarray | None, np.ndarray]:
        """(initial image or None, correction), each (p, contrasts) in units of 0 to 1, at normalised positions (p, 3).

        Args:
            positions: on the device or in host memory.
        """
        base = None if self.initial is None else np.empty((len(positions), len(self.contrasts)), np.float32)
        found = np.empty((len(positions), len(self.contrasts)), np.float32)
        step = self.points_at_once(device)
        with self.placed(device), torch.inference_mode():
            for first in range(0, len(positions), step):
                monitor.update(first / len(positions))
                part = slice(first, first + step)
                self._read_part(positions[part], None if base is None else base[part], found[part], device)
        return base, found

    def _read_part(self, positions: Tensor, base: np.ndarray | None, found: np.ndarray, device: str) -> None:
        """Fill `base` and `found` for some positions."""

        def whole() -> None:
            initial, output = self.output(positions.to(device))
            found[:] = output.cpu().numpy() * self._units()[2]
            if base is not None:
                base[:] = initial.cpu().numpy()

        def halves() -> None:
            for part in (slice(None, half), slice(half, None)):
                self._read_part(positions[part], None if base is None else base[part], found[part], device)

        half = len(positions) // 2
        retry_smaller(whole, halves if half >= _FEWEST else None, device)

    def _scaled(self, base: np.ndarray | None, found: np.ndarray) -> np.ndarray:
        """Intensities less `zero`."""
        low, scale, _ = self._units()
        return (found if base is None else base + found) * scale + low

    def _units(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        table = np.array([(c.low, c.scale, c.correction) for c in self.contrasts], np.float32)
        return table[:, 0], table[:, 1], table[:, 2]

    @contextmanager
    def placed(self, device: str) -> Iterator[None]:
        """A context in which `network` and `initial` are copies on `device`.

        Unless it ends by an error, the copy's weights are kept.
        """
        if next(self.network.parameters()).device == torch.device(device):
            yield
            return
        before = self.network, self.initial
        try:
            self.network, self.initial = (None if part is None else _copy_on(device, part) for part in before)
            yield
            weights = {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}
        finally:
            self.network, self.initial = before
            release_memory(device)
        self.network.load_state_dict(weights)

    # ------------------------------------------------------------------ files

    @staticmethod
    def check_place(place: Path) -> None:
        """Raise `FileWriteError` where the description of a model at `place` would replace a file that is none."""
        check_ours(place.with_suffix(".json"), "format", FORMAT)

    def save(self, path: str | Path) -> tuple[Path, Path]:
        """Write `path` (.safetensors, complete in itself) and its description (.json), both or none; their paths.

        Raises:
            FileWriteError: they cannot be written, or the description would replace a file that is none.
        """
        place = Path(path)
        self.check_place(place)
        tensors = {f"network.{name}": t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        about = {
            "format": FORMAT,
            "plan": asdict(self.architecture),
            "center_ras_mm": self.center.tolist(),
            "size_mm": self.size.tolist(),
            "seed": self.seed,
            "contrasts": [asdict(c) for c in self.contrasts],
            "provenance": self.provenance,
        }
        if self.initial is not None:
            tensors |= {f"start.{number}": image for number, image in enumerate(self.initial.images)}
            about["start"] = {"shape": self.initial.lattice.shape, "affine": self.initial.lattice.affine.tolist()}
        described = json.dumps(about, indent=2, allow_nan=False)
        side = place.with_suffix(".json")
        with replaced_together(place, side) as (numbers, text):
            numbers.write_bytes(encode(tensors, {"model": described}))
            text.write_text(described + "\n", encoding="utf-8")
        return place, side

    @classmethod
    def load(cls, path: str | Path) -> SubjectModel:
        """Read a file of `save`.

        Raises:
            FileReadError: missing, or not a subject model of this version.
        """
        try:
            tensors, texts = decode(Path(path).read_bytes())
            about = json.loads(texts["model"])
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']!r}; expected {FORMAT!r}")
            return cls._from(about, tensors)
        except OSError as error:
            reason = error.strerror or str(error)
        except KeyError as error:
            reason = f"{error} is missing in it"
        except (ValueError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
        raise FileReadError(
            f"Subject model {path} cannot be used ({reason}); expected a .safetensors file of `multicontrastsr fit`."
        )

    @classmethod
    def _from(cls, about: Mapping, tensors: Mapping[str, np.ndarray]) -> SubjectModel:
        architecture = Architecture(**{**about["plan"], "levels": tuple(about["plan"]["levels"])})
        contrasts = tuple(Contrast(**c) for c in about["contrasts"])
        center, size = np.array(about["center_ras_mm"]), np.array(about["size_mm"])
        model = cls(architecture, center, size, contrasts, about["provenance"], about["seed"])
        if "start" in about:
            lattice = Grid(about["start"]["shape"], np.array(about["start"]["affine"]))
            model.set_initial_images([np.array(tensors[f"start.{n}"]) for n in range(len(contrasts))], lattice)
        names = [name for name in tensors if name.startswith("network.")]
        state = {name.partition(".")[2]: torch.from_numpy(tensors[name].copy()) for name in names}
        model.network.load_state_dict(state)
        return model


def _copy_on(device: str, module: nn.Module) -> nn.Module:
    """A copy of `module` with its tensors on `device`; arrays are shared."""
    memo: dict[int, object] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        moved = tensor.detach().to(device)
        memo[id(tensor)] = nn.Parameter(moved, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else moved
    if isinstance(module, InitialImages):
        memo |= {id(image): image for image in module.images}
    return copy.deepcopy(module, memo)
