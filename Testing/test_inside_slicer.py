"""The library with what Slicer's own Python has; a Slicer build runs this file too, hence unittest."""

from __future__ import annotations

import unittest

import numpy as np


class LibraryInsideSlicer(unittest.TestCase):
    """Import, super-resolve with and without reference, in whichever Python runs this."""

    def setUp(self) -> None:
        import MultiContrastSRLib as mc

        self.mc = mc
        k, j, i = np.meshgrid(np.arange(3), np.arange(32), np.arange(32), indexing="ij")
        pattern = 100 + 50 * np.sin(j / 3.0) * np.cos(i / 4.0) + k
        self.target = mc.Volume(pattern, np.diag([1.0, 1.0, 4.0, 1.0]), "T2")
        self.reference = mc.Volume(400 - pattern, np.diag([1.0, 1.0, 4.0, 1.0]), "T1")

    def test_every_available_classical_method(self) -> None:
        for method in self.mc.methods():
            if method.group != "classical" or method.unavailable():
                continue
            with self.subTest(method=method.name):
                reference = None if method.reference == "none" else self.reference
                options = {"method": method.name, "register": "off", "scale": 2}
                result = self.mc.super_resolve(self.target, reference, **options)
                self.assertEqual(result.volume.array.shape, (3, 64, 64))
                self.assertTrue(np.isfinite(result.volume.array).all())
                self.assertLess(abs(float(result.volume.array.mean() - self.target.array.mean())), 1.0)


if __name__ == "__main__":
    unittest.main()
