"""What the tests of live zoom share: views as matrices, a pair of scans, engines, a method that encodes slices."""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from phantoms import pair, rotation

from MultiContrastSRLib import Volume, degrade
from MultiContrastSRLib.core.cache import Cache
from MultiContrastSRLib.core.progress import Monitor
from MultiContrastSRLib.image.grid import Grid
from MultiContrastSRLib.image.prepared import SliceEncoder
from MultiContrastSRLib.live.engine import THREAD_NAME, Engine
from MultiContrastSRLib.live.renderer import ViewRenderer
from MultiContrastSRLib.live.request import Frame, Request
from MultiContrastSRLib.live.view import view_grid
from MultiContrastSRLib.methods import get
from MultiContrastSRLib.methods.contract import REGISTRY

TOLERANCE = 1e-4  # of the intensity range
TINY = {
    "swift": {"features": 4, "blocks": 1},
    "dual-arbnet": {"features": 4, "blocks": 1, "layers": 1, "fusion_layers": 1, "fusion_convs": 1},
    "dinet": {
        "features": 4,
        "target_blocks": 1,
        "target_layers": 1,
        "reference_blocks": 1,
        "dimension": 8,
        "reduced": 4,
        "rank": 2,
        "hidden": 8,
    },
    "minet": {"features": 4, "stages": 1, "blocks": 1},
}
AXIAL, SAGITTAL = np.diag([-1.0, 1.0, 1.0]), np.array([[0.0, 0, 1], [-1, 0, 0], [0, 1, 0]])
TILTED = rotation((0.12, 0.07, 0.3)) @ AXIAL  # a scan is hardly ever straight in the patient
STEEP = rotation((0.7, 0.2, 0.4)) @ AXIAL
CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
PLANES = {"axial": AXIAL, "sagittal": SAGITTAL, "coronal": CORONAL, "tilted": TILTED, "steep": STEEP}


def scans(shape=(6, 72, 66)) -> tuple[Volume, Volume]:
    """(target, reference): the target has every second sample in plane."""
    truth, reference = pair(shape)
    return degrade(truth, "kspace", 2), reference


def view(target: Grid, plane: str = "axial", pixel: float = 0.5, size: tuple[int, int] = (90, 80), offset=0.0) -> Grid:
    """`size` = (width, height) pixels of a slice view through the target's middle (or `offset` mm beside it)."""
    directions = PLANES[plane]
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = directions[:, 0] * pixel, directions[:, 1] * pixel
    middle = target.positions(np.floor(np.array(target.shape) / 2))
    width, height = size
    matrix[:3, 3] = (
        middle - matrix[:3, 0] * (width - 1) / 2 - matrix[:3, 1] * (height - 1) / 2 + directions[:, 2] * offset
    )
    return view_grid(matrix, width, height, target)


def prepared_renderer(target: Volume, reference: Volume | None, *grids: Grid, **settings) -> ViewRenderer:
    """A renderer that is ready for `grids`."""
    renderer = ViewRenderer(target, reference, Cache(1 << 26), **{"register": "off", **settings})
    for grid in grids:
        renderer.prepare(grid, lambda: False)
    return renderer


@functools.cache
def tiny_weights() -> dict[str, str]:
    """Weights files of small networks that were never trained, by method; they add noise within the local range."""
    import torch

    from MultiContrastSRLib.networks.registry import build, light
    from MultiContrastSRLib.weights.file import save_weights

    folder = Path(tempfile.mkdtemp(prefix="tiny-weights-"))
    for name, sizes in TINY.items():
        spec = light(name, **sizes)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            state = build(spec).state_dict()
            noise = {key: 0.01 * torch.randn(value.shape) for key, value in state.items()}
        # what begins at zero would leave the base as it is
        tensors = {key: (value if value.any() else noise[key]).numpy() for key, value in state.items()}
        save_weights(folder / f"{name}.safetensors", spec, tensors, half=False)
    return {name: str(folder / f"{name}.safetensors") for name in TINY}


