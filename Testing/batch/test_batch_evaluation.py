"""`multicontrastsr evaluate` over a cohort: several processes, and subjects that are incomplete or damaged."""

from __future__ import annotations

import json
import shutil

import pytest

from MultiContrastSRLib.cli import main

pytestmark = pytest.mark.slow
COMMAND = "--pairs T2:T1 --scales 2 --methods linear --json --quiet".split()


@pytest.fixture
def incomplete(cohort, tmp_path):
    """The cohort with a subject that has no T1, and one whose T1 is truncated."""
    folder = tmp_path / "cohort"
    shutil.copytree(cohort, folder)
    for name in ("bare", "cut"):
        shutil.copytree(folder / "MNI" / "two", folder / "MNI" / name)
    (folder / "MNI/bare/T1_brain.nii.gz").unlink()
    cut = folder / "MNI/cut/T1_brain.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-100])
    return folder


@pytest.mark.parametrize("processes", ["1", "2"])
def test_subjects_that_cannot_be_evaluated_are_left_out_and_named(incomplete, capsys, processes):
    assert main(["evaluate", "--data", str(incomplete), *COMMAND, "--n-procs", processes]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["subjects"] == ["one", "two"]
    assert "Subject bare was left out: No scan" in printed.err
    assert "Subject cut was left out: File" in printed.err and "truncated" in printed.err


def test_several_processes_find_the_same(cohort, capsys):
    tables = []
    for processes in ("1", "2"):
        assert main(["evaluate", "--data", str(cohort), *COMMAND, "--n-procs", processes]) == 0
        tables.append(_without(json.loads(capsys.readouterr().out)["evaluations"], "seconds"))
    assert tables[0] == tables[1] and tables[0]


def test_a_cohort_without_a_complete_subject_says_what_is_missing(incomplete, capsys):
    for name in ("one", "two", "cut"):
        shutil.rmtree(incomplete / "MNI" / name)
    assert main(["evaluate", "--data", str(incomplete), *COMMAND]) == 4
    assert "has all of T1, T2" in capsys.readouterr().err
    assert main(["evaluate", "--data", str(incomplete), *COMMAND, "--subjects", "bare"]) == 4


def _without(value, key):
    if isinstance(value, dict):
        return {name: _without(each, key) for name, each in value.items() if name != key}
    return [_without(each, key) for each in value] if isinstance(value, list) else value
