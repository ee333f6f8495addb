"""`make demo` and `make bench`, in small: what they write, where nothing is at hand but this tree."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from demo_runs import run_without_scans
from subject_fixtures import ellipsoids

pytest.importorskip("slicer")
pytest.importorskip("matplotlib")


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # of the whole demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(output folder, what it printed) of the demonstration without data, cache or network."""
    tmp = tmp_path_factory.mktemp("demo")
    done = run_without_scans("demo", tmp, "--output", str(tmp / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp / "out", done.stdout


def test_demo_says_that_it_shows_a_phantom(demo: tuple[Path, str]) -> None:
    assert "phantom" in demo[1] and "Research use only" in demo[1]


def test_demo_writes_everything_that_it_names(demo: tuple[Path, str]) -> None:
    folder, said = demo
    named = {Path(line.strip()) for line in said.partition("Written:")[2].partition("\n\n")[0].splitlines() if line}
    inside = {path for place in named for path in (place.rglob("*") if place.is_dir() else [place]) if path.is_file()}
    assert inside == {path for path in folder.rglob("*") if path.is_file()}
    assert {"comparison.md", "scene.mrb", "phantom-panel.png", "phantom-comparison.png"} <= {p.name for p in named}
    made = {path.name for path in named if path.name.endswith(".nii.gz")}
    assert {"T2-truth.nii.gz", "T2-input.nii.gz", "T2-guided.nii.gz", "T1-reference.nii.gz"} <= made


def test_demo_volume_from_the_panel_is_what_the_library_makes(demo: tuple[Path, str]) -> None:
    import numpy as np

    import MultiContrastSRLib as mc

    folder = demo[0] / "phantom"
    made = mc.load_volume(folder / "T2-guided.nii.gz")
    again = mc.super_resolve(
        mc.load_volume(folder / "T2-input.nii.gz"), mc.load_volume(folder / "T1-reference.nii.gz"), scale=3
    ).volume
    assert made.shape == again.shape
    # files hold affines in single precision, so positions differ in the seventh digit
    np.testing.assert_allclose(made.array, again.array, atol=1e-3 * np.ptp(made.array))


def test_demo_scene_holds_all_volumes(demo: tuple[Path, str]) -> None:
    with zipfile.ZipFile(demo[0] / "scene.mrb") as scene:
        volumes = [name for name in scene.namelist() if name.endswith(".nrrd")]
    assert len(volumes) == len(list((demo[0] / "phantom").iterdir()))


def test_demo_shows_a_study_of_three_subjects(demo: tuple[Path, str]) -> None:
    head, *rows = (demo[0] / "batch" / "batch.tsv").read_text(encoding="utf-8").splitlines()
    state = head.split("\t").index("state")
    assert [row.split("\t")[state] for row in rows] == ["done"] * 3
    page = Path(demo[1].partition("The page of the study: ")[2].splitlines()[0])
    assert page.is_file() and "3 subjects: 3 done" in page.read_text(encoding="utf-8")


def test_demo_table_compares_guided_with_sinc(demo: tuple[Path, str]) -> None:
    table = (demo[0] / "comparison.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}
    assert {"nearest", "linear", "bspline", "lanczos", "sinc", "guided"} <= set(rows)


def test_bench_measures_side_by_side(tmp_path: Path) -> None:
    import bench

    assert bench.main(["--output", str(tmp_path), "--repeats", "1", "--methods", "guided", "--networks"]) == 0
    found = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert set(found["methods"]) == {"bspline", "guided"}
    stages = {"prepare", "consistency", "render", "render one slice", "peak memory"}
    for times in found["methods"].values():
        assert set(times) == stages and all(value > 0 for value in times.values())
    assert set(found["stages"]) == {"load", "save", "register", "degrade"}
    table = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert "| bspline |" in table and "| 1.00 |" in table


def test_bench_compares_networks_with_their_plain_form(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import bench

    command = ["--repeats", "1", "--methods", "sinc", "--networks", "minet", "--size", "32"]
    assert bench.main(["--output", str(tmp_path), *command]) == 0
    found = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["networks"]
    assert set(found) == {"minet published", "minet plain", "minet light"}
    assert found["minet plain"].pop("difference") < 1e-3
    assert all(value >= 0 for measured in found.values() for value in measured.values())
    table = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert "| minet | ×2 |" in table and "| light |" in table


@pytest.mark.parametrize(
    "wanted",
    [
        ["--seconds", "3", "--only", "bspline", "joint-nonlocal", "fast"],
        ["--encodings", "--seconds", "1", "--only", "tri-planes to 1 mm", "hashed grids to 1 mm"],
    ],
)
def test_bench_compares_what_is_fitted_to_a_subject(tmp_path: Path, capsys, wanted) -> None:
    pytest.importorskip("torch", reason="Subject-specific methods need torch, which is not installed here.")
    import bench_subject

    import MultiContrastSRLib as mc

    for contrast, volume in zip(("T1", "FLAIR"), ellipsoids((24, 32, 28), 20, 8), strict=True):
        mc.save_volume(volume, tmp_path / f"{contrast}_n.nii.gz")
    place = ["--folder", str(tmp_path), "--at", "0", "4", "0", "--crop", "24", "24", "28"]
    assert bench_subject.main([*place, *wanted]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    names = [row.split("|")[1].strip() for row in rows]
    assert names == [name if name != "fast" else "subject-inr, *fast*" for name in wanted[wanted.index("--only") + 1 :]]
    assert all(float(cell) > 0 for row in rows for cell in row.split("|")[-4:-3])


def test_bench_counts_registrations(capsys) -> None:
    import bench_registration

    bench_registration.main(["--cases", "1", "--first", "1", "--step", "2"])
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [int(count) for name, count in rows if name.strip() == "all"] == [1]


def test_bench_compares_data_consistency_with_noise(capsys) -> None:
    import bench_noise

    bench_noise.main(["--methods", "linear", "--noise", "3"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "linear" in line]
    assert [row[0] for row in rows] == ["| in plane ×3", "| slabs of 4 mm"]
    assert all(float(weighed) > float(exact) for _, _, _, _, exact, weighed, _ in rows)
