"""Pictures of the panel and of the slice views, as PNG."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

_COLORS = {"Red": "#f34a33", "Yellow": "#edd54c", "Green": "#6eb04b"}  # Slicer's names are its colours


def render(widget: QtWidgets.QWidget, scale: float = 1.0) -> QtGui.QImage:
    """The widget drawn at `scale` device pixels a point: what a screen scaled to 100 %, 150 % ... shows."""
    image = QtGui.QImage(widget.size * scale, QtGui.QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    image.fill(widget.palette.color(QtGui.QPalette.ColorRole.Window))
    widget.render(image)
    return image


def fit_panel(panel: QtWidgets.QWidget, width: int) -> None:
    """Give the panel the width of Slicer's module panel (a larger one where it needs that), and the height it wants."""
    panel.show()
    QtWidgets.QApplication.processEvents()
    layout = panel.layout()
    width = max(width, panel.minimumSizeHint.width())  # else Qt lays it out for a width that it does not get
    height = layout.totalHeightForWidth(width) if layout.hasHeightForWidth() else panel.sizeHint.height()
    panel.resize(width, max(height, panel.minimumSizeHint.height()))
    QtWidgets.QApplication.processEvents()


def save(image: QtGui.QImage, path: str | Path) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if not image.save(str(path)):
        raise OSError(f"cannot write the picture {path}")
    return Path(path)


def _view_image(view) -> QtGui.QImage:
    pixels = view.image()
    rows, columns, _ = pixels.shape
    data = pixels.tobytes()
    return QtGui.QImage(data, columns, rows, 3 * columns, QtGui.QImage.Format.Format_RGB888).copy()


def with_views(panel: QtWidgets.QWidget, scale: float = 1.0) -> QtGui.QImage:
    """The panel at the left, the slice views at the right under their coloured bars, as in Slicer's window."""
    gap, bar, layout = 4, 14, slicer.app.layoutManager()
    height = max(panel.height, 480) // 2 * 2
    half = height // 2
    sides = {"Red": height - bar, "Yellow": half - bar - gap // 2, "Green": half - bar - gap // 2}
    for name, side in sides.items():
        layout.sliceWidget(name).resize(round(side * scale), round(side * scale))
    red, right = panel.width + gap, panel.width + gap + height - bar + gap
    places = {"Red": (red, 0), "Yellow": (right, 0), "Green": (right, half + gap // 2)}
    size = QtCore.QSize(right + sides["Yellow"], height)
    canvas = QtGui.QImage(size * scale, QtGui.QImage.Format.Format_RGB32)
    canvas.setDevicePixelRatio(scale)
    canvas.fill(panel.palette.color(QtGui.QPalette.ColorRole.Window))
    painter = QtGui.QPainter(canvas)
    painter.drawImage(0, 0, render(panel, scale))
    for name, (x, y) in places.items():
        image = _view_image(layout.sliceWidget(name))
        image.setDevicePixelRatio(scale)
        painter.fillRect(x, y, sides[name], bar, QtGui.QColor(_COLORS[name]))
        painter.drawImage(x, y + bar, image)
    painter.end()
    return canvas


@contextlib.contextmanager
def larger_text(factor: float) -> Iterator[None]:
    """Text `factor` times as large within the block: what a system set to larger fonts does to layouts."""
    before = QtWidgets.QApplication.font()
    font = QtGui.QFont(before)
    font.setPointSizeF(before.pointSizeF() * factor)
    QtWidgets.QApplication.setFont(font)
    try:
        QtWidgets.QApplication.processEvents()
        yield
    finally:
        QtWidgets.QApplication.setFont(before)
        QtWidgets.QApplication.processEvents()
