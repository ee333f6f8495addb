"""Files are read and written alike where the process's locale has a decimal comma, as Qt programs set it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import MultiContrastSRLib as mc

CODE = """
import locale, sys
import numpy as np
import MultiContrastSRLib as mc
locale.setlocale(locale.LC_ALL, "de_DE.UTF-8" if "write" in sys.argv[2] else "C.UTF-8")
affine = np.array([[-1.5, 0, 0, 10.25], [0, -1.75, 0, 20.75], [0, 0, 3.3, -7.125], [0, 0, 0, 1]])
volume = mc.Volume(np.random.default_rng(0).random((6, 20, 24)), affine, "x")
mc.save_volume(volume, sys.argv[1])
locale.setlocale(locale.LC_ALL, "de_DE.UTF-8" if "read" in sys.argv[2] else "C.UTF-8")
before = locale.setlocale(locale.LC_ALL)
found = mc.load_volume(sys.argv[1])
print(np.abs(found.affine - affine).max(), np.array_equal(found.array, volume.array))
print(locale.setlocale(locale.LC_ALL) == before)
"""


@pytest.fixture(scope="module")
def locales(tmp_path_factory) -> Path:
    """A folder with the locale de_DE."""
    folder = tmp_path_factory.mktemp("locales")
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(
            ["localedef", "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")], capture_output=True, check=False
        )
    if not (folder / "de_DE.UTF-8").exists():
        pytest.skip("No locale with a decimal comma can be made here")
    return folder


@pytest.mark.parametrize("when", ["write", "read", "write and read"])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii"])
def test_a_decimal_comma_changes_nothing(tmp_path, locales, suffix, when):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / f"a{suffix}"), when],
        capture_output=True,
        text=True,
        env={**os.environ, "LOCPATH": str(locales), "PYTHONPATH": str(Path(mc.__file__).parents[1])},
    )
    numbers, restored = done.stdout.splitlines() or ("", "")
    assert float(numbers.split()[0]) < 1e-5 and numbers.split()[1] == "True", done.stderr
    assert restored == "True"
