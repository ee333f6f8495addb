"""What the method and device menus offer, made from the library's registry and devices."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..logic.automatic import AUTOMATIC
from ..logic.dependencies import are_loaded, installable, is_installed
from ..logic.library import library
from .named_combo_box import MenuItem

AUTOMATIC_SUMMARY = _(
    "Swift, a trained network, where PyTorch works; else Guided. Both add detail of the reference and keep what was "
    "measured. The result says which it was."
)
HEADINGS = {
    "classical": _("Classical"),
    "trained": _("Trained networks"),
    "subject-specific": _("Fitted to this patient"),
}


def method_items() -> list[MenuItem]:
    """*Automatic*, then all registered methods under the headings of their groups; empty groups are left out."""
    methods = library("methods").all_methods()
    items = [MenuItem(_("Automatic (recommended)"), AUTOMATIC, AUTOMATIC_SUMMARY), MenuItem(_("All methods"))]
    for group in library("methods").GROUPS:
        members = [method for method in methods if method.group == group]
        if members:
            items.append(MenuItem(HEADINGS.get(group, group)))
            items.extend(_method_item(method) for method in members)
    return items


def _method_item(method: Any) -> MenuItem:
    missing = [module for module in method.requires if not is_installed(module)]
    if missing and all(installable(module) for module in missing):
        packages = ", ".join(missing)
        note = _("Needs {packages}, which Apply offers to install.").format(packages=packages)
        return MenuItem(method.label, method.name, f"{method.summary} {note}")
    return MenuItem(method.label, method.name, method.summary, blocked=method.unavailable() or "")


def device_items(method: Any, unknown: str = "") -> list[MenuItem]:
    """The choices "auto" (and the device that it stands for), the CPU, and each GPU for methods that can use one.

    Args:
        unknown: text of auto while it is not known what it stands for, see `needs_loading`.
    """
    devices = library("core.devices")
    cpu_only = set(method.devices) == {"cpu"}
    tip = _("This method runs on the CPU.") if cpu_only else _("The first GPU, else the CPU.")
    found = devices.list_devices(("cpu",) if needs_loading(method) else method.devices)
    preferred = devices.preferred_device(found)
    automatic = _("Automatic: {device}").format(device=preferred.label)
    first = MenuItem(unknown or automatic, "auto", tip)
    return [first, *(MenuItem(device.label, device.name, tip) for device in found)]


def needs_loading(method: Any) -> bool:
    """Whether GPUs of `method` are known only once installed packages are imported, which may take seconds."""
    packages = () if set(method.devices) == {"cpu"} else method.requires
    return all(is_installed(package) for package in packages) and not are_loaded(packages)
