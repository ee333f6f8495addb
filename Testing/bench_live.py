"""Times live zoom over a scripted session in Slicer's own slice views: bench-output/bench_live.md and .json.

    OMP_NUM_THREADS=2 python Testing/bench_live.py
    OMP_NUM_THREADS=2 python Testing/bench_live.py --method swift --coarser 2 --own-planes

Real scans (patient12, from MULTICONTRASTSR_DATA or downloaded) are shown in one slice view of 512² and 1024² pixels, in
the scan's own planes and in the patient's axes (to which the scan is oblique), and panned, zoomed from 1× to 12×,
scrolled slice by slice (neighbours are made ahead) and moved to slices that nobody looked at. The event loop holds
Python's lock, as in the application. "Main thread" is the time that our slots and timers take there, waiting for the
engine (with the lock released) apart; what Slicer itself does to draw a view is not in it. "Encoded" is a slice of a
trained method, in the background.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from bench import machine  # noqa: E402
from harness import Harness  # noqa: E402
from harness.slice_view import SliceView  # noqa: E402

MODULE = Path(__file__).resolve().parents[1] / "MultiContrastSR" / "MultiContrastSR.py"
SIZES = (512, 1024)
MOVES = {"pan": 20, "zoom": 12, "scroll": 12}
JUMPS = (-6, 16, -20, 24)  # slices: to such as were neither looked at nor made ahead
CYCLES = 10


class MainThread:
    """How long our code keeps the main thread, each time it is called."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self._depth, self._waited = 0, 0.0

    def watch(self, owner: type, name: str) -> None:
        """Time every outermost call of a method."""
        inner = getattr(owner, name)

        def timed(*arguments, **keywords):
            self._depth += 1
            begin, waited = time.perf_counter(), self._waited
            try:
                return inner(*arguments, **keywords)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.taken.append(time.perf_counter() - begin - (self._waited - waited))

        timed.CallDataType = getattr(inner, "CallDataType", None)
        if timed.CallDataType is None:
            del timed.CallDataType
        setattr(owner, name, timed)

    def leave_out(self, owner: type, name: str) -> None:
        """Do not count the time in this method: it waits with the lock released."""
        inner = getattr(owner, name)

        def waiting(*arguments, **keywords):
            begin = time.perf_counter()
            try:
                return inner(*arguments, **keywords)
            finally:
                self._waited += time.perf_counter() - begin

        setattr(owner, name, waiting)


