"""Every error that the command line can end with: exact message, exit code, and nothing left behind.

What is expected stands in expected_errors.txt; what was seen is written to test-output/errors.md.
"""

from __future__ import annotations

import re
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_series import write_series
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib import pipeline
from MultiContrastSRLib.cli import console, main
from MultiContrastSRLib.core import memory
from MultiContrastSRLib.methods import contract, register
from MultiContrastSRLib.methods.interpolation import Linear

HERE = Path(__file__).resolve().parent
TABLE = HERE.parents[1] / "test-output" / "errors.md"
THICK = np.diag([1.0, 1.0, 3.0, 1.0])


def expected_errors() -> dict[str, dict[str, tuple[int, str]]]:
    """Section → command → (exit code, message), of expected_errors.txt."""
    sections: dict[str, dict[str, tuple[int, str]]] = {}
    for block in (HERE / "expected_errors.txt").read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines and lines[0].startswith("["):
            section = sections.setdefault(lines.pop(0).strip("[]"), {})
        for command, ending in zip(lines[::2], lines[1::2], strict=True):
            code, message = ending.split(" ", 1)
            section[command.removeprefix("$ ")] = int(code), message
    return sections


EXPECTED = expected_errors()


# ---------------------------------------------------------------------- the table


@pytest.fixture(scope="module")
def rows() -> Iterator[list[tuple[str, str, object, str]]]:
    """(command, message, exit code, left behind) of each error; written down when all have run."""
    seen: list[tuple[str, str, object, str]] = []
    yield seen
    lines = ["| command | message | exit code | left behind |", "|---|---|---|---|"]
    for command, message, code, left in seen:
        text = message.replace("|", "\\|").replace("\n", "<br>")
        lines.append(f"| `multicontrastsr {command}` | {text} | {code} | {left} |")
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("# Errors, as the tests saw them\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a good target and reference in it."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)  # for `unwritable`, which may work as another user
    truth, reference = pair((12, 64, 64))
    mc.save_volume(mc.degrade(truth, "kspace", 2), "t2.nii.gz")
    mc.save_volume(reference, "t1.nii.gz")
    return tmp_path


@pytest.fixture
def fails(folder: Path, rows: list, capsys: pytest.CaptureFixture) -> Callable[..., None]:
    """Runs one command of the text file, asserts how it ends, and that all files are as they were.

    Text after " # " states the circumstances; `places` replace {names}.
    """
    known = {command: ending for section in EXPECTED.values() for command, ending in section.items()}

    def check(listed: str, **places: object) -> None:
        code, message = known[listed]
        before = contents()
        try:
            got = main(listed.partition(" # ")[0].format(**places).split())
        except SystemExit as stop:  # argparse's way to end on wrong usage
            got = stop.code
        said = capsys.readouterr().err.strip()
        said = re.sub(r"(?s)^usage:.*\n(?=multicontrastsr[ a-z-]*: error: )", "", said)
        said = re.sub(r"^multicontrastsr[ a-z-]*: error: ", "", said)
        left = sorted(name for name, content in contents().items() if before.get(name) != content)
        rows.append((listed, said, got, ", ".join(left) or "nothing"))
        assert said == message.format(**places)
        assert got == code
        assert contents() == before

    return check


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def test_table_is_read_whole():
    text = (HERE / "expected_errors.txt").read_text(encoding="utf-8")
    assert text.count("\n$ ") == sum(len(section) for section in EXPECTED.values()) > 60


@pytest.mark.parametrize("command", EXPECTED["any folder"])
def test_wrong_requests(fails, command):
    fails(command)


# ---------------------------------------------------------------------- files that are no scans


def nifti(name: str, data: np.ndarray, affine: np.ndarray = THICK, patch: dict[int, bytes] | None = None) -> None:
    """A NIfTI file, with some bytes of its header replaced."""
    nibabel.save(nibabel.Nifti1Image(data, affine), name)
    raw = bytearray(Path(name).read_bytes())
    for place, new in (patch or {}).items():
        raw[place : place + len(new)] = new
    Path(name).write_bytes(raw)


def scan_with(value: float) -> np.ndarray:
    data = np.random.default_rng(0).random((40, 40, 4)).astype(np.float32)
    data[3, 4, 2] = value
    return data


