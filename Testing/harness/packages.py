"""Fake package installation: `slicer.util.pip_install` and `slicer.packaging` record what a module asks for."""

import sys
import types

import slicer


class Packages:
    """What was asked of pip, and how it answers. `error` is raised by the next installations when set."""

    def __init__(self):
        self.installed: list[str] = []
        self.error: Exception | None = None

    def clear(self) -> None:
        self.installed.clear()
        self.error = None

    def _install(self, requirements, **_options) -> None:
        if self.error is not None:
            raise self.error
        self.installed.extend([requirements] if isinstance(requirements, str) else map(str, requirements))

    def without_packaging(self) -> None:
        """As in Slicer 5.10, which has no slicer.packaging."""
        sys.modules.pop("slicer.packaging", None)
        vars(slicer).pop("packaging", None)

    def with_packaging(self) -> None:
        """As from Slicer 5.12 on."""
        module = types.ModuleType("slicer.packaging")
        module.pip_install = module.pip_ensure = self._install
        sys.modules["slicer.packaging"] = slicer.packaging = module


def install() -> Packages:
    packages = Packages()
    slicer.util.pip_install = packages._install
    packages.with_packaging()
    return packages
