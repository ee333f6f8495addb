"""Options that had another name in an earlier version: scenes, commands and calls with the former name keep working."""

from __future__ import annotations

import json

import pytest

from MultiContrastSRLib.cli.console import parse_options
from MultiContrastSRLib.core.errors import OptionError
from MultiContrastSRLib.methods import get

FORMER, PRESENT = "orientations", "test_time_augmentation"


def test_calls_and_commands_accept_the_former_name():
    assert get("dinet").check_options({FORMER: 3}) == get("dinet").check_options({PRESENT: 3})
    assert parse_options("dinet", [f"{FORMER}=2"]) == {FORMER: 2}
    with pytest.raises(OptionError, match=rf"'{PRESENT}' .* is 9; expected .* from 1 to 8"):
        get("dinet").check_options({FORMER: 9})
    with pytest.raises(OptionError, match=rf"'{PRESENT}' .* is given twice.*Leave out .*'{FORMER}'"):
        get("dinet").check_options({FORMER: 2, PRESENT: 2})


def test_a_scene_with_the_former_name_is_shown_and_stored_by_the_present_one(module):
    pytest.importorskip("slicer")
    module.logic.getParameterNode().method = "dinet"
    module.ui.optionValues.text = json.dumps({"dinet": {FORMER: 3}})
    widgets = {widget.objectName: widget for widget in module.widget.panel._form.widgets}
    assert widgets[f"option_{PRESENT}"].value == 3
    widgets["option_check_reference"].checked = False
    assert json.loads(module.ui.optionValues.text) == {"dinet": {PRESENT: 3, "check_reference": False}}
    assert get("dinet").check_options(module.widget.panel._form.values_of("dinet"))[PRESENT] == 3
