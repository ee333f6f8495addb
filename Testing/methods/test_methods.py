"""The contract and the registry: capabilities are stated, names are unique, one new file is enough."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import InputError, OptionError, UnknownNameError
from MultiContrastSRLib.methods import GROUPS, Method, Option, all_methods, get
from MultiContrastSRLib.methods.contract import Registry

ROOT = Path(mc.__file__).parent


def test_the_methods_of_this_release():
    assert {"nearest", "linear", "bspline", "lanczos", "sinc", "guided"} <= {method.name for method in mc.methods()}
    assert [m.group for m in mc.methods()] == sorted((m.group for m in mc.methods()), key=GROUPS.index)


@pytest.mark.parametrize("method", all_methods(), ids=lambda m: m.name)
def test_capabilities_are_stated(method):
    assert method.name == method.name.lower() and " " not in method.name
    assert len(method.summary) < 160 and method.summary.endswith(".") and method.citation
    assert method.reference in ("none", "optional", "required") and method.dimensions in (2, 3)
    assert 0 < method.scale_range[0] <= 1 < method.scale_range[1]
    assert len({option.name for option in method.options}) == len(method.options)
    for option in method.options:
        assert option.name.isidentifier() and option.help.endswith(".")
        assert option.check(option.default, method.name) == option.default


def test_unknown_methods_are_refused():
    with pytest.raises(UnknownNameError) as caught:
        get("magic")
    names = ", ".join(m.name for m in all_methods())
    assert str(caught.value) == f"Unknown method 'magic'; expected one of {names}."


def test_names_are_unique_and_capabilities_required():
    registry = Registry()

    class One(Method):
        name, label, summary, group, citation = "one", "One", "One.", "classical", "none"

        def prepare(self, target, reference=None, **kwargs):
            raise NotImplementedError

    registry.register(One)
    with pytest.raises(InputError, match=r"Method name 'one' of .* is taken by .*; choose another name."):
        registry.register(One)

    class Two(One):
        name, citation = "two", ""

    with pytest.raises(InputError, match="Method class Two states no 'citation'"):
        registry.register(Two)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (Option("n", 3, "N", "Count.", 1, 9), 0, "Option 'n' of method 'm' is 0; expected a whole number from 1 to 9."),
        (
            Option("n", 3, "N", "Count.", 1, 9),
            2.5,
            "Option 'n' of method 'm' is 2.5; expected a whole number from 1 to 9.",
        ),
        (Option("w", 0.5, "W", "Weight.", 0), "x", "Option 'w' of method 'm' is 'x'; expected a number of at least 0."),
        (Option("b", True, "B", "Flag."), 1, "Option 'b' of method 'm' is 1; expected True or False."),
        (
            Option("c", "a", "C", "Kind.", choices=("a", "b")),
            "z",
            "Option 'c' of method 'm' is 'z'; expected one of a, b.",
        ),
    ],
)
def test_options_are_checked(option, value, message):
    with pytest.raises(OptionError) as caught:
        option.check(value, "m")
    assert str(caught.value) == message


def test_unknown_options_are_refused():
    with pytest.raises(OptionError) as caught:
        get("sinc").check_options({"sharpness": 3})
    assert str(caught.value) == "Method 'sinc' has no option 'sharpness'; expected no options."


DUMMY = '''
    """A method that exists only in this test."""

    from .contract import Option, register
    from .interpolation import Linear


    @register
    class Dummy(Linear):
        name = "dummy-file"
        label = "Dummy file"
        summary = "A dummy that proves that one file is enough."
        citation = "None, 2026"
        options = (Option("strength", 0.5, "Strength", "How strong the dummy is.", 0, 1),)
        order = 99
'''


@pytest.fixture
def dummy_file(tmp_path):
    """A folder with a copy of the package that has one method file more."""
    library = tmp_path / ROOT.name
    shutil.copytree(ROOT, library, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    (library / "methods" / "dummy_file_for_test.py").write_text(textwrap.dedent(DUMMY))
    return tmp_path


def test_one_new_file_appears_in_library_shell_and_documentation(dummy_file):
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "MultiContrastSRLib.cli", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(dummy_file)}
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=dummy_file, env=environment
        ).stdout

    assert "dummy-file" in run("methods")
    assert "strength" in run("methods", "dummy-file")
    assert "Dummy file" in run("methods", "--markdown")
