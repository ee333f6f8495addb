"""The output of a batch against the BIDS validator, and what is said about an input that it finds fault with."""

from __future__ import annotations

import pytest
from batch_fixtures import write_dataset

from MultiContrastSRLib.batch import validation
from MultiContrastSRLib.cli import main

pytest.importorskip("ancpbids")
pytestmark = pytest.mark.slow


@pytest.fixture
def validator():
    """Skips where the validator is not installed."""
    if validation.program() is None:
        pytest.skip("The BIDS validator (bids-validator-deno) is not installed.")


@pytest.mark.parametrize("grid", ["target", "reference"])
def test_the_output_has_no_errors(validator, tmp_path, grid, capsys):
    dataset = write_dataset(tmp_path / "bids", ["01"])
    assert validation.errors_of(dataset) == []
    command = "--targets T2w --references T1w --scale 2 --register off --grid".split()
    assert main(["batch", str(dataset), str(tmp_path / "out"), *command, grid]) == 0
    assert "warning" not in capsys.readouterr().err
    assert validation.errors_of(tmp_path / "out") == []
    # what the specification has no names for is listed, and nothing else
    ignored = (tmp_path / "out/.bidsignore").read_text().split()
    assert ignored == ["*.html", "batch.tsv", "logs/", "figures", "*_xfm.*"]


def test_errors_of_the_input_are_a_warning(validator, tmp_path, capsys):
    dataset = write_dataset(tmp_path / "bids", ["01"])
    (dataset / "sub-01/anat/sub-01_wrong.nii.gz").write_bytes(b"no image")
    command = ["batch", str(dataset), str(tmp_path / "out"), *"--targets T2w --references T1w --register off".split()]
    assert main(command) == 0
    err = capsys.readouterr().err
    assert "The BIDS validator finds" in err and "sub-01_wrong.nii.gz" in err
    assert main([*command, "--skip-bids-validation"]) == 0
    assert "BIDS validator" not in capsys.readouterr().err
