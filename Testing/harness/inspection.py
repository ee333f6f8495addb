"""Looks at a panel as a careful user does: is all text readable, is everything labelled, can Tab reach it?"""

from PySide6 import QtGui, QtTest, QtWidgets
from PySide6.QtCore import Qt

_Style = QtWidgets.QStyle
_INPUTS = (
    QtWidgets.QAbstractButton,
    QtWidgets.QAbstractSlider,
    QtWidgets.QAbstractSpinBox,
    QtWidgets.QComboBox,
    QtWidgets.QLineEdit,
    QtWidgets.QTextEdit,
)


def _is(widget, *classes: type) -> bool:
    return issubclass(type(widget), classes)  # PythonQt's isinstance knows no base classes, here neither


def _visible(panel: QtWidgets.QWidget) -> list[QtWidgets.QWidget]:
    inside = [w for w in panel.findChildren(QtWidgets.QWidget) if w.isVisibleTo(panel) and not w.isWindow()]
    return [w for w in inside if not _in_popup(w, panel)]


def _in_popup(widget, panel) -> bool:
    while widget is not None and widget is not panel:
        if widget.isWindow():
            return True
        widget = widget.parentWidget()
    return False


def _option(widget, cls: type):
    option = cls()
    widget.initStyleOption(option)
    return option


def _text_and_room(widget) -> tuple[str, int] | None:
    """The text that a control shows on one line and the width it has for it; None for widgets without such text."""
    style, metrics = widget.style(), widget.fontMetrics()
    if _is(widget, QtWidgets.QCheckBox, QtWidgets.QRadioButton):
        element = _Style.SubElement.SE_CheckBoxContents
        if _is(widget, QtWidgets.QRadioButton):
            element = _Style.SubElement.SE_RadioButtonContents
        option = _option(widget, QtWidgets.QStyleOptionButton)
        return widget.text, style.subElementRect(element, option, widget).width()
    if _is(widget, QtWidgets.QPushButton):
        option = _option(widget, QtWidgets.QStyleOptionButton)
        room = style.subElementRect(_Style.SubElement.SE_PushButtonContents, option, widget).width()
        return widget.text, room - (0 if widget.icon.isNull() else widget.iconSize.width() + 4)
    if _is(widget, QtWidgets.QToolButton):
        hidden = widget.toolButtonStyle == Qt.ToolButtonStyle.ToolButtonIconOnly and not widget.icon.isNull()
        return None if hidden else (widget.text, widget.width)
    if type(widget).__name__ == "ctkCollapsibleButton":
        return widget.text, widget.width - 28
    if _is(widget, QtWidgets.QComboBox):
        option = _option(widget, QtWidgets.QStyleOptionComboBox)
        field = _Style.SubControl.SC_ComboBoxEditField
        room = style.subControlRect(_Style.ComplexControl.CC_ComboBox, option, field, widget).width()
        return widget.currentText or widget.placeholderText, room
    if _is(widget, QtWidgets.QAbstractSpinBox):
        return widget.text, widget.lineEdit().width
    if _is(widget, QtWidgets.QLineEdit) and not _is(widget.parentWidget(), QtWidgets.QAbstractSpinBox):
        return widget.text or widget.placeholderText, widget.width - 2 * metrics.averageCharWidth()
    if _is(widget, QtWidgets.QProgressBar) and widget.textVisible:
        return widget.text, widget.width
    if _is(widget, QtWidgets.QGroupBox):
        return widget.title, widget.width - 2 * metrics.averageCharWidth()
    return None


def _label_fits(label: QtWidgets.QLabel) -> bool:
    if not label.text:
        return True
    if label.wordWrap:
        longest = max((label.fontMetrics().horizontalAdvance(w) for w in _plain(label).split()), default=0)
        return label.heightForWidth(label.width) <= label.height and longest <= label.contentsRect().width()
    need = label.sizeHint
    return need.width() <= label.width and need.height() <= label.height


