"""Pictures of the panel and of the slice views, as PNG."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

_GAP, _BAR = 4, 14  # between views, above each; points
_COLORS = {"Red": "#f34a33", "Yellow": "#edd54c", "Green": "#6eb04b"}  # Slicer's names are its colours


def render(widget: QtWidgets.QWidget, scale: float = 1.0) -> QtGui.QImage:
    """The widget drawn at `scale` device pixels a point: what a screen scaled to 100 %, 150 % ... shows."""
    image = QtGui.QImage(widget.size * scale, QtGui.QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    image.fill(widget.palette.color(QtGui.QPalette.ColorRole.Window))
    widget.render(image)
    return image


def fit_panel(panel: QtWidgets.QWidget, width: int) -> None:
    """Give the panel the width of Slicer's module panel, or the larger one that it needs, and the height it wants."""
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
    """The panel at the left, the views of the layout at the right under their coloured bars, as in Slicer's window."""
    height = max(panel.height, 480) // 2 * 2
    left = panel.width + _GAP
    shown = [name for name in _COLORS if slicer.app.layoutManager().sliceWidget(name).node.IsMappedInLayout()]
    places = _three_views(left, height) if len(shown) == 3 else _side_by_side(left, height, shown)
    size = QtCore.QSize(max(place.right() + 1 for place in places.values()), height)
    canvas = QtGui.QImage(size * scale, QtGui.QImage.Format.Format_RGB32)
    canvas.setDevicePixelRatio(scale)
    canvas.fill(panel.palette.color(QtGui.QPalette.ColorRole.Window))
    painter = QtGui.QPainter(canvas)
    painter.drawImage(0, 0, render(panel, scale))
    for name, place in places.items():
        view = slicer.app.layoutManager().sliceWidget(name)
        view.resize(round(place.width() * scale), round((place.height() - _BAR) * scale))
    QtWidgets.QApplication.processEvents()  # modules follow the views' new sizes
    for name, place in places.items():
        image = _view_image(slicer.app.layoutManager().sliceWidget(name))
        image.setDevicePixelRatio(scale)
        painter.fillRect(place.x(), place.y(), place.width(), _BAR, QtGui.QColor(_COLORS[name]))
        painter.drawImage(place.x(), place.y() + _BAR, image)
    painter.end()
    return canvas


def _three_views(left: int, height: int) -> dict[str, QtCore.QRect]:
    """A large square view, and two small ones beside it."""
    half = height // 2
    large, small = height - _BAR, half - _BAR - _GAP // 2
    right = left + large + _GAP
    return {
        "Red": QtCore.QRect(left, 0, large, height),
        "Yellow": QtCore.QRect(right, 0, small, small + _BAR),
        "Green": QtCore.QRect(right, half + _GAP // 2, small, small + _BAR),
    }


def _side_by_side(left: int, height: int, names: list[str]) -> dict[str, QtCore.QRect]:
    width = height * 2 // 3
    return {name: QtCore.QRect(left + n * (width + _GAP), 0, width, height) for n, name in enumerate(names)}


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
