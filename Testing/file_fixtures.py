"""What the tests of files share: suffixes, grids that are turned and sheared, a scan, a folder that is read-only."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from phantoms import affine

import MultiContrastSRLib as mc

NOBODY = 65534
SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = affine((0.7, 0.9, 3.1), (0.3, -0.2, 0.5), (1, -1, 1), (2, 0, 1), (-81.3, 44.4, 120.9))
SHEARED = np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A folder in which nothing can be made, whoever runs the tests."""
    if os.name == "nt":
        pytest.skip("Folders are made read-only in another way on Windows")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    as_root = os.geteuid() == 0  # root may write everywhere
    if as_root:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if as_root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.fixture
def scan() -> mc.Volume:
    return mc.Volume(np.random.default_rng(1).normal(100, 30, (5, 6, 7)), OBLIQUE, "T2")


def nifti(path: Path, data: np.ndarray, **fields: object) -> Path:
    """Write `data` [i, j, k] as NIfTI, with these fields in its header."""
    import nibabel

    image = nibabel.Nifti1Image(data, np.eye(4))
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path
