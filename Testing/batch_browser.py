"""Opens a page of a batch in a headless Chromium (QtWebEngine of PySide6), looks at it and takes its picture.

python Testing/batch_browser.py OUTPUT/batch.html page.png     (QtWebEngine: pip install PySide6_Addons)

Prints JSON: title, pictures that do not show, messages of the console, links without a file, width of the content and
of the window, the cells of the first table as the page comes and after a click on each head.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

WIDTH, HEIGHT = 1200, 4000  # of the window, which holds most pages
MARGIN = 20
SETTLE_MS = 500  # between two looks whether a loaded page is painted
_LOOK = """
(() => {
  const table = document.querySelector("table");
  const rows = () => [...(table?.tBodies[0].rows ?? [])];
  const cells = () => rows().map(row => [...row.cells].map(cell => cell.textContent));
  const before = cells(), sorted = {};
  for (const head of document.querySelectorAll("th[data-sort]")) { head.click(); sorted[head.textContent] = cells(); }
  const links = [...document.querySelectorAll("a[href]")].map(link => link.href);
  const broken = [...document.images].filter(image => !image.naturalWidth).map(image => image.src);
  const root = document.scrollingElement, height = document.body.getBoundingClientRect().bottom;
  return JSON.stringify({title: document.title, before, sorted, links, broken, pictures: document.images.length,
                         width: root.scrollWidth, window: window.innerWidth, height});
})()
"""


def look(page: Path, picture: Path) -> dict[str, object]:
    """What `_LOOK` finds on the page, whose picture is saved first."""
    from PySide6 import QtCore, QtGui, QtWidgets
    from PySide6.QtWebEngineCore import QWebEnginePage
    from PySide6.QtWebEngineWidgets import QWebEngineView

    messages: list[str] = []

    class Page(QWebEnginePage):
        def javaScriptConsoleMessage(self, level, message, line, source) -> None:
            messages.append(f"{source}:{line}: {message}")

    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["browser"])
    view = QWebEngineView()
    view.setPage(Page(view))
    view.resize(WIDTH, HEIGHT)
    found: dict[str, object] = {}

    def done(text: str, painted: QtGui.QImage) -> None:
        found.update(json.loads(text), messages=messages)
        painted.copy(0, 0, WIDTH, min(int(found["height"]) + MARGIN, HEIGHT)).save(str(picture))
        application.quit()

    def settled(before: QtGui.QImage) -> None:
        """Go on when the page is painted: not blank, and the same twice."""
        image = view.grab().toImage()
        blank = image.copy()
        blank.fill(image.pixelColor(0, 0))
        if image == before and image != blank:
            view.page().runJavaScript(_LOOK, lambda text: done(text, image))
        else:
            QtCore.QTimer.singleShot(SETTLE_MS, lambda: settled(image))

    def loaded(well: bool) -> None:
        if not well:
            application.exit(1)
        QtCore.QTimer.singleShot(SETTLE_MS, lambda: settled(QtGui.QImage()))

    view.loadFinished.connect(loaded)
    view.load(QtCore.QUrl.fromLocalFile(str(page.absolute())))
    view.show()
    if application.exec() != 0:
        raise SystemExit(f"Chromium could not load {page}.")
    return found


def main(arguments: list[str]) -> int:
    page, picture = map(Path, arguments)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("QTWEBENGINE_CHROMIUM_FLAGS", "--no-sandbox --disable-gpu")
    print(json.dumps(look(page, picture)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