def loose_texts(panel: QtWidgets.QWidget) -> list[QtWidgets.QWidget]:
    """The visible word-wrapped labels that are higher than their text.

    QFormLayout gives labels the heights of other widths, here as in the application: one is too high, another is cut.
    """
    labels = [w for w in _visible(panel) if _is(w, QtWidgets.QLabel) and w.wordWrap and w.text]
    return [label for label in labels if label.height > label.heightForWidth(label.width)]


def _plain(label: QtWidgets.QLabel) -> str:
    return QtGui.QTextDocumentFragment.fromHtml(label.text).toPlainText() if "<" in label.text else label.text


def _cut_off(widget) -> bool:
    """Whether part of the widget lies outside its parent (scroll areas apart)."""
    parent = widget.parentWidget()
    if parent is None or _is(parent.parentWidget(), QtWidgets.QAbstractScrollArea):
        return False
    return not parent.rect.contains(widget.geometry)


def clipped_texts(panel: QtWidgets.QWidget) -> list[QtWidgets.QWidget]:
    """The visible widgets whose text does not fit, or which stick out of their parent."""
    clipped = []
    for widget in _visible(panel):
        if _is(widget, QtWidgets.QLabel):
            fits = _label_fits(widget)
        else:
            shown = _text_and_room(widget)
            metrics = widget.fontMetrics()
            fits = shown is None or metrics.size(Qt.TextFlag.TextShowMnemonic, shown[0]).width() <= shown[1]
            fits = fits and (shown is None or not shown[0] or metrics.height() <= widget.height)
        has_text = _is(widget, QtWidgets.QLabel, *_INPUTS, QtWidgets.QProgressBar)
        if not fits or (has_text and _cut_off(widget)):
            clipped.append(control(widget, panel))
    return list(dict.fromkeys(clipped))


def control(widget, panel) -> QtWidgets.QWidget:
    """The control as a module knows it: a part of a stand-in (the spin box in a ctkSliderWidget) gives the whole."""
    found, current = widget, widget
    while current is not None and current is not panel:
        stand_in = "_stands_for_cpp_" in type(current).__dict__ and type(current).__name__ not in _CONTAINERS
        if stand_in or (_is(current, QtWidgets.QAbstractSpinBox, QtWidgets.QComboBox) and found is widget):
            found = current
        current = current.parentWidget()
    return found


_CONTAINERS = ("ctkCollapsibleButton", "qMRMLWidget", "qSlicerWidget", "qSlicerScriptedLoadableModuleWidget")


def tab_order(panel: QtWidgets.QWidget, limit: int = 200) -> list[QtWidgets.QWidget]:
    """The controls that Tab reaches, in order, found by pressing Tab from the first one until it comes round."""
    window = panel.window()
    window.show()
    window.activateWindow()
    QtWidgets.QApplication.processEvents()
    window.setFocus()
    reached = []
    for _ in range(limit):
        QtTest.QTest.keyClick(QtWidgets.QApplication.focusWidget() or window, Qt.Key.Key_Tab)
        focused = QtWidgets.QApplication.focusWidget()
        if focused is None or (reached and focused is reached[0]):
            break
        if focused in reached:
            break
        reached.append(focused)
    inside = [w for w in reached if panel is w or panel.isAncestorOf(w)]
    return list(dict.fromkeys(control(w, panel) for w in inside))


def inputs(panel: QtWidgets.QWidget) -> list[QtWidgets.QWidget]:
    """The visible controls that take input, each once."""
    found = [control(w, panel) for w in _visible(panel) if _is(w, *_INPUTS)]
    return list(dict.fromkeys(found))


def unlabelled(panel: QtWidgets.QWidget) -> list[QtWidgets.QWidget]:
    """The inputs that have neither a buddy label nor a text of their own, an accessible name or a tooltip."""
    buddies = [label.buddy() for label in panel.findChildren(QtWidgets.QLabel)]

    def labelled(widget) -> bool:
        own = widget.text if _is(widget, QtWidgets.QAbstractButton) else ""
        return bool(own or widget.accessibleName or widget.toolTip) or any(b is widget for b in buddies)

    return [widget for widget in inputs(panel) if not labelled(widget)]
