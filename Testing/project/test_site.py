"""The documentation as a site: it builds without a warning, and whatever a page names is there."""

from __future__ import annotations

import html.parser
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
for package in ("mkdocs", "material", "mkdocstrings", "mkdocs_jupyter"):
    pytest.importorskip(package, reason=f"The site needs {package}, which is not installed here: extra `docs`.")

pytestmark = pytest.mark.slow


class Page(html.parser.HTMLParser):
    """What an HTML page refers to, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors.update(values[name] for name in ("id", "name") if values.get(name))
        self.targets += [values[name] for name in ("href", "src") if values.get(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site; a warning is a failure."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_docs_is_in_the_site(site: Path) -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    missing = [path.name for path in pages if not (site / path.relative_to(ROOT)).with_suffix(".html").is_file()]
    assert not missing and (site / "index.html").is_file()


def test_whatever_a_page_names_is_there(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    broken = []
    for path, page in pages.items():
        for target in page.targets:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            place = (path.parent / unquote(url.path)).resolve() if url.path else path
            place = place / "index.html" if place.is_dir() else place
            if not place.is_file() or (place in pages and url.fragment and url.fragment not in pages[place].anchors):
                broken.append(f"{path.relative_to(site)}: {target}")
    assert not broken


def test_links_to_the_repository_name_files_of_it(site: Path) -> None:
    home = "https://github.com/MultiContrastSR/SlicerMultiContrastSR/"
    named = {t.partition("#")[0] for path in site.rglob("*.html") for t in Page(path).targets if t.startswith(home)}
    inside = [t.removeprefix(home).split("/", 2) for t in named]
    paths = [parts[2] for parts in inside if parts[0] in ("blob", "tree")]
    assert "LICENSE" in paths and not [name for name in paths if not (ROOT / name).exists()]


def test_the_api_reference_shows_signatures_and_docstrings(site: Path) -> None:
    text = (site / "docs/reference.html").read_text(encoding="utf-8")
    assert 'id="MultiContrastSRLib.pipeline.super_resolve"' in text
    assert "Raises" in text and ":::" not in text


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    loaded = [
        target
        for path in site.rglob("*.html")
        for target in Page(path).targets
        if urlsplit(target).netloc and target.rpartition(".")[2] in ("js", "css", "woff2", "png", "gif")
    ]
    assert not loaded
