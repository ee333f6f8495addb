"""qMRMLNodeComboBox: chooses one node of the MRML scene, and may create, delete or rename nodes."""

import types
import weakref

from PySide6 import QtWidgets
from PySide6.QtCore import Signal

from .ctk import ctkComboBox
from .pythonqt import cpp_class, typed_property

_OPTIONS = dict(
    nodeTypes=[],
    hideChildNodeTypes=[],
    showHidden=False,
    showChildNodeTypes=True,
    noneEnabled=False,
    addEnabled=True,
    removeEnabled=True,
    editEnabled=False,
    renameEnabled=False,
    selectNodeUponCreation=True,
    baseName="",
    noneDisplay="None",
)


@cpp_class
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses one node of given types. As in Slicer it is disabled until it has a scene."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    _signatures_ = {
        f"{name}(vtkMRMLNode*)": (name, None)
        for name in ("currentNodeChanged", "nodeActivated", "nodeAdded", "nodeAddedByUser")
    } | {"currentNodeChanged(bool)": ("currentNodeChanged", lambda node: node is not None)}

    def __init__(self, parent=None):
        super().__init__(parent)
        combo = ctkComboBox(self)
        self._impl = types.SimpleNamespace(
            combo=combo, scene=None, node_id="", wanted=None, observed=[], rows=[], attributes=[], labels={}, busy=False
        )
        for name, default in _OPTIONS.items():
            setattr(self._impl, name, default)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(combo)
        policy = QtWidgets.QSizePolicy.Policy
        combo.setSizePolicy(policy.Expanding, policy.Fixed)
        self.setSizePolicy(policy.Preferred, policy.Fixed)
        self.setFocusProxy(combo)
        self.setEnabled(False)
        combo.activated.connect(self._on_activated)
        self.destroyed.connect(lambda *_, observed=self._impl.observed: _remove_observers(observed))

    # The scene

    def setMRMLScene(self, scene) -> None:
        impl = self._impl
        if scene is impl.scene:
            return
        self._forget_observers()
        impl.scene = scene
        self.setEnabled(scene is not None)
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent):
                self._observe(scene, event, self._on_scene)
        self._rebuild()
        if impl.wanted is not None:
            impl.wanted, wanted = None, impl.wanted
            self.setCurrentNodeID(wanted)

    def mrmlScene(self):
        return self._impl.scene

    def _observe(self, obj, event, slot) -> None:
        method = weakref.WeakMethod(slot)  # an observer must not keep a selector alive that nobody holds any more

        def call(caller, name) -> None:
            alive = method()
            if alive is not None:
                alive(caller, name)

        self._impl.observed.append((obj, obj.AddObserver(event, call)))

    def _forget_observers(self) -> None:
        _remove_observers(self._impl.observed)

    def _on_scene(self, _scene, _event) -> None:
        if not self._impl.scene.IsBatchProcessing():
            self._rebuild()

    def _on_node(self, node, _event) -> None:
        row = self._impl.rows.index(node.GetID()) if node.GetID() in self._impl.rows else -1
        if row >= 0 and self._impl.combo.itemText(row) != node.GetName():
            self._impl.combo.setItemText(row, node.GetName())

    # The list

    def _accepts(self, node) -> bool:
        impl = self._impl
        if node.GetHideFromEditors() and not impl.showHidden:
            return False
        exact = not impl.showChildNodeTypes
        if not any(node.GetClassName() == t if exact else node.IsA(t) for t in impl.nodeTypes):
            return False
        if any(node.IsA(t) for t in impl.hideChildNodeTypes):
            return False
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for kind, name, value in impl.attributes
            if node.IsA(kind)
        )

    def _nodes(self) -> list:
        scene = self._impl.scene
        nodes = [] if scene is None else [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        return [node for node in nodes if self._accepts(node)]

    def _actions(self) -> list[str]:
        impl = self._impl
        label = self.nodeTypeLabel(impl.nodeTypes[0]) if len(impl.nodeTypes) == 1 else "node"
        create = [f"Create new {self.nodeTypeLabel(t)}" for t in impl.nodeTypes] if impl.addEnabled else []
        return (
            ([f"Rename current {label}"] if impl.renameEnabled else [])
            + ([f"Edit current {label}"] if impl.editEnabled else [])
            + create
            + ([f"Delete current {label}"] if impl.removeEnabled else [])
        )

    def _rebuild(self) -> None:
        impl, nodes = self._impl, self._nodes()
        combo, before = impl.combo, [row for row in impl.rows if row]
        impl.busy = True
        scene_observers = [(o, tag) for o, tag in impl.observed if o is impl.scene]
        _remove_observers([pair for pair in impl.observed if pair[0] is not impl.scene])
        impl.observed[:] = scene_observers
        combo.clear()
        impl.rows = [""] if impl.noneEnabled else []
        combo.addItems([impl.noneDisplay] if impl.noneEnabled else [])
        for node in nodes:
            impl.rows.append(node.GetID())
            combo.addItem(node.GetName())
            self._observe(node, "ModifiedEvent", self._on_node)
        actions = self._actions() if impl.scene is not None else []
        if actions:
            combo.insertSeparator(combo.count)
        combo.addItems(actions)
        combo.defaultText = f"Select a {self.nodeTypeLabel(impl.nodeTypes[0] if impl.nodeTypes else '')}"
        impl.busy = False
        current = impl.node_id
        if current not in impl.rows and not impl.noneEnabled:
            lost = bool(current)  # Slicer falls back to the last node when the chosen one goes, else to the first
            current = nodes[-1 if lost else 0].GetID() if nodes else ""
        self._select(current if current in impl.rows else "")
        for node in nodes:
            if node.GetID() not in before:
                self.nodeAdded.emit(node)

    def _select(self, node_id: str) -> None:
        impl = self._impl
        impl.combo.setCurrentIndex(impl.rows.index(node_id) if node_id in impl.rows else -1)
        if node_id != impl.node_id:
            impl.node_id = node_id
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(node_id)

    def _on_activated(self, row: int) -> None:
        impl = self._impl
        if row < len(impl.rows):
            self._select(impl.rows[row])
            self.nodeActivated.emit(self.currentNode())
            return
        text = impl.combo.itemText(row)
        self._select(impl.node_id)  # the action is not a choice: show the node again
        if text.startswith("Create new "):
            kind = next(t for t in impl.nodeTypes if text == f"Create new {self.nodeTypeLabel(t)}")
            self.addNode(kind)
        elif text.startswith("Delete current "):
            self.removeCurrentNode()

    # What PythonQt sees

    def currentNode(self):
        return self._impl.scene.GetNodeByID(self._impl.node_id) if self._impl.scene and self._impl.node_id else None

    def setCurrentNode(self, node) -> None:
        self.setCurrentNodeID("" if node is None else node.GetID() or "")

    def setCurrentNodeID(self, node_id: str) -> None:
        if self._impl.scene is None:
            self._impl.wanted = node_id
        self._select(node_id if node_id in self._impl.rows else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        self._select(([row for row in self._impl.rows if row] + [""])[min(index, self.nodeCount())])

    def addNode(self, kind: str | None = None):
        kind = kind or self._impl.nodeTypes[0]
        base = self._impl.baseName or self.nodeTypeLabel(kind)
        node = self._impl.scene.AddNewNodeByClass(kind, self._impl.scene.GenerateUniqueName(base))
        for name, value in [(n, v) for k, n, v in self._impl.attributes if node.IsA(k)]:
            node.SetAttribute(name, value or "")
        if self._impl.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self.currentNode() is not None:
            self._impl.scene.RemoveNode(self.currentNode())

    def nodeCount(self) -> int:
        return len([row for row in self._impl.rows if row])

    def nodeFromIndex(self, index: int):
        return self._impl.scene.GetNodeByID([row for row in self._impl.rows if row][index])

    def addAttribute(self, kind: str, name: str, value: str | None = None) -> None:
        self._impl.attributes.append((kind, name, value))
        self._rebuild()

    def setNodeTypeLabel(self, label: str, kind: str) -> None:
        self._impl.labels[kind] = label
        self._rebuild()

    def nodeTypeLabel(self, kind: str) -> str:
        scene = self._impl.scene
        known = self._impl.labels.get(kind)
        return known or (scene.GetTypeDisplayNameByClassName(kind) if scene is not None and kind else "") or "node"

    def _option(kind: type, name: str):
        def write(self, value) -> None:
            setattr(self._impl, name, list(value) if kind is list else value)
            self._rebuild()

        return typed_property(kind, lambda self: getattr(self._impl, name), write)

    currentNodeID = typed_property(str, lambda self: self._impl.node_id, setCurrentNodeID)
    nodeTypes, hideChildNodeTypes = _option(list, "nodeTypes"), _option(list, "hideChildNodeTypes")
    showHidden, showChildNodeTypes = _option(bool, "showHidden"), _option(bool, "showChildNodeTypes")
    noneEnabled, addEnabled = _option(bool, "noneEnabled"), _option(bool, "addEnabled")
    removeEnabled, editEnabled = _option(bool, "removeEnabled"), _option(bool, "editEnabled")
    renameEnabled, selectNodeUponCreation = _option(bool, "renameEnabled"), _option(bool, "selectNodeUponCreation")
    baseName, noneDisplay = _option(str, "baseName"), _option(str, "noneDisplay")


def _remove_observers(observed: list) -> None:
    for obj, tag in observed:
        obj.RemoveObserver(tag)
    observed.clear()