def halved(name: str) -> None:
    mc.save_volume(mc.load_volume("t2.nii.gz"), name)
    raw = Path(name).read_bytes()
    Path(name).write_bytes(raw[: len(raw) // 2])


def inflated(name: str) -> int:
    """Bytes that are left in a halved NRRD: how far compression gets depends on the processor."""
    data = Path(name).read_bytes().partition(b"\n\n")[2]
    return len(zlib.decompressobj(wbits=31).decompress(data))


def colours(name: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), name)


def row_of(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


BAD_FILES: dict[str, Callable[[str], object]] = {
    "bold.nii": lambda name: nifti(name, np.zeros((5, 6, 4, 3), "f4")),
    "rgb.nii": lambda name: nifti(name, np.zeros((5, 6, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])),
    "rgb.nrrd": lambda name: colours(name),
    "raw.nii": lambda name: nifti(name, np.zeros((5, 6, 4), "c8")),
    "labels.nii": lambda name: nifti(name, np.zeros((5, 6, 4), "u1"), patch={68: b"\xea\x03"}),
    "nan.nii": lambda name: nifti(name, scan_with(np.nan)),
    "inf.nii": lambda name: nifti(name, scan_with(-np.inf)),
    "zero.nii": lambda name: nifti(name, scan_with(0), patch={296: row_of(0, 0, 0, 0)}),
    "flat.nii": lambda name: nifti(name, scan_with(0), patch={280: row_of(1, 1, 0, 0), 296: row_of(1, 1, 0, 0)}),
    "lost.nii": lambda name: nifti(name, scan_with(0), patch={292: row_of(np.nan)}),
    "text.nii": lambda name: Path(name).write_text("no image" * 99),
    "half.nii.gz": lambda name: halved(name),
    "half.nii": lambda name: halved(name),
    "half.nrrd": lambda name: halved(name),
    "half.mha": lambda name: halved(name),
    "scan.jpg": lambda name: Path(name).write_text("x"),
    "dicom": lambda name: Path(name).mkdir(),
    "gone.nii": lambda name: None,
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(fails, name):
    BAD_FILES[name](name)
    places = {"received": inflated(name)} if name == "half.nrrd" else {}
    fails(f"super-resolve {name} t1.nii.gz -o out.nii.gz", **places)


# ---------------------------------------------------------------------- the place of the output


def test_no_room_or_right_to_write(fails, folder, unwritable):
    fails("super-resolve t2.nii.gz -o {unwritable}/out.nii --method linear", unwritable=unwritable)


def test_a_sheared_scan_does_not_fit_every_format(fails):
    sheared = THICK.copy()
    sheared[0, 1] = 0.3
    mc.save_volume(mc.Volume(scan_with(0).T, sheared), "tilted.nii")
    fails("super-resolve tilted.nii -o out.nrrd --method linear")


def test_earlier_files_survive(fails):
    Path("t2_sr.json").write_text('{"EchoTime": 0.1}')
    fails("super-resolve t2.nii.gz -o t2_sr.nii.gz --method linear")
    fails("super-resolve t2.nii.gz -o t2_sr.nii.gz --method linear --overwrite")


# ---------------------------------------------------------------------- DICOM


def test_dicom_folders(fails, folder):
    slices = np.random.default_rng(0).integers(0, 999, (5, 16, 16)).astype(np.int16)
    write_series(folder / "one", slices, THICK, "1.2.3", g0008_103e="T2 TSE")
    next((folder / "one").glob("*-014.dcm")).unlink()
    fails("super-resolve one -o out.nii")
    write_series(folder / "two", slices, THICK, "1.2.3", g0008_103e="T2 TSE")
    write_series(folder / "two", slices, THICK, "1.2.4", g0008_103e="T1 MPRAGE")
    fails("super-resolve two -o out.nii")
    fails("super-resolve two::1.2.5 -o out.nii")
    fails("super-resolve two/1.2.3-000.dcm -o out.nii")


# ---------------------------------------------------------------------- what the machine has


def test_one_slice_has_nothing_between_slices(fails):
    mc.save_volume(mc.Volume(np.random.default_rng(0).random((1, 40, 40)), THICK), "slice.nii")
    fails("super-resolve slice.nii -o out.nii --scale 2 1 1")


def test_more_than_the_memory_holds(fails, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 100 << 20)
    fails("super-resolve t2.nii.gz t1.nii.gz -o out.nii --scale 16 16 16 # with little memory")
    monkeypatch.setattr(memory, "available_memory", lambda: 10 << 10)
    fails("info t2.nii.gz # with little memory")


def test_memory_that_runs_out_after_all(fails, monkeypatch):
    def exhausted(*arguments: object, **keywords: object) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(pipeline, "super_resolve", exhausted)
    fails("super-resolve t2.nii.gz -o out.nii # a failed allocation")


def test_methods_that_cannot_run_here(fails):
    @register
    class Dummy(Linear):
        name, label, summary, citation = "dummy-error", "Dummy", "Nothing.", "None, 2026"
        requires = ("no_such_module",)
        reference = "required"

    try:
        fails("super-resolve t2.nii.gz t1.nii.gz -o out.nii --method dummy-error # needs no_such_module")
        Dummy.requires = ()
        fails("super-resolve t2.nii.gz -o out.nii --method dummy-error")
        far = THICK.copy()
        far[:3, 3] = 5000
        mc.save_volume(mc.Volume(scan_with(0).T, far), "far.nii")
        fails("super-resolve t2.nii.gz far.nii -o out.nii --method dummy-error")
        mc.save_volume(mc.Volume(np.ones((4, 40, 40)), THICK), "flat.nii")
        fails("super-resolve t2.nii.gz flat.nii -o out.nii --method dummy-error")
        Dummy.devices = ("cpu", "cuda")
        fails("super-resolve t2.nii.gz t1.nii.gz -o out.nii --method dummy-error --device cuda:9")
    finally:
        contract.REGISTRY.unregister("dummy-error")


def test_a_fault_of_the_program(fails, monkeypatch):
    def broken(*arguments: object, **keywords: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(pipeline, "super_resolve", broken)
    fails("super-resolve t2.nii.gz -o out.nii # a bug")


# ---------------------------------------------------------------------- cancelling


@pytest.mark.parametrize("stage", ["load", "register", "prepare", "consistency", "render", "save"])
def test_cancelled_in_every_stage(fails, monkeypatch, stage):
    sent: list[float] = []
    ended: list[float] = []

    class Bar:
        def __call__(self, fraction: float, running: str) -> None:
            if running == stage and not sent:
                sent.append(time.perf_counter())
                signal.raise_signal(signal.SIGINT)

        def close(self) -> None:
            ended.append(time.perf_counter())

    monkeypatch.setattr(console, "Bar", Bar)
    monkeypatch.setattr(console, "on_terminal", lambda: True)
    fails(f"super-resolve t2.nii.gz t1.nii.gz -o out.nii --register on # Ctrl-C in {stage}")
    latency = ended[0] - sent[0]
    print(f"{stage}: {latency:.3f} s from Ctrl-C to the end")
    assert latency < 1.0
