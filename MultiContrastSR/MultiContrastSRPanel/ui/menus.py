"""What the method and device menus offer, made from the library's registry and devices."""

from __future__ import annotations

import importlib.util
from typing import Any

from slicer.i18n import tr as _

from ..logic.dependencies import installable
from ..logic.library import library
from .named_combo_box import Item

HEADINGS = {
    "classical": _("Classical"),
    "trained": _("Trained networks"),
    "subject-specific": _("Fitted to this patient"),
}


def method_items() -> list[Item]:
    """All registered methods under the headings of their groups; empty groups are left out."""
    methods = library("methods").all_methods()
    items: list[Item] = []
    for group in library("methods").GROUPS:
        members = [method for method in methods if method.group == group]
        if members:
            items.append(Item(HEADINGS.get(group, group)))
            items.extend(_method_item(method) for method in members)
    return items


def _method_item(method: Any) -> Item:
    missing = [module for module in method.requires if importlib.util.find_spec(module) is None]
    if missing and all(installable(module) for module in missing):
        what = ", ".join(missing)
        note = _("Needs {packages}, which Apply offers to install.").format(packages=what)
        return Item(method.label, method.name, f"{method.summary} {note}")
    return Item(method.label, method.name, method.summary, blocked=method.unavailable() or "")


def device_items(method: Any) -> list[Item]:
    """auto (and what it means for `method`), the CPU, and each GPU for methods that can use one."""
    devices = library("core.devices")
    if "cuda" in method.devices:
        found = devices.list_devices()  # imports torch, so not for the others
        tip = _("The first GPU, else the CPU.")
    else:
        found = [devices.Device("cpu", "CPU")]
        tip = _("This method runs on the CPU.")
    chosen = devices.resolve_device("auto", method.devices, method.name)[0]
    labels = {device.name: device.label for device in found}
    automatic = Item(_("Automatic: {device}").format(device=labels.get(chosen, chosen)), "auto", tip)
    return [automatic, *(Item(device.label, device.name, tip) for device in found)]
