"""The documentation's text: blocks that commands make, size of the README, links, spelling."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import documentation
import pytest

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE_DOCS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "MultiContrastSRLib/training/README.md")
PAGES = [*(ROOT / name for name in OUTSIDE_DOCS), *sorted((ROOT / "docs").glob("*.md"))]


def anchors_of(path: Path) -> set[str]:
    """The anchors of a Markdown file's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["methods", "api"])
def test_blocks_say_what_the_library_says(name: str) -> None:
    assert documentation.block_of(name) == documentation.BLOCKS[name][1](), "run `make docs-blocks`"


def test_api_reference_describes_every_public_name() -> None:
    import MultiContrastSRLib as mc

    listed = set(re.findall(r"^\| `mc\.(\w+)`", documentation.block_of("api"), re.MULTILINE))
    listed |= {"methods"} if "MultiContrastSRLib.methods.all_methods" in documentation.block_of("api") else set()
    listed |= {"MultiContrastSRError"} if "MultiContrastSRLib.core.errors" in documentation.block_of("api") else set()
    assert listed == set(mc.__all__)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8192


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        if target.startswith("http"):
            continue
        if not path.exists() or (anchor and anchor not in anchors_of(path)):
            broken.append(target)
    assert not broken


def test_links_to_this_repository_name_files_of_it() -> None:
    files = [path for pattern in ("*.md", "*.toml", "*.txt") for path in ROOT.glob(pattern)]
    home = r"https://(?:github|raw\.githubusercontent)\.com/MultiContrastSR/SlicerMultiContrastSR/(?:blob/|raw/)?main/"
    named = [(p, n) for p in files for n in re.findall(home + r"([^\s\")#]+)", p.read_text(encoding="utf-8"))]
    assert named and not [f"{path.name}: {name}" for path, name in named if not (ROOT / name).exists()]


def test_spelling() -> None:
    pytest.importorskip("codespell_lib", reason="Spelling is checked by codespell, which is not installed here.")
    sources = [ROOT / name for name in ("MultiContrastSRLib", "MultiContrastSR", "CITATION.cff", ".github")]
    command = [sys.executable, "-m", "codespell_lib", "--toml", str(ROOT / "pyproject.toml")]
    done = subprocess.run([*command, *map(str, PAGES + sources)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_troubleshooting_quotes_messages_of_the_code() -> None:
    sources = [path for name in ("MultiContrastSRLib", "MultiContrastSR") for path in (ROOT / name).rglob("*.py")]
    code = "".join(re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8")) for path in sources)
    code = code.replace("{NAME}", "MultiContrastSRLib")
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    first_column = re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
    messages = [message for cell in first_column for message in re.findall(r"`(.*?)`", cell)]
    messages.remove("No module named 'MultiContrastSRLib'")  # Python's own
    parts = [part.strip(" ().;") for message in messages for part in re.split(r"…|\b\w+:\d+|\b\d+\b", message)]
    assert len(messages) > 10 and not [part for part in parts if part and part not in code]
