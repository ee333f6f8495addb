"""The check of a GPU, on the strict device."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="The check of a GPU needs torch, which is not installed here.")

from gpu_check.__main__ import check  # noqa: E402
from gpu_check.measurements import TRAINED  # noqa: E402
from strict_comparison import TOLERANCE  # noqa: E402
from training_fixtures import phantom_pack  # noqa: E402

from MultiContrastSRLib.inference.slice_network import SliceNetwork  # noqa: E402
from MultiContrastSRLib.training.data.pack import save_pack  # noqa: E402

pytestmark = pytest.mark.slow


def test_all_kinds_of_measurement_run_on_a_device(strict_device, tmp_path):
    pack = save_pack(phantom_pack(), tmp_path / "pack.npz")
    only = ("joint-tv", "live views of swift", "published networks", "subject-inr fast", "subject-inr paper", "swift")
    found = check(strict_device.name, pack, small=True, only=only)
    assert found["failed"] == {} and found["left out"] == [] and found["machine"]["device"] == strict_device.name
    differences = [row["largest difference"] for row in found["tables"]["differences"].values()]
    assert len(differences) == 2 and max(differences) < TOLERANCE
    assert all(rows for rows in found["tables"].values())


def test_a_device_that_gives_up_does_not_pass(strict_device, tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("unspecified launch failure")

    monkeypatch.setattr(SliceNetwork, "__call__", _on_cpu_only(SliceNetwork.__call__, fails))
    pack = save_pack(phantom_pack(), tmp_path / "pack.npz")
    found = check(strict_device.name, pack, small=True, only=("differences",))
    assert {name for name in found["failed"] if "unspecified launch failure" in found["failed"][name]} == {
        f"differences: {method}" for method in TRAINED
    }


def _on_cpu_only(real, instead):
    return lambda self, stack, *others: (real if stack.base.device.type == "cpu" else instead)(self, stack, *others)
