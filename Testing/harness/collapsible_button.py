"""ctkCollapsibleButton: a head that opens and closes what lies under it.

As in CTK it is a QAbstractButton that contains its own contents: closed means unchecked, the children are hidden and
the height shrinks to the head. A child that the module hides stays hidden when the button opens again.
"""

import types

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Qt, Signal

from .pythonqt import cpp_class, typed_property

_UNLIMITED = (1 << 24) - 1  # QWIDGETSIZE_MAX
_Style = QtWidgets.QStyle


@cpp_class
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    contentsCollapsed = Signal(bool)

    def __init__(self, *args):
        """`ctkCollapsibleButton()`, `(parent)`, `(title)` or `(title, parent)`."""
        title = args[0] if args and isinstance(args[0], str) else ""
        super().__init__(*args[1 if title else 0 :])
        self._impl = types.SimpleNamespace(shut=[], forcing=False, watched=[], height=14)
        self.setText(title)
        self.setCheckable(True)
        self.setChecked(True)
        self.setBackgroundRole(QtGui.QPalette.ColorRole.Window)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Minimum, QtWidgets.QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, self._head().height(), 0, 0)
        self.toggled.connect(self._on_toggled)

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    def _set_height(self, height: int) -> None:
        self._impl.height = height
        self.updateGeometry()

    collapsed = typed_property(bool, lambda self: not self.isChecked(), setCollapsed)
    collapsedHeight = typed_property(int, lambda self: self._impl.height, _set_height)

    # Opening and closing

    def _on_toggled(self, opened: bool) -> None:
        self._arrange_children()
        self.updateGeometry()
        self.contentsCollapsed.emit(not opened)

    def _arrange_children(self) -> None:
        """Hide the children when closed, show again those that we hid when open."""
        impl, opened = self._impl, self.isChecked()
        impl.forcing = True
        for child in self.children():
            if not child.isWidgetType():
                continue
            if child not in impl.watched:
                impl.watched.append(child)
                child.installEventFilter(self)
            if not opened and not child.isHidden():
                child.hide()
                # Not a choice of the module's: let a later hide() or show() of its own reach our event filter.
                child.setAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide, False)
                impl.shut.append(child)
            elif opened and child in impl.shut:
                child.show()
        if opened:
            impl.shut.clear()
        impl.forcing = False
        self.setMaximumHeight(_UNLIMITED if opened else self.sizeHint.height())

    def eventFilter(self, child, event) -> bool:
        impl = self._impl
        if not impl.forcing and not self.isChecked():
            if event.type() == QtCore.QEvent.Type.HideToParent and child in impl.shut:
                impl.shut.remove(child)
            elif event.type() == QtCore.QEvent.Type.ShowToParent:
                self._arrange_children()
        return False

    def event(self, event) -> bool:
        if event.type() in (QtCore.QEvent.Type.LayoutRequest, QtCore.QEvent.Type.Show) and hasattr(self, "_impl"):
            self._arrange_children()
        elif event.type() == QtCore.QEvent.Type.FontChange:
            self.setContentsMargins(0, self._head().height(), 0, 0)
        return super().event(event)

    # Geometry and looks

    def _head(self) -> QtCore.QSize:
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        text = self.fontMetrics().size(Qt.TextFlag.TextShowMnemonic, self.text or "XXXX")
        arrow = self.style().pixelMetric(_Style.PixelMetric.PM_IndicatorWidth, option, self)
        size = QtCore.QSize(text.width() + arrow + 8, max(text.height(), arrow))
        return self.style().sizeFromContents(_Style.ContentsType.CT_PushButton, option, size, self)

    def _hint(self, contents: QtCore.QSize) -> QtCore.QSize:
        head = self._head()
        if not self.isChecked():
            return head + QtCore.QSize(0, self._impl.height)
        return contents.expandedTo(head)

    def sizeHint(self) -> QtCore.QSize:
        return self._hint(QtWidgets.QWidget.sizeHint(self))

    def minimumSizeHint(self) -> QtCore.QSize:
        return self._hint(QtWidgets.QWidget.minimumSizeHint(self))

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._head().height()

    def paintEvent(self, _event) -> None:
        style, painter = self.style(), QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect.setHeight(self._head().height())
        option.state |= _Style.StateFlag.State_Sunken if self.isDown() else _Style.StateFlag.State_Raised
        style.drawControl(_Style.ControlElement.CE_PushButtonBevel, option, painter, self)
        height = option.rect.height()
        size = style.pixelMetric(_Style.PixelMetric.PM_IndicatorWidth, option, self)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect((height - size) // 2, (height - size) // 2, size, size)
        kind = "PE_IndicatorArrowDown" if self.isChecked() else "PE_IndicatorArrowRight"
        style.drawPrimitive(getattr(_Style.PrimitiveElement, kind), arrow, painter, self)
        option.rect.setLeft(arrow.rect.right() + 6)
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextShowMnemonic
        role = QtGui.QPalette.ColorRole.ButtonText
        style.drawItemText(painter, option.rect, flags, option.palette, self.isEnabled(), self.text, role)
        if self.hasFocus():
            focus = QtWidgets.QStyleOptionFocusRect()
            focus.initFrom(self)
            focus.rect = QtCore.QRect(2, 2, self.width - 4, height - 4)
            style.drawPrimitive(_Style.PrimitiveElement.PE_FrameFocusRect, focus, painter, self)
        painter.end()
