"""Installing what a method needs: each way to fail ends in an error with a remedy. Installers are fakes."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "MultiContrastSR"))

from MultiContrastSRPanel.logic import dependencies  # noqa: E402

from MultiContrastSRLib.core.errors import MethodUnavailableError, MultiContrastSRError  # noqa: E402

PACKAGE = "package_that_is_not_there"


class FakeTensor:
    """What `torch.from_numpy` gives, as far as the check of an installation computes with it."""

    def __init__(self, array):
        self.array = array

    def __rmul__(self, factor):
        return FakeTensor(factor * self.array)

    def numpy(self):
        return self.array


def fake_torch(from_numpy=FakeTensor):
    torch = types.ModuleType("torch")
    torch.from_numpy = from_numpy
    return torch


def raising(error):
    def call(*arguments, **keywords):
        raise error

    return call


class Installer:
    """PyTorchUtilsLogic as the newest extension has it; remembers the keywords it got."""

    def __init__(self, outcome):
        self.outcome, self.calls = outcome, []

    def installTorch(self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None):
        self.calls.append({"askConfirmation": askConfirmation, "torchVersionRequirement": torchVersionRequirement})
        return self.outcome()


class OldInstaller(Installer):
    """The signature of an older extension."""

    def installTorch(self, askConfirmation=False):
        self.calls.append({"askConfirmation": askConfirmation})
        return self.outcome()


@pytest.fixture(autouse=True)
def no_pip(monkeypatch):
    """Plain pip must never be reached for torch; nor anything real be installed."""
    monkeypatch.setattr(subprocess, "Popen", raising(AssertionError("a process was started")))
    monkeypatch.delattr(slicer, "packaging", raising=False)
    monkeypatch.setattr(slicer.util, "pip_install", raising(AssertionError("plain pip")), raising=False)


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # import says ModuleNotFoundError, as if it were not installed


def offer(monkeypatch, installer):
    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = lambda: installer
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return installer


def installs(monkeypatch, torch):
    def outcome():
        monkeypatch.setitem(sys.modules, "torch", torch)
        return torch

    return outcome


def refusal(action):
    with pytest.raises(MethodUnavailableError) as caught:
        action()
    assert isinstance(caught.value, MultiContrastSRError)
    return str(caught.value)


def test_nothing_needed_installs_nothing(monkeypatch, without_torch):
    installer, asked = offer(monkeypatch, Installer(fake_torch)), record_pip(monkeypatch)
    dependencies.ensure(())
    dependencies.load(())
    assert (installer.calls, asked, sys.modules["torch"]) == ([], [], None)


def test_working_torch_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch())
    installer = offer(monkeypatch, Installer(raising(AssertionError("installed again"))))
    dependencies.ensure(("torch",))
    assert not installer.calls


def test_missing_torch_comes_through_the_pytorch_extension(monkeypatch, without_torch):
    torch = fake_torch()
    installer = offer(monkeypatch, Installer(installs(monkeypatch, torch)))
    assert dependencies.ensure_torch() is torch
    assert installer.calls == [{"askConfirmation": True, "torchVersionRequirement": ">=2.3"}]


def test_an_older_extension_gets_only_keywords_it_knows(monkeypatch, without_torch):
    installer = offer(monkeypatch, OldInstaller(installs(monkeypatch, fake_torch())))
    dependencies.ensure_torch()
    assert installer.calls == [{"askConfirmation": True}]


def test_missing_extension(monkeypatch, without_torch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert refusal(dependencies.ensure_torch) == (
        "This method needs PyTorch, and the PyTorch extension that installs it cannot be used "
        "(import of PyTorchUtils halted; None in sys.modules). "
        "Install the extension 'PyTorch' with the Extensions Manager, restart Slicer and press Apply again."
    )


def test_broken_extension(monkeypatch, without_torch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.ModuleType("PyTorchUtils"))
    message = refusal(dependencies.ensure_torch)
    assert "cannot be used (cannot import name 'PyTorchUtilsLogic'" in message and "Extensions Manager" in message


def test_declined(monkeypatch, without_torch):
    offer(monkeypatch, Installer(lambda: None))
    assert refusal(dependencies.ensure_torch) == (
        "PyTorch was not installed because the installation was declined. "
        "Press Apply again to be asked again, or choose a classical method, which needs no PyTorch."
    )


def test_offline(monkeypatch, without_torch):
    failed = subprocess.CalledProcessError(1, ["ltt"], output="Collecting torch\nERROR: No route to host.\n")
    offer(monkeypatch, Installer(raising(failed)))
    assert refusal(dependencies.ensure_torch) == (
        "Installing PyTorch failed: ERROR: No route to host. If this computer is offline or behind a proxy, connect it "
        "once, or have an administrator install the package into Slicer's Python. "
        "Then press Apply again; the module 'PyTorch Utils' shows the details."
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError("libcudart.so.12: cannot open shared object file"), "libcudart.so.12: cannot open shared object file"),
        (AttributeError("torch has no attribute 'from_numpy'"), "torch has no attribute 'from_numpy'"),
        (ModuleNotFoundError("No module named 'torch._C'", name="torch._C"), "No module named 'torch._C'"),
        (RuntimeError(""), "RuntimeError"),
    ],
)
def test_half_installed_torch_is_reported_and_not_installed_over(monkeypatch, error, cause):
    monkeypatch.setitem(sys.modules, "torch", fake_torch(raising(error)))
    installer = offer(monkeypatch, Installer(raising(AssertionError("installed over"))))
    assert refusal(dependencies.ensure_torch) == (
        f"PyTorch is installed but does not work ({cause}). Open the module 'PyTorch Utils', press Uninstall, "
        "restart Slicer, press Install there, and come back."
    )
    assert not installer.calls


def test_torch_that_does_not_work_after_installing(monkeypatch, without_torch):
    offer(monkeypatch, Installer(installs(monkeypatch, fake_torch(raising(OSError("bad build"))))))
    assert "does not work (bad build)" in refusal(dependencies.ensure_torch)


def test_torch_that_is_not_found_after_installing(monkeypatch, without_torch):
    offer(monkeypatch, Installer(fake_torch))
    assert refusal(dependencies.ensure_torch) == (
        "PyTorch was installed but cannot be found yet. Restart Slicer and press Apply again."
    )


# ---------------------------------------------------------------------- other packages


def arrives(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, types.ModuleType(PACKAGE))


def with_packaging(monkeypatch, pip_ensure):
    monkeypatch.setattr(slicer, "packaging", types.SimpleNamespace(pip_ensure=pip_ensure), raising=False)


def record_pip(monkeypatch):
    """The names that `slicer.packaging` is asked for, from now on."""
    asked = []
    with_packaging(monkeypatch, lambda name, requester: asked.append(name))
    return asked


def test_package_that_is_there_is_left_alone(monkeypatch):
    asked = record_pip(monkeypatch)
    dependencies.ensure(("json",))
    assert asked == [] and dependencies.is_installed("json") and not dependencies.is_installed(PACKAGE)


# ---------------------------------------------------------------------- imports


def test_installed_packages_are_imported_by_load_only(monkeypatch, tmp_path):
    """`ensure` runs on the main thread, where importing PyTorch would block the interface for seconds."""
    (tmp_path / f"{PACKAGE}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, PACKAGE, sys)
    del sys.modules[PACKAGE]
    stages = []
    dependencies.ensure((PACKAGE,))
    assert not dependencies.are_loaded((PACKAGE,))
    dependencies.load((PACKAGE,), lambda fraction, stage: stages.append(stage))
    assert sys.modules[PACKAGE].value == 1 and stages == [f"Starting {PACKAGE}…"]
    dependencies.load((PACKAGE,), lambda fraction, stage: stages.append(stage))
    assert len(stages) == 1 and dependencies.loading_text(("torch",)) == "Starting PyTorch…"


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_the_large_library_of_torch_is_loaded_before_the_import(monkeypatch):
    """`import torch` would load it with Python's lock held, and the interface would stand still meanwhile."""
    pytest.importorskip("torch")
    code = f"""if True:
        import sys
        sys.path[:0] = {sys.path!r}
        from MultiContrastSRPanel.logic import dependencies
        dependencies._preload_torch_library()
        print("libtorch_cpu" in open("/proc/self/maps").read(), "torch" in sys.modules)
        dependencies.load(("torch",))
        print(sys.modules["torch"].ones(2).sum().item())
    """
    monkeypatch.undo()  # processes may be started here
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False", "2.0"], done.stderr


