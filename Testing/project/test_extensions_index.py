"""What Slicer's Extensions Index checks of an entry, and what its reviewers look for, without its network parts.

The rules are those of the index's `check_description_files.py`, its catalogue schema 1.0.2 and the list for new
extensions of tier 1, as of August 2026. Not checked here: that addresses answer, and the repository's topic.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "Resources/ExtensionsIndex/MultiContrastSR.json"
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURES = (".png", ".jpg", ".jpeg", ".gif")  # types that the index accepts; WebP is not one
LIMIT = 100 * 2**20  # bytes of a clone with its history


@pytest.fixture
def entry() -> dict:
    return json.loads(ENTRY.read_text(encoding="utf-8"))


def cmake_value(name: str) -> str:
    """The value of `set(name "…")`, found by the index's own pattern: one line, one pair of quotes."""
    (value,) = re.findall(rf'set\s*\({name}\s*"([^"]+)"\)', CMAKE)
    return value


def test_entry_fits_the_catalogue_schema(entry: dict) -> None:
    kinds = {
        "$schema": str,
        "category": str,
        "scm_url": str,
        "scm_revision": str,
        "scm_type": str,
        "build_dependencies": list,
        "build_subdirectory": str,
        "dicom_support_rule": str,
        "enabled": bool,
        "tier": int,
    }
    required = list(kinds)[:4]  # the schema requires three, Slicer's build the revision as well
    assert set(required) <= set(entry) <= set(kinds)
    assert all(type(value) is kinds[key] for key, value in entry.items())
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry["tier"] == 1  # experimental; 3 and 5 are the community's and Slicer's own


def test_entry_is_a_file_with_plain_line_ends() -> None:
    assert b"\r" not in ENTRY.read_bytes()


def test_category_is_on_the_closed_list(entry: dict) -> None:
    assert entry["category"] == "Filtering"  # "Super-resolution" is not on it


def test_no_dicom_support_is_claimed(entry: dict) -> None:
    # a rule makes Slicer suggest the extension for DICOM files that it cannot load itself; there are none here
    assert "dicom_support_rule" not in entry


def test_names_and_address(entry: dict) -> None:
    url = urlsplit(entry["scm_url"])
    repository = url.path.rpartition("/")[2].removesuffix(".git")
    assert url.scheme == "https" and url.netloc == "github.com"
    assert repository == f"Slicer{ENTRY.stem}" and not ENTRY.stem.lower().startswith("slicer")
    assert re.search(r"project\s*\(\s*([^\s)]+)", CMAKE)[1] == ENTRY.stem
    assert entry["scm_url"].removesuffix(".git") == cmake_value("EXTENSION_HOMEPAGE")


def test_dependencies_agree_with_cmake(entry: dict) -> None:
    assert cmake_value("EXTENSION_DEPENDS").split() == entry["build_dependencies"] == ["PyTorch"]


@pytest.mark.parametrize("name", ["EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"])
def test_picture_addresses_lead_to_pictures_of_this_tree(name: str) -> None:
    for url in cmake_value(name).split():
        path = ROOT / url.partition("/main/")[2]
        assert url.startswith("https://raw.githubusercontent.com/") and path.suffix in PICTURES
        assert path.is_file(), f"{path} does not exist"


def test_icon_has_the_recommended_size() -> None:
    header = (ROOT / cmake_value("EXTENSION_ICONURL").partition("/main/")[2]).read_bytes()[16:24]
    assert [int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")] == [128, 128]


def test_description_and_keywords_help_to_find_the_extension() -> None:
    description = cmake_value("EXTENSION_DESCRIPTION")
    assert 2 <= description.count(".") <= 4 and len(description) < 300
    keywords = cmake_value("EXTENSION_KEYWORDS").split()
    assert len(set(keywords)) == len(keywords) >= 5 and {"MRI", "super-resolution"} <= set(keywords)


def test_licence_is_where_the_index_looks() -> None:
    assert (ROOT / "LICENSE").is_file() and "Apache-2.0" in README


def test_homepage_has_what_reviewers_look_for() -> None:
    start = README[:1500]
    assert start.startswith("# MultiContrastSR\n") and "3D Slicer extension" in start  # name, and what it is for
    assert re.search(r"!\[[^]]+\]\(Resources/Screenshots/[\w-]+\.png\)", start)  # a picture
    assert "one module, *Multi-contrast Super-resolution*" in README  # every module in a sentence
    assert "## Cite" in README and "*Sample Data*" in README  # publication; a tutorial with its data
    assert re.search(r"^5\. ", README, re.MULTILINE)


def test_a_clone_stays_below_the_limit() -> None:
    # what a clone receives, each object once: the repository itself may hold packs that repeat or are no longer used
    history = subprocess.run(
        ["git", "rev-list", "--objects", "--disk-usage", "--all"], cwd=ROOT, capture_output=True, text=True
    )
    if history.returncode != 0:
        pytest.skip("This tree is no git checkout (or git is older than 2.31), so the size of a clone is unknown.")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert int(history.stdout) + sum(path.stat().st_size for path in files if path.is_file()) < LIMIT
