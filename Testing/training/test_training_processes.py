"""Training in several processes that share a batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from training_fixtures import RICH, phantom_pack, recipe, tables  # noqa: E402

from MultiContrastSRLib.core.errors import InputError  # noqa: E402
from MultiContrastSRLib.training import loop  # noqa: E402
from MultiContrastSRLib.training.checkpoint import load_state  # noqa: E402
from MultiContrastSRLib.training.data.pack import save_pack  # noqa: E402
from MultiContrastSRLib.training.process_group import ProcessGroup  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

ROOT = Path(__file__).resolve().parents[2]


def as_toml(values: dict) -> str:
    """Tables of plain values as TOML; JSON's texts, numbers and lists are TOML's."""

    def value(given: object) -> str:
        if isinstance(given, dict):
            return "{" + ", ".join(f"{k} = {value(v)}" for k, v in given.items()) + "}"
        return json.dumps(given)

    return "\n".join(f"{key} = {value(entry)}" if not isinstance(entry, list)
                     else f"{key} = [{', '.join(map(value, entry))}]" for key, entry in values.items())  # fmt: skip


def test_two_processes_share_a_batch(tmp_path):
    """Their gradients' mean is the whole batch's gradient, so both trainings are one."""
    wanted = {**RICH, "optimisation": {"steps": 3, "batch_size": 4, "validate_every": 3, "save_every": 10}}
    r, pack = recipe(**wanted), phantom_pack()
    save_pack(pack, tmp_path / "pack.npz")
    (tmp_path / "tiny.toml").write_text(as_toml(tables(**wanted)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "MultiContrastSRLib.cli", "train", str(tmp_path / "tiny.toml")]
    command += ["--from", str(tmp_path / "pack.npz"), "--output", str(tmp_path / "two"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 of 3 steps, finished") == 1 and done.stderr.count("step 3/3") == 1
    loop.train(r, pack, tmp_path / "one")
    one, two = load_state(tmp_path / "one"), load_state(tmp_path / "two")
    assert two.step == 3 and len(two.curve) == 1
    start = recipe(**wanted)
    torch.manual_seed(0)
    fresh = loop.build(start.spec).state_dict()
    for name, tensor in one.model.items():
        # Adam moves a weight whose gradient is rounding error as far as any other
        moved, apart = ((tensor - other[name]).norm() for other in (fresh, two.model))
        assert apart <= 0.02 * moved + 1e-6, name


def test_a_batch_that_cannot_be_shared(tmp_path, monkeypatch):
    left = []

    @contextmanager
    def joined(device):
        try:
            yield ProcessGroup(0, 3, 0)
        finally:
            left.append(device)

    monkeypatch.setattr(ProcessGroup, "joined", joined)
    with pytest.raises(InputError, match="batch_size is 2 for 3 processes"):
        loop.train(recipe(), phantom_pack(), tmp_path)
    assert left == ["cpu"]


@pytest.mark.parametrize("size", [1, 3])
def test_the_process_group_is_left_in_every_case(size, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend: calls.append(backend))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: calls.append("left"))
    monkeypatch.setenv("WORLD_SIZE", str(size))
    (tmp_path / "run").touch()  # no folder can be made here
    with pytest.raises((InputError, FileExistsError)):
        loop.train(recipe(), phantom_pack(), tmp_path / "run")
    assert calls == ([] if size == 1 else ["gloo", "left"])
