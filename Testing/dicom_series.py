"""Writes small DICOM series for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_series(folder: Path, array: np.ndarray, affine: np.ndarray, uid: str = "1.2.826.0.1", **tags: str) -> Path:
    """One file a slice of `array` [k, j, i] (integers), placed by `affine` (RAS mm); names do not follow the order.

    Args:
        tags: keys as in "g0018_0050", text as values; over the defaults.
    """
    import locale

    import SimpleITK as sitk

    before = locale.setlocale(locale.LC_ALL)
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, pixels in enumerate(array):
        place = lps[:3] @ (0, 0, k, 1)
        image = sitk.GetImageFromArray(pixels[None], isVector=pixels.ndim == 3)
        image.SetSpacing(spacing.tolist())
        values = {
            "g0008_0060": "MR",
            "g0020_000e": uid,
            "g0020_000d": "1.2.826.0.9",
            "g0008_0018": f"{uid}.{k}",
            "g0020_0032": "\\".join(f"{x:.6f}" for x in place),
            "g0020_0037": "\\".join(f"{x:.9f}" for x in direction[:, :2].T.ravel()),
            "g0028_0030": f"{spacing[1]:.9f}\\{spacing[0]:.9f}",
            **tags,
        }
        for key, text in values.items():
            image.SetMetaData(key[1:].replace("_", "|"), text)
        writer.SetFileName(str(folder / f"{uid}-{(k * 7) % 101:03d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)  # the writer leaves "C", in which Python reads text files as ASCII
    return folder
