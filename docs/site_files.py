"""MkDocs hook: the site has the repository's own layout, so relative links work in both.

MkDocs takes pages from one folder, this repository keeps them where GitHub readers look for them: README.md at the
root, guides beside the code, pictures in Resources/. The hook gives MkDocs each file under its path in the repository.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
SHOWN = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "docs/*.ipynb",
    "MultiContrastSRLib/training/README.md",
    "MultiContrastSRLib/weights/shipped/*.md",
    "Resources/Screenshots/*",
)
LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(?=\))")


@event_priority(100)  # before plugins look for their own kinds of file
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site, each under its path in the repository, and the theme's."""
    for file in list(files.documentation_pages()) + list(files.media_files()):
        if file.src_uri.endswith((".md", ".ipynb", ".py", ".pyc")):  # those of docs/, without their folder
            files.remove(file)
    for pattern in SHOWN:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files that are no part of the site lead to the repository."""

    def absolute(found: re.Match[str]) -> str:
        target = (ROOT / page.file.src_uri).parent / found[2]
        if not target.exists() or not target.resolve().is_relative_to(ROOT):
            return found[0]
        name = target.resolve().relative_to(ROOT).as_posix()
        if files.get_file_from_path(name):
            return found[0]
        kind = "tree" if target.is_dir() else "blob"
        return f"{found[1]}{config.repo_url}/{kind}/main/{name}{found[3] or ''}"

    return LINK.sub(absolute, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between pages in a notebook, which MkDocs takes as they are."""
    return re.sub(r'(href="[\w/.-]+)\.md(?=["#])', r"\1.html", html) if page.file.src_uri.endswith(".ipynb") else html