def test_a_package_that_does_not_import_is_reported(monkeypatch, tmp_path):
    (tmp_path / f"{PACKAGE}.py").write_text("raise OSError('no such symbol')\n")
    monkeypatch.syspath_prepend(tmp_path)
    dependencies.ensure((PACKAGE,))
    assert refusal(lambda: dependencies.load((PACKAGE,))) == (
        f"The Python package '{PACKAGE}' is installed but does not work (no such symbol). "
        f"Install it again in Slicer's Python console: pip_install('--force-reinstall {PACKAGE}')."
    )


def test_broken_torch_that_was_not_imported_is_reported_by_load(monkeypatch, tmp_path):
    monkeypatch.setattr(dependencies, "_probe_torch", raising(dependencies._unavailable("does not work")))
    monkeypatch.setattr(dependencies, "are_loaded", lambda modules: False)
    monkeypatch.setattr(dependencies, "is_installed", lambda module: True)
    assert dependencies.ensure_torch() is None
    assert refusal(lambda: dependencies.load(("torch",))) == "does not work"


def test_package_comes_through_slicer_packaging(monkeypatch):
    asked = []
    with_packaging(monkeypatch, lambda name, requester: (asked.append((name, requester)), arrives(monkeypatch)))
    dependencies.ensure((PACKAGE,))
    assert asked == [(PACKAGE, "MultiContrastSR")]