def trained(method: str) -> dict[str, object]:
    """Settings that make a trained method quick to run; none for others."""
    return {"weights": tiny_weights()[method], "check_reference": False} if method in TINY else {}


class SlowSlices(type(get("guided"))):
    """The guided method, but encoded slice by slice, as a network would be; a base for methods of one test."""

    name, label, summary = "slow-slices", "Slow slices", "Guided, slice by slice."
    group = "trained"
    seconds = 0.0
    sketched_by = ""

    def prepare_slices(self, target, reference=None, *, refine=None, device="cpu", monitor=None, **options):
        """See `Method.prepare_slices`."""
        if target.grid.slice_axis is None or (refine and refine[target.grid.slice_axis]):
            return None
        return Encoder(self.prepare(target, reference, monitor=monitor, **options), self.seconds, self.sketched_by)


class Encoder(SliceEncoder):
    """Hands out slices of an image that is ready, after a while, and notes which; a sketch is half as bright."""

    made: ClassVar[list[int]] = []
    warnings: tuple[str, ...] = ()

    def __init__(self, image, seconds: float, sketched_by: str = "") -> None:
        self.target, self.lattice, self.notes = image.target, image.lattice, image.notes
        self.sketched_by, self.axis = sketched_by, image.target.grid.slice_axis
        self._image, self._seconds = image, seconds

    def slices(self, start, stop, monitor=None):
        """See `SliceEncoder.slices`."""
        monitor, end = monitor or Monitor(), time.monotonic() + self._seconds
        while time.monotonic() < end:
            monitor.check()
            time.sleep(0.005)
        Encoder.made += range(start, stop)
        return self._image.array[start:stop]

    def sketch(self, start, stop, monitor=None):
        """See `SliceEncoder.sketch`."""
        return self._image.array[start:stop] / 2


def collect(engine: Engine, request: Request, timeout: float = 60.0) -> list[Frame]:
    """The frames that answer `request`, until the final one."""
    engine.request(request)
    found, end = [], time.monotonic() + timeout
    while time.monotonic() < end:
        engine.wait(0.02)
        found += [frame for frame in engine.frames() if frame.request is request]
        if found and found[-1].final:
            return found
    raise TimeoutError(f"no final frame within {timeout} s")


def settle(engine: Engine, timeout: float = 60.0) -> None:
    """Wait until the engine has nothing left to do."""
    end = time.monotonic() + timeout
    while engine.busy and time.monotonic() < end:
        time.sleep(0.005)
    assert not engine.busy


def live_threads() -> list[str]:
    """Names of the engines' threads that run."""
    return [t.name for t in threading.enumerate() if t.name == THREAD_NAME]


@pytest.fixture
def without_trials(monkeypatch):
    """Reference and correction are used everywhere: in a trial, networks that were never trained add errors."""
    from MultiContrastSRLib.inference.trial_acquisition import TrialAcquisition

    monkeypatch.setattr(TrialAcquisition, "of", lambda *_: None)


@pytest.fixture
def slow_slices():
    """The method that encodes slices, registered for one test."""
    made = type("SlowSlicesOfOneTest", (SlowSlices,), {})
    REGISTRY.register(made)
    Encoder.made = []
    yield made
    REGISTRY.unregister("slow-slices")


@pytest.fixture
def engine_of():
    """Makes engines and closes them."""
    engines = []

    def make(target, reference, cache=None, quality="auto", **settings):
        cache = Cache(1 << 26) if cache is None else cache
        renderer = ViewRenderer(target, reference, cache, **{"register": "off", **settings})
        engines.append(Engine(renderer, cache, quality))
        return engines[-1]

    yield make
    for engine in engines:
        assert engine.close(20) and engine.nbytes == 0
    assert live_threads() == []


def deviation(one: np.ndarray, other: np.ndarray, target: Volume | None = None) -> float:
    """Largest difference as a share of the range of `target`, or else of `other`."""
    return float(np.abs(one - other).max() / np.ptp(other if target is None else target.array))
