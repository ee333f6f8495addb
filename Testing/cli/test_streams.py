"""The command with standard streams that are closed, full, or of another encoding: the work is done and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import MultiContrastSRLib as mc

pytestmark = pytest.mark.slow

ROOT = Path(mc.__file__).parents[1]
COMMAND = f'"{sys.executable}" -m MultiContrastSRLib.cli'
posix = pytest.mark.skipif(sys.platform == "win32", reason="streams are closed in another way on Windows")


@pytest.fixture
def folder(tmp_path):
    volume = mc.Volume(np.random.default_rng(0).random((4, 40, 40)), np.diag([1.0, 1, 4, 1]), "T2")
    mc.save_volume(volume, tmp_path / "t2.nii")
    return tmp_path


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    given = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, env=given)


@posix
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(folder, closed):
    done = shell(f"{COMMAND} super-resolve t2.nii -o o.nii --method sinc {closed}", folder)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert mc.load_volume(folder / "o.nii").shape == (4, 80, 80) and (folder / "o.json").is_file()
    refused = shell(f"{COMMAND} info absent.nii {closed}", folder)
    assert refused.returncode == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_a_file_error(folder):
    done = shell(f"{COMMAND} info t2.nii > /dev/full", folder)
    assert done.returncode == 4
    assert done.stderr.decode().splitlines()[-1] == (
        "multicontrastsr: error: No space left on device. Check the disk and the permissions."
    )


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii", "utf-8:strict"])
def test_characters_that_the_encoding_lacks_are_replaced(folder, encoding):
    printed = shell(f"{COMMAND} evaluate t2.nii --scales 2 --methods sinc", folder, PYTHONIOENCODING=encoding)
    assert printed.returncode == 0 and b"sinc" in printed.stdout, printed.stderr
    information = shell(f"{COMMAND} info t2.nii", folder, PYTHONIOENCODING=encoding)
    sign = "×".encode(encoding.partition(":")[0], "replace")
    assert information.returncode == 0 and b"4 " + sign + b" 40 " + sign + b" 40" in information.stdout


@posix
@pytest.mark.parametrize("encoding", ["utf-8:strict", "cp1252"])
def test_json_keeps_names_that_are_not_utf8(folder, encoding):
    name = os.fsdecode(b"Sch\xe4del.nii")
    try:
        (folder / "t2.nii").rename(folder / name)
    except OSError:
        pytest.skip("names are Unicode on this disk")
    done = shell(f"{COMMAND} info {name} --json", folder, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["volumes"][0]["file"] == name
    assert shell(f"{COMMAND} info {name}", folder, PYTHONIOENCODING=encoding).returncode == 0
