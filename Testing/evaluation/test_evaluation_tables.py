"""Tables and figures of one evaluation."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from MultiContrastSRLib import Volume
from MultiContrastSRLib.core.errors import FileWriteError, InputError
from MultiContrastSRLib.evaluation import MASK_TRICK, evaluate
from MultiContrastSRLib.evaluation.tables.figure import compose


def test_tables_hold_one_block_per_scale(found):
    markdown = found.table()
    assert markdown.count("\n### ×") == 2 and "## T2 ← T1: P3, k-space crop in plane, every 3rd slice" in markdown
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 2 * (2 + 4)
    guided = next(line for line in lines if line.startswith("| guided"))
    assert f"**{found.mean(2, 'guided', 'psnr'):.2f}**" in guided
    text = found.table("text")
    assert text.count("* best of its column") == 2 and f"{found.mean(3, 'sinc', 'ssim'):.4f}" in text
    assert "PSNR peak and SSIM data_range: maximum − minimum of each true slice." in text
    with pytest.raises(InputError, match=r"Table format is 'html'; expected one of markdown, csv, json, text."):
        found.table("html")


def test_csv_and_json_carry_the_numbers(found):
    lines = list(csv.DictReader(found.table("csv").splitlines()))
    assert [(line["scale"], line["method"]) for line in lines][:2] == [("2", "sinc"), ("2", MASK_TRICK)]
    assert {line["psnr_gain_over"] for line in lines} == {"sinc"}
    assert float(lines[3]["psnr_gain"]) == pytest.approx(found.difference(2, "guided").mean, rel=1e-5)
    assert lines[1]["seconds"] == "" and float(lines[0]["effective_j"]) == 2
    data = json.loads(found.table("json"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    result = next(r for r in data["results"] if r["method"] == "guided" and r["scale"] == 3)
    assert result["metrics"]["psnr"]["values"] == pytest.approx(found.values(3, "guided", "psnr").tolist())
    assert data["slices"] == [0, 3, 6] and data["protocol"]["peak"] == "maximum − minimum of each true slice"
    assert data["results"][0]["gain_over_sinc"]["psnr"]["mean"] == 0


def test_a_perfect_prediction_makes_a_table(found):
    perfect = {key: {**value, "psnr": np.full(3, np.inf)} for key, value in found.scores.items()}
    table = replace(found, scores=perfect)
    assert "∞" in table.table() and '"mean": null' in table.table("json")


@pytest.mark.parametrize("count", [1, 4])
def test_figure_clips_no_text(found, count):
    figure = compose(found, 3.0, found.rows[:count])
    figure.canvas.draw()
    texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]
    assert {"T2 ← T1, ×3", "truth", "reference", "|error|, % of peak", *found.rows[:count]} <= {
        t.get_text() for t in texts
    }
    boxes = {text.get_text(): text.get_window_extent() for text in texts if text.get_visible()}
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
    titles = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
    assert not any(a.overlaps(b) for n, a in enumerate(titles) for b in titles[n + 1 :])
    bars = [axis for axis in figure.axes if axis.get_ylabel()]
    assert len(bars) == 1, "one colour bar"
    maps = {image.get_clim() for axis in figure.axes for image in axis.images if image.get_cmap().name == "inferno"}
    assert len(maps) == 1, "one scale of errors"


def test_figure_shows_the_patients_right_at_the_left_and_anterior_up(masked_pair):
    target = masked_pair[0]
    mark = target.array.copy()
    mark[:, 20:24, 12:16] = 3000  # low i, low j of a RAS affine: left, posterior
    found = evaluate(Volume(mark, target.affine), methods=["bspline"], scales=(2,), slices=[4])
    whole = compose(found, 2.0).axes[0].images[0].get_array()
    rows, columns = np.nonzero(whole > 2000)
    assert rows.mean() > whole.shape[0] / 2 and columns.mean() > whole.shape[1] / 2


def test_save_by_suffix_all_or_nothing(found, tmp_path):
    for suffix in ("md", "csv", "json", "txt", "png"):
        assert found.save(tmp_path / f"table.{suffix}").stat().st_size > 500
    assert len(list(tmp_path.iterdir())) == 5, "no temporary file is left"
    with pytest.raises(FileWriteError, match=r"write .*No such file or directory\. Nothing was left behind\."):
        found.save(tmp_path / "missing" / "table.md")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(FileWriteError):
        found.save(tmp_path / "taken.png")
    assert len(list(tmp_path.iterdir())) == 6
    with pytest.raises(InputError, match=r"Output is 'table.xls'; expected a name ending in .md, .csv, .json, .txt"):
        found.save(tmp_path / "table.xls")
