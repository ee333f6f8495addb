"""A batch that is killed, stopped by Ctrl-C, or run twice at once: no output is lost, half or made twice."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys

import pytest
from batch_fixtures import RECIPE, ROOT, results_of, rows_of, run_batch, start, write_dataset
from batch_kills import differences, run_and_kill

from MultiContrastSRLib.batch.plan import plan_bids
from MultiContrastSRLib.batch.recipe import from_mapping
from MultiContrastSRLib.batch.subject import process
from MultiContrastSRLib.core.progress import Monitor

pytest.importorskip("ancpbids")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc"),
]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """(dataset, output of a run without interruptions)."""
    folder = tmp_path_factory.mktemp("straight")
    dataset = write_dataset(folder / "bids", [f"{n:02d}" for n in range(1, 6)])
    code, _, err = run_batch(dataset, folder / "out", *RECIPE, "--n-procs", 2)
    assert code == 0, err
    return dataset, folder / "out"


def test_kills_at_random_moments_change_nothing(straight, tmp_path):
    dataset, expected = straight
    chance, output = random.Random(3), tmp_path / "out"
    for victims in (["command"], ["worker", "command"]):
        run_and_kill(dataset, output, victims, chance, "--n-procs", 2)
    code, _, err = run_batch(dataset, output, *RECIPE, "--n-procs", 2)
    assert code == 0, err
    assert not differences(expected, output)
    assert {row["state"] for row in rows_of(output).values()} <= {"done", "unchanged"} and len(rows_of(output)) == 5


def test_ctrl_c_ends_the_command_by_the_signal_and_leaves_whole_files(straight, tmp_path):
    dataset, expected = straight
    process = start("batch", dataset, tmp_path / "out", *RECIPE, "--json")
    for line in process.stdout:
        if json.loads(line)["event"] == "result":
            process.send_signal(signal.SIGINT)
            break
    process.stdout.read()
    err = process.stderr.read()
    assert process.wait(60) == -signal.SIGINT, err
    assert "stopped; the same command goes on" in err
    found = results_of(tmp_path / "out")
    assert found and all(results_of(expected)[name] == content for name, content in found.items())
    states = [row["state"] for row in rows_of(tmp_path / "out").values()]
    assert states.count("done") >= 1 and states.count("not started") >= 1


def test_the_end_of_the_input_stops_a_command_that_watches_it(straight, tmp_path):
    """What happens when the program that started it closes the pipe, or crashes."""
    dataset, expected = straight
    process = start("batch", dataset, tmp_path / "out", *RECIPE, "--json", "--watch-input", stdin=subprocess.PIPE)
    for line in process.stdout:
        if json.loads(line)["event"] == "result":
            process.stdin.close()
            break
    process.stdout.read()
    err = process.stderr.read()
    assert process.wait(60) == 130, err
    assert "stopped; the same command goes on" in err
    found = results_of(tmp_path / "out")
    assert found and all(results_of(expected)[name] == content for name, content in found.items())
    assert "not started" in {row["state"] for row in rows_of(tmp_path / "out").values()}


def test_ctrl_c_ends_a_shell_loop_around_the_command(straight, tmp_path):
    dataset, _ = straight
    words = [sys.executable, "-m", "MultiContrastSRLib.cli", "batch", str(dataset), "$i", *RECIPE, "--json"]
    command = " ".join(word if word == "$i" else f"'{word}'" for word in words)
    script = f"cd '{tmp_path}'; for i in a b c; do echo begin; {command}; done"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        ["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored below shells' background jobs
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if '"progress"' in line:  # in the midst of its work
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            break
    lines += process.stdout.readlines()
    process.stderr.read()
    process.wait(60)
    assert lines.count("begin\n") == 1


def test_two_runs_at_once_share_the_work(straight, tmp_path):
    dataset, expected = straight
    both = [start("batch", dataset, tmp_path / "out", *RECIPE) for _ in range(2)]
    for command in both:
        _, err = command.communicate(timeout=200)
        assert command.returncode == 0, err
    assert not differences(expected, tmp_path / "out")
    logs = [(tmp_path / f"out/logs/sub-{n:02d}.log").read_text(encoding="utf-8") for n in range(1, 6)]
    assert all(log.count(" done after") == 1 and log.count(" unchanged after") == 1 for log in logs)


def test_a_run_with_other_settings_on_an_output_in_use_is_refused(straight, tmp_path):
    dataset, _ = straight
    process = start("batch", dataset, tmp_path / "out", *RECIPE, "--json")
    process.stdout.readline()  # it has started
    process.send_signal(signal.SIGSTOP)  # so that it is not finished before the other begins
    code, _, err = run_batch(dataset, tmp_path / "out", *RECIPE, "--option", "strength=0.5")
    process.send_signal(signal.SIGCONT)
    _, first = process.communicate(timeout=200)
    assert code == 4 and "in use by another run with other settings" in err and process.returncode == 0, first


def test_dask_workers_that_are_killed_change_nothing(straight, tmp_path):
    pytest.importorskip("distributed")
    dataset, expected = straight
    code = run_and_kill(dataset, tmp_path / "out", ["worker"], random.Random(5), "--dask-local", "--n-procs", 2)
    assert code in (0, 1, 3, -9)
    code, _, err = run_batch(dataset, tmp_path / "out", *RECIPE, "--dask-local", "--n-procs", 2)
    assert code == 0, err
    assert not differences(expected, tmp_path / "out")


class PowerCutError(BaseException):
    """What no handler of the library catches."""


@pytest.mark.parametrize("moves", range(6))
def test_an_end_between_two_moves_of_files_is_mended(straight, tmp_path, monkeypatch, moves):
    """The volume is moved first and its side-car last; whatever was moved of a new result, it is made again."""
    dataset, expected = straight
    recipe = from_mapping({"targets": "T2w", "references": "T1w", "scale": 2, "register": "off"})
    subject, replace, done = plan_bids(dataset, recipe)[0], os.replace, []

    def cut(source, target):
        if len(done) == moves:
            raise PowerCutError
        done.append(target)
        replace(source, target)

    for strength in (0.5, 1.0):  # the second over an earlier result by other settings
        chosen = dataclasses.replace(recipe, options={"strength": strength})
        monkeypatch.setattr(os, "replace", cut if strength == 1.0 else replace)
        with pytest.raises(PowerCutError) if strength == 1.0 else contextlib.nullcontext():
            process(subject, chosen, tmp_path, Monitor())
    monkeypatch.undo()
    assert process(subject, chosen, tmp_path, Monitor()).state == "done"
    assert process(subject, chosen, tmp_path, Monitor()).state == "unchanged"
    volumes = [next(folder.rglob("sub-01*desc-sr_T2w.nii.gz")).read_bytes() for folder in (tmp_path, expected)]
    assert volumes[0] == volumes[1] and not list(tmp_path.rglob(".????????.*"))