class Session:
    """The module in the harness, the scans in its scene, one view."""

    def __init__(self, coarser: float) -> None:
        self._coarser = coarser
        self.harness = Harness()
        self.module = self.harness.load(MODULE)
        from MultiContrastSRPanel.logic.live.input_observer import InputObserver
        from MultiContrastSRPanel.logic.live.live_zoom import LiveZoom
        from MultiContrastSRPanel.logic.live.slice_view import LiveSliceView

        from MultiContrastSRLib.live.engine import Engine

        self.main = MainThread()
        self.main.watch(LiveZoom, "_on_timeout")
        for name in ("_on_pointer_moved", "_on_display_modified", "_on_input_modified"):
            self.main.watch(InputObserver, name)
        for name in ("_node_modified", "_composite_modified"):
            self.main.watch(LiveSliceView, name)
        self.main.leave_out(Engine, "wait")
        SliceView.runs_pipelines = False  # what Slicer itself does to draw a view
        self.encoded: list[float] = []
        self._time_encoding()
        self.nodes = self._scans()
        self.view = self.harness.view("Red")

    def _time_encoding(self) -> None:
        from MultiContrastSRLib.pipeline.sliced import SlicedImage

        inner, encoded = SlicedImage._checked, self.encoded

        def timed(image, numbers, monitor):
            begin = time.perf_counter()
            slices = inner(image, numbers, monitor)
            encoded.extend([(time.perf_counter() - begin) / len(numbers)] * len(numbers))
            return slices

        SlicedImage._checked = timed

    def _scans(self) -> tuple:
        import slicer

        from MultiContrastSRLib.acquisition.degrade import degrade
        from MultiContrastSRLib.samples.scans import sample_volumes

        samples = sample_volumes("patient12", ("T2", "T1"), log=print)
        self.patient = samples.patient
        nodes, shapes = [], []
        for name in ("T2", "T1"):
            volume = samples.volumes[name]
            if name == "T2" and self._coarser > 1:
                volume = degrade(volume, "kspace", (1, self._coarser, self._coarser))
            shapes.append(volume.shape)
            node = slicer.util.addVolumeFromArray(np.array(volume.array), ijkToRAS=np.array(volume.affine), name=name)
            node.CreateDefaultDisplayNodes()
            nodes.append(node)
        self.shapes = shapes
        return tuple(nodes)

    def show(self, size: int, straight: bool) -> None:
        """The target in a view of `size`² pixels."""
        import slicer

        slicer.util.setSliceViewerLayers(background=self.nodes[0])
        self.view.node.SetOrientation("Axial")
        if straight:
            self.view.node.RotateToVolumePlane(self.nodes[0])
        self.view.resize(size, size)
        self.view.fitSliceToBackground()
        self.view.logic.SnapSliceOffsetToIJK()
        self.harness.process_events()

    def start(self, method: str) -> float:
        """Seconds until the first final frame."""
        begin = time.perf_counter()
        self.module.logic.startLiveZoom(["Red"], *self.nodes, method=method, register="off")
        self.wait(lambda: self.live.frame is not None and self.live.frame.final)
        return time.perf_counter() - begin

    @property
    def live(self):
        """The view of the session."""
        return self.module.logic.liveZoom.views["Red"]

    def wait(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.harness.run_for(0.004)

    def moves(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """(kind, what the user does): pan, zoom from 1x to 12x, pan there, scroll, jump."""
        node = self.view.node
        width = node.GetFieldOfView()[0]
        factor = 12 ** (1 / MOVES["zoom"])

        def pan(number: int) -> None:
            x, y, z = node.GetXYZOrigin()
            step = 0.02 * node.GetFieldOfView()[0] * (1 if number % 4 < 2 else -1)
            node.SetXYZOrigin(x + step, y + step / 2, z)

        def zoom(_number: int) -> None:
            w, h, d = node.GetFieldOfView()
            node.SetFieldOfView(w / factor, h / factor, d)

        def scroll(number: int) -> None:
            step = self.view.logic.GetLowestVolumeSliceSpacing()[2]
            node.SetSliceOffset(node.GetSliceOffset() + step * (1 if number < MOVES["scroll"] // 2 else -1))

        for kind, act, count in (("pan", pan, 10), ("zoom", zoom, MOVES["zoom"]), ("pan", pan, 10)):
            for number in range(count):
                yield kind, lambda act=act, number=number: act(number)
        w, h, d = node.GetFieldOfView()
        node.SetFieldOfView(width / 3, width / 3 * h / w, d)
        self.wait(lambda: not self.module.logic.liveZoom.busy)
        for number in range(MOVES["scroll"]):
            yield "scroll", lambda number=number: scroll(number)

        def jump(slices: int) -> None:
            node.SetSliceOffset(node.GetSliceOffset() + slices * self.view.logic.GetLowestVolumeSliceSpacing()[2])

        for slices in JUMPS:
            yield "jump", lambda slices=slices: jump(slices)

    def measure(self) -> dict[str, list[float]]:
        """Seconds: of the main thread until interpolation is shown, of frames, from a move to its frames."""
        shown = ("coarse shown", "final shown", "jump coarse", "jump final")
        found: dict[str, list[float]] = {name: [] for name in ("first", "frame", *shown)}
        self.main.taken.clear()
        self.encoded.clear()
        longest = []
        for kind, act in self.moves():
            before = len(self.main.taken)
            begin = time.perf_counter()
            act()  # Slicer's own work on the move included in the latencies, not in "first"
            found["first"].append(sum(self.main.taken[before:]))
            old = self.live.frame
            self.wait(lambda old=old: self.live.frame is not old and self.live.frame is not None)
            coarse, final = shown[2:] if kind == "jump" else shown[:2]
            found[coarse].append(time.perf_counter() - begin)
            self.wait(lambda: self.live.frame.final and self.live.frame.grid == self.live.grid)
            found[final].append(time.perf_counter() - begin)
            if self.live.frame.seconds:
                found["frame"].append(self.live.frame.seconds)
            if kind in ("pan", "zoom"):
                self.harness.run_for(0.01)
            else:
                self.wait(lambda: not self.module.logic.liveZoom.busy)
            longest += self.main.taken[before:]
        found["main thread"], found["encoded"] = longest, list(self.encoded)
        return found

    def drag(self, seconds: float = 2.0) -> float:
        """Frames a second while the user drags without a pause (60 moves a second)."""
        frames, last, end = 0, None, time.perf_counter() + seconds
        number = 0
        while time.perf_counter() < end:
            x, y, z = self.view.node.GetXYZOrigin()
            self.view.node.SetXYZOrigin(x + (0.3 if number // 20 % 2 else -0.3), y, z)
            number += 1
            self.harness.run_for(1 / 60)
            if self.live.frame is not last:
                frames, last = frames + 1, self.live.frame
        return frames / seconds


def resident() -> float:
    """MiB of this process."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


@contextmanager
def switched_on(session: Session, method: str) -> Iterator[float]:
    took = session.start(method)
    yield took
    engine = session.module.logic.liveZoom._engine
    session.module.logic.stopLiveZoom()
    engine.close(30)
    session.left = engine.nbytes


def bench(method: str, coarser: float = 1.0, planes: tuple[bool, ...] = (True, False)) -> dict:
    """All figures, as seconds.

    Args:
        coarser: by which the target is degraded in plane first.
        planes: True for the scan's own, False for the patient's axes.
    """
    session = Session(coarser)
    sizes = SIZES
    found: dict = {"method": method, "patient": session.patient, "shapes": session.shapes, "machine": machine()}
    found["cases"] = {}
    with session.harness.hold_gil():
        for straight in planes:
            for size in sizes:
                session.show(size, straight)
                with switched_on(session, method) as ready:
                    case = session.measure()
                    case["ready"] = ready
                    case["frames a second"] = session.drag()
                    case["cache MiB"] = session.module.logic.liveZoom._engine.cache.nbytes / 2**20
                    case["prepared MiB"] = session.module.logic.liveZoom._engine.renderer.nbytes / 2**20
                case["left bytes"] = session.left
                found["cases"][f"{size}², {'own planes' if straight else 'oblique'}"] = case
        session.show(sizes[0], True)
        sizes_after = []
        for _ in range(CYCLES):
            with switched_on(session, method):
                pass
            session.harness.process_events()
            sizes_after.append(resident())
        found["growth MiB"] = sizes_after[-1] - sizes_after[1]
    session.harness.unload_all()
    return found


def p(values: list[float], share: float) -> str:
    return f"{1000 * float(np.percentile(values, share)):.0f}" if values else "–"


def markdown(found: dict) -> str:
    """The table for people."""
    where = found["machine"]
    target, reference = (" × ".join(map(str, shape)) for shape in found["shapes"])
    lines = [
        "# Live zoom",
        "",
        f"MultiContrastSR {where['version']}, method {found['method']}, on {where['processor']}, "
        f"{where['cores']} cores, BLAS threads: {where['threads']}; {found['patient']}: T2 of {target}, T1 of "
        f"{reference} (slices × rows × columns); the loop holds Python's lock. ms, p50 / p95 (longest).",
        "",
        "| view | main thread until interpolation is shown | main thread, each call | rendering a frame "
        "| move to first new frame | move to final frame | new slice: first frame | new slice: final frame "
        "| slice encoded | frames a second while dragging | ready after |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, case in found["cases"].items():

        def both(key: str, case=case) -> str:
            return f"{p(case[key], 50)} / {p(case[key], 95)}"

        longest = {key: p(case[key], 100) for key in ("first", "main thread")}
        lines.append(
            f"| {name} | {both('first')} ({longest['first']}) | {both('main thread')} ({longest['main thread']}) "
            f"| {both('frame')} | {both('coarse shown')} | {both('final shown')} "
            f"| {both('jump coarse')} | {both('jump final')} | {both('encoded')} "
            f"| {case['frames a second']:.0f} | {case['ready']:.1f} s |"
        )
    last = list(found["cases"].values())[-1]
    lines += [
        "",
        f"Memory: cache {last['cache MiB']:.0f} MiB of 256, prepared images {last['prepared MiB']:.0f} MiB; "
        f"after switching off {max(c['left bytes'] for c in found['cases'].values())} bytes of both; "
        f"{CYCLES} times on and off: {found['growth MiB']:+.0f} MiB after the second.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="folder (default bench-output)")
    parser.add_argument("--method", default="guided", help="default guided")
    parser.add_argument("--coarser", type=float, default=1.0, help="degrade the target in plane by this (default 1)")
    parser.add_argument("--own-planes", action="store_true", help="leave the oblique views out")
    given = parser.parse_args(arguments)
    found = bench(given.method, given.coarser, (True,) if given.own_planes else (True, False))
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "bench_live.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (given.output / "bench_live.md").write_text(markdown(found), encoding="utf-8")
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
