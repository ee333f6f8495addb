"""A small pair of contrasts for the evaluation tests, and one evaluation of it."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import pair

from MultiContrastSRLib import Volume, save_volume
from MultiContrastSRLib.evaluation import evaluate


@pytest.fixture(scope="session")
def masked_pair():
    """Two contrasts of one anatomy, skull-stripped by one mask, with a lesion mask."""
    target, reference = pair((9, 96, 80))
    rows, columns = np.mgrid[:96, :80]
    head = ((rows - 48) / 38) ** 2 + ((columns - 40) / 30) ** 2 < 1
    lesions = np.broadcast_to((rows - 50) ** 2 + (columns - 36) ** 2 < 20, target.shape)
    # 80 where the phantom's gaps are: a brain has none
    strip = [Volume((np.maximum(v.array, 0) + 80) * head, v.affine, v.name) for v in (target, reference)]
    brighter = strip[0].array + 150 * lesions
    return Volume(brighter, target.affine, "T2"), strip[1], Volume(lesions.astype(float), target.affine)


@pytest.fixture(scope="session")
def found(masked_pair):
    target, reference, lesions = masked_pair
    return evaluate(target, reference, methods=["bspline", "guided"], scales=(2, 3), lesions=lesions)


@pytest.fixture(scope="session")
def cohort(masked_pair, tmp_path_factory):
    """A folder of two subjects, laid out as open_ms_data; the first has a lesion mask."""
    folder = tmp_path_factory.mktemp("cohort")
    for number, name in enumerate(("one", "two")):
        place = folder / "MNI" / name
        place.mkdir(parents=True)
        for volume in masked_pair[:2]:
            turned = Volume(volume.array[:, ::-1] if number else volume.array, volume.affine)
            save_volume(turned, place / f"{volume.name}_brain.nii.gz")
    save_volume(masked_pair[2], folder / "MNI" / "one" / "GOLD_STANDARD_1.nii.gz")
    save_volume(masked_pair[0], folder / "MNI" / "one" / "T1POST_brain.nii.gz")
    return folder