def test_older_slicer_asks_and_uses_pip_install(monkeypatch):
    asked, installed = [], []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: asked.append(text) or True)
    monkeypatch.setattr(slicer.util, "pip_install", lambda name: (installed.append(name), arrives(monkeypatch)))
    dependencies.ensure((PACKAGE,))
    assert installed == [PACKAGE] and asked == [f"This method needs the Python package '{PACKAGE}'. Install it now?"]


DECLINED = (
    f"The Python package '{PACKAGE}' was not installed because the installation was declined. "
    "Press Apply again to be asked again, or choose a method that does not need it."
)


def test_package_declined_in_an_older_slicer(monkeypatch):
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: False)
    assert refusal(lambda: dependencies.ensure((PACKAGE,))) == DECLINED


def test_package_declined_in_slicer_packaging(monkeypatch):
    with_packaging(monkeypatch, raising(RuntimeError("User declined package installation")))
    assert refusal(lambda: dependencies.ensure((PACKAGE,))) == DECLINED


def test_package_offline(monkeypatch):
    with_packaging(
        monkeypatch, raising(subprocess.CalledProcessError(1, ["pip"], stderr=b"ERROR: No matching distribution\n"))
    )
    assert refusal(lambda: dependencies.ensure((PACKAGE,))) == (
        f"Installing the Python package '{PACKAGE}' failed: ERROR: No matching distribution. If this computer is "
        "offline or behind a proxy, connect it once, or have an administrator install the package into Slicer's Python."
    )


def test_package_that_is_not_found_after_installing(monkeypatch):
    with_packaging(monkeypatch, lambda name, requester: None)  # so it behaves in Slicer's testing mode
    assert refusal(lambda: dependencies.ensure((PACKAGE,))) == (
        f"The Python package '{PACKAGE}' was installed but cannot be imported yet. Restart Slicer."
    )
