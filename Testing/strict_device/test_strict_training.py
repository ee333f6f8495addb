"""Training on another device than the CPU: steps, validation, and going on from a checkpoint."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from strict_comparison import Memory  # noqa: E402
from training_fixtures import phantom_pack, recipe  # noqa: E402

from MultiContrastSRLib.core.errors import NotEnoughMemoryError  # noqa: E402
from MultiContrastSRLib.training import loop  # noqa: E402
from MultiContrastSRLib.training.checkpoint import load_state  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("network", "workers"), [("dual-arbnet", 0), ("dinet", 0), ("minet", 0), ("swift", 0), ("swift", 2)]
)
def test_five_steps_with_validation_and_a_stop_between(network, workers, strict_device, tmp_path):
    made = recipe(
        network,
        model={"base": "guided"},
        optimisation={"steps": 5, "validate_every": 2, "save_every": 10, "amp": "off"},
        augmentation={"lesions": 0.5, "gain": 0.1, "intensity_curve": 0.5},
    )
    pack = phantom_pack()

    def parts() -> loop.Outcome:
        asked = iter([False, False, True])
        where = {"device": strict_device.name, "workers": workers}
        with pytest.raises(loop.StoppedError):
            loop.train(made, pack, tmp_path / "parts", **where, cancel=lambda: next(asked))
        return loop.train(made, pack, tmp_path / "parts", **where)

    expected, memory = loop.train(made, pack, tmp_path / "cpu"), Memory(strict_device, parts)
    assert memory.result.finished and memory.needed > 0 and memory.left == 0
    weights, others = (load_state(tmp_path / name).average for name in ("parts", "cpu"))
    assert all(torch.allclose(weights[name], others[name], atol=1e-5) for name in others)
    for found, point in zip(memory.result.curve, expected.curve, strict=True):
        assert found["step"] == point["step"] and found["loss"] == pytest.approx(point["loss"], rel=1e-4)
    assert load_state(tmp_path / "parts").device == "strict:0"


def test_a_batch_that_is_too_large_is_an_error_with_the_remedy(strict_device, tmp_path):
    def run() -> None:
        with (
            strict_device.limited(1_000_000),
            pytest.raises(NotEnoughMemoryError, match=r"Lower optimisation\.batch_size"),
        ):
            loop.train(recipe("swift"), phantom_pack(), tmp_path, device=strict_device.name)

    assert Memory(strict_device, run).left == 0
