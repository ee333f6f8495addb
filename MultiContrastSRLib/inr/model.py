"""A fitted network with all that gives its numbers a meaning: coordinates, units, start and provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import FileReadError
from ..core.progress import Monitor
from ..image.grid import Grid
from ..io.files import replaced_together
from ..weights.file import decode, encode
from .networks import Grids, build, parameters
from .presets import Architecture

FORMAT = "multicontrastsr subject model 1"
_AT_ONCE = 6e9  # multiplications: a tenth of a second or so on a CPU, so that a cancel is heard
_MOST = {"cpu": 1 << 15, "cuda": 1 << 18}  # points at once
_EMPTY = 0.05  # of a contrast's range: a start below it is background, which no correction touches


@dataclass(frozen=True)
class Contrast:
    """One output of a network: its name, and intensity = low + scale · output; a correction counts `correction`."""

    name: str
    low: float
    scale: float
    correction: float = 1.0


class Start(nn.Module):
    """Images on a lattice that the network corrects, and reads its conditions from.

    Per contrast two conditions: the image, and what it has over the mean of its neighbours. Both in units of 0 to 1.
    """

    def __init__(self, images: Sequence[np.ndarray], lattice: Grid, model: SubjectModel) -> None:
        super().__init__()
        self.lattice, self.images = lattice, list(images)
        scaled = [
            torch.from_numpy((image - c.low) / np.float32(c.scale)).float()
            for image, c in zip(images, model.contrasts, strict=True)
        ]
        channels = []
        for image in scaled:
            # replicated at the edges, so that these are none
            mean = functional.avg_pool3d(functional.pad(image[None, None], (1,) * 6, mode="replicate"), 3, 1)[0, 0]
            channels += [image, image - mean]
        inside = torch.stack(scaled).amax(dim=0) > _EMPTY
        wide = functional.max_pool3d(inside[None, None].float(), 5, 1, 2)
        channels.append(functional.avg_pool3d(functional.pad(wide, (1,) * 6, mode="replicate"), 3, 1)[0, 0])
        self.register_buffer("volume", torch.stack(channels)[None])
        # normalised position → places of grid_sample: lattice index / half of the last one − 1, in the order (i, j, k)
        half = np.maximum(np.array(lattice.shape) - 1, 1) / 2
        origin = lattice.indices(model.center) / half - 1
        slope = np.stack([lattice.indices(model.center + e * model.half) / half - 1 - origin for e in np.eye(3)])
        self.register_buffer("slope", torch.from_numpy(slope[:, ::-1].copy()).float())
        self.register_buffer("origin", torch.from_numpy(origin[::-1].copy()).float())

    def read(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(images (p, contrasts), conditions (p, 2 · contrasts), share of the correction (p, 1)) at (p, 3)."""
        places = (positions @ self.slope + self.origin)[None, None, None]
        read = functional.grid_sample(self.volume, places, align_corners=True, padding_mode="border")[0, :, 0, 0].T
        return read[:, :-1:2], read[:, :-1], read[:, -1:]


@dataclass(eq=False)
class SubjectModel:
    """A continuous image of one patient in several contrasts.

    Attributes:
        plan: what the network is.
        center, size: RAS mm: the box around all scans; its longest side is normalised to −1 … 1.
        contrasts: one per output.
        provenance: JSON-able: scans, settings, how the fit went.
        network: on the CPU when no fit runs.
        start: what the network corrects; None when it is the image itself.
    """

    plan: Architecture
    center: np.ndarray
    size: np.ndarray
    contrasts: tuple[Contrast, ...]
    provenance: dict[str, object] = field(default_factory=dict)
    seed: int = 0
    start: Start | None = None

    def __post_init__(self) -> None:
        self.network = build(self.plan, self.size, float(self.size.max()), self.seed)

    @property
    def half(self) -> float:
        """mm of one normalised unit."""
        return float(self.size.max()) / 2

    def begin_from(self, images: Sequence[np.ndarray], lattice: Grid) -> None:
        """Make the network a correction, of nothing yet, to `images` on `lattice`, in the scans' units."""
        self.start = Start(images, lattice, self)
        self.network.silence()

    def normalised(self, positions: np.ndarray) -> Tensor:
        """RAS mm (…, 3) as the network takes them."""
        return torch.from_numpy(((positions - self.center) / self.half).astype(np.float32))

    def output(self, positions: Tensor) -> tuple[Tensor | None, Tensor]:
        """(start or None, the network's output), each (p, contrasts), at normalised positions, on their device."""
        if self.start is None:
            return None, self.network(positions)
        base, conditions, share = self.start.read(positions)
        return base, self.network(positions, conditions) * share

    def at_once(self, device: str, passes: int = 1) -> int:
        """How many points to work on at once. `passes`: 3 when there is a way back."""
        dense = parameters(self.network)
        dense -= sum(p.numel() for m in self.network.modules() if isinstance(m, Grids) for p in m.parameters())
        kind = device.partition(":")[0]
        limit = _AT_ONCE / (dense * passes) if kind == "cpu" else np.inf
        return int(max(64, min(_MOST[kind], limit)))

    def query(self, positions: np.ndarray, device: str = "cpu", monitor: Monitor | None = None) -> np.ndarray:
        """Intensities (p, contrasts), in the scans' units, at RAS mm (p, 3)."""
        low, scale, _ = self._units()
        base, found = self._read(positions, device, monitor or Monitor())
        return (found if base is None else base + found) * scale + low

    def images(self, grid: Grid, device: str = "cpu", monitor: Monitor | None = None) -> list[np.ndarray]:
        """The image of every contrast, in the scans' units, at the points of `grid`; in streams of a few slices.

        On the start's own lattice the start is not interpolated: there the correction is added to it as it is.
        """
        monitor = monitor or Monitor()
        _, scale, correction = self._units()
        exact = self.start is not None and grid.same_as(self.start.lattice)
        images = [image.copy() if exact else np.empty(grid.shape, np.float32) for image in self._templates()]
        if exact and not correction.any():
            return images
        depth = max(1, (1 << 18) // (grid.shape[1] * grid.shape[2]))
        for k in range(0, grid.shape[0], depth):
            part = monitor.part(k / grid.shape[0], min(1.0, (k + depth) / grid.shape[0]))
            index = np.indices((min(depth, grid.shape[0] - k), *grid.shape[1:])).reshape(3, -1).T + (k, 0, 0)
            positions = grid.positions(index)
            values = self._read(positions, device, part)[1] * scale if exact else self.query(positions, device, part)
            for image, column in zip(images, values.T, strict=True):
                block = column.reshape(-1, *grid.shape[1:])
                image[k : k + depth] = image[k : k + depth] + block if exact else block
        return images

    def _templates(self) -> Sequence[np.ndarray | None]:
        return [None] * len(self.contrasts) if self.start is None else self.start.images

    def _read(self, positions: np.ndarray, device: str, monitor: Monitor) -> tuple[np.ndarray | None, np.ndarray]:
        """(start or None, what the network adds to it), each (p, contrasts) in units of 0 to 1, at RAS mm (p, 3)."""
        _, _, correction = self._units()
        base = None if self.start is None else np.empty((len(positions), len(self.contrasts)), np.float32)
        found = np.empty((len(positions), len(self.contrasts)), np.float32)
        step = self.at_once(device)
        with self.placed(device), torch.inference_mode():
            for first in range(0, len(positions), step):
                monitor.update(first / len(positions))
                part = slice(first, first + step)
                start, output = self.output(self.normalised(positions[part]).to(device))
                found[part] = output.cpu().numpy() * correction
                if base is not None:
                    base[part] = start.cpu().numpy()
        return base, found

    def _units(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        table = np.array([(c.low, c.scale, c.correction) for c in self.contrasts], np.float32)
        return table[:, 0], table[:, 1], table[:, 2]

    def placed(self, device: str) -> _Placed:
        """A context in which network and start are on `device`; afterwards they are where they were."""
        return _Placed(self, device)

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> tuple[Path, Path]:
        """Write `path` (.safetensors, complete in itself) and its description beside it (.json), both or none."""
        place = Path(path)
        tensors = {f"network.{name}": t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        about = {
            "format": FORMAT,
            "plan": asdict(self.plan),
            "center_ras_mm": self.center.tolist(),
            "size_mm": self.size.tolist(),
            "seed": self.seed,
            "contrasts": [asdict(c) for c in self.contrasts],
            "provenance": self.provenance,
        }
        if self.start is not None:
            tensors |= {f"start.{number}": image for number, image in enumerate(self.start.images)}
            about["start"] = {"shape": self.start.lattice.shape, "affine": self.start.lattice.affine.tolist()}
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
        plan = Architecture(**{**about["plan"], "levels": tuple(about["plan"]["levels"])})
        contrasts = tuple(Contrast(**c) for c in about["contrasts"])
        center, size = np.array(about["center_ras_mm"]), np.array(about["size_mm"])
        model = cls(plan, center, size, contrasts, about["provenance"], about["seed"])
        if "start" in about:
            lattice = Grid(about["start"]["shape"], np.array(about["start"]["affine"]))
            model.begin_from([np.array(tensors[f"start.{n}"]) for n in range(len(contrasts))], lattice)
        names = [name for name in tensors if name.startswith("network.")]
        state = {name.partition(".")[2]: torch.from_numpy(tensors[name].copy()) for name in names}
        model.network.load_state_dict(state)
        return model


class _Placed:
    def __init__(self, model: SubjectModel, device: str) -> None:
        self._parts = [part for part in (model.network, model.start) if part is not None]
        self._device, self._before = device, next(model.network.parameters()).device

    def __enter__(self) -> None:
        self._move(self._device)

    def __exit__(self, *_: object) -> None:
        self._move(self._before)
        if self._before.type == "cpu" and self._device != "cpu":
            torch.cuda.empty_cache()

    def _move(self, device: str | torch.device) -> None:
        for part in self._parts:
            part.to(device)
