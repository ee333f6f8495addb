"""The harness itself: does it speak Qt as PythonQt does, and does it hold Python's lock as Slicer does?"""

import subprocess
import sys
import threading
import time

import pytest
from harness_sample import *  # noqa: F403
from harness_sample import SAMPLE

# PythonQt


def test_properties_read_and_write_without_parentheses(qt):
    button = qt.QPushButton("Apply")
    button.name, button.enabled, button.toolTip = "apply", False, "Runs"
    assert (button.text, button.objectName, button.isEnabled()) == ("Apply", "apply", False)
    assert button.toolTip == "<p>Runs</p>"  # the application wraps them
    with pytest.raises(TypeError):
        button.text()
    with pytest.raises(TypeError):
        button.text = 3
    with pytest.raises(AttributeError, match="read-only"):
        button.width = 3


def test_sliders_read_as_inexactly_as_ctks(qt):
    import ctk

    slider, heard = ctk.ctkSliderWidget(), []
    slider.connect("valueChanged(double)", heard.append)
    slider.value = 3.3
    assert slider.value == 3.2999999999999994 and heard == [3.2999999999999994]
    slider.value = 2.5
    assert slider.value == 2.5


def test_slice_views_are_named_in_any_order(harness):
    orders = {harness.app.layoutManager().sliceViewNames() for _ in range(50)}
    assert {frozenset(order) for order in orders} == {frozenset(("Red", "Yellow", "Green"))} and len(orders) > 1


def test_cpp_objects_take_no_new_attributes_and_no_keywords(qt):
    import ctk

    for widget in (qt.QPushButton(), ctk.ctkSliderWidget()):
        with pytest.raises(AttributeError, match="not allowed"):
            widget.remembered = 1
    with pytest.raises(TypeError, match="keyword"):
        qt.QPushButton(text="Apply")

    class Dialog(qt.QDialog):
        def __init__(self, title=""):
            super().__init__()
            self.remembered = title

    assert Dialog(title="Mine").remembered == "Mine"


def test_isinstance_knows_no_base_classes(qt):
    assert isinstance(qt.QPushButton(), qt.QPushButton)
    assert not isinstance(qt.QPushButton(), qt.QWidget)


def test_signals_need_the_exact_signature(qt):
    button, heard = qt.QPushButton(), []
    button.connect("clicked(bool)", heard.append)
    button.connect("clicked()", lambda default="no argument": heard.append(default))
    button.click()
    assert heard == [False, "no argument"]
    for wrong in ("clicked(int)", "clicked", "pushed()"):
        with pytest.raises(ValueError, match="has no signal"):
            button.connect(wrong, heard.append)
    assert button.disconnect("clicked(bool)", heard.append)
    assert not button.disconnect("clicked(bool)", heard.append)
    button.click()
    assert len(heard) == 3


def test_node_signals_carry_nodes(harness, volume):
    import slicer

    selector, heard = slicer.qMRMLNodeComboBox(), []
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    selector.connect("currentNodeChanged(bool)", heard.append)
    selector.setMRMLScene(harness.scene)
    assert heard == [volume, True]
    with pytest.raises(ValueError, match="did you mean"):
        selector.connect("currentNodeChanged(PyObject)", heard.append)


def test_modal_dialogs_do_not_wait_for_a_user(qt):
    with pytest.raises(AssertionError, match="would wait"):
        qt.QMessageBox().exec_()


def test_enums_are_unscoped_and_the_module_is_flat(qt):
    assert qt.Qt.AlignLeft == qt.Qt.AlignmentFlag.AlignLeft
    assert not hasattr(qt, "Signal") and not hasattr(qt, "QtCore")


def test_scoped_enums_are_refused_when_a_module_loads(harness, tmp_path):
    (tmp_path / "Scoped.py").write_text("import qt\nalign = qt.Qt.AlignmentFlag.AlignLeft\n")
    with pytest.raises(SyntaxError, match=r"write qt.Qt.AlignLeft for qt.Qt.AlignmentFlag.AlignLeft"):
        harness.load(tmp_path / "Scoped.py")


# Errors that nobody catches


def test_errors_in_slots_threads_and_observers_are_collected(harness, qt):
    def fail(*_):
        raise ValueError("in a slot")

    button = qt.QPushButton()
    button.connect("clicked()", fail)
    with harness.expect_error(ValueError, "in a slot"):
        button.click()
    with harness.expect_error(ValueError):
        worker = threading.Thread(target=fail)
        worker.start()
        worker.join()
    with harness.expect_error(ValueError):
        tag = harness.scene.AddObserver("ModifiedEvent", fail)
        harness.scene.Modified()
    harness.scene.RemoveObserver(tag)
    with pytest.raises(AssertionError, match="expected ValueError"), harness.expect_error(ValueError):
        pass


def test_errors_and_warnings_of_vtk_are_collected(harness):
    import vtk

    with harness.expect_error(RuntimeWarning, "Input port 0 of algorithm"):
        vtk.vtkImageCast().Update()
    with harness.expect_error(RuntimeWarning, "a warning"):
        vtk.vtkOutputWindow.GetInstance().DisplayWarningText("a warning")


def test_widgets_and_nodes_are_for_the_main_thread(harness, qt):
    label = qt.QLabel("text")

    def touch():
        label.text = "other"

    def add_a_node():
        harness.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")

    for what in (touch, add_a_node):
        with harness.expect_error(RuntimeError, "only the main thread may"):
            worker = threading.Thread(target=what)
            worker.start()
            worker.join()
    assert label.text == "text"


def test_a_failing_slot_fails_its_test(tmp_path):
    (tmp_path / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(SAMPLE.parents[1])!r})\nfrom harness.fixtures import *\n"
    )
    (tmp_path / "test_slot.py").write_text(
        "def test_slot(harness):\n"
        "    import qt\n"
        "    button = qt.QPushButton()\n"
        "    button.connect('clicked()', lambda: 1 / 0)\n"
        "    button.click()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run([*command, "test_slot.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "slots raised: ZeroDivisionError" in done.stdout


# The GIL


def _turns(harness, seconds: float, held: bool) -> int:
    """How often a worker that works and sleeps in turns gets round while Qt idles."""
    turns, stop = [0], threading.Event()

    def work():
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0.001)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        if held:
            with harness.hold_gil():
                harness.run_for(seconds)
        else:
            harness.run_for(seconds)
    finally:
        stop.set()
        worker.join()
    return turns[0]


def test_a_worker_starves_while_the_gil_is_held_unless_the_main_thread_yields(harness, qt):
    free, starved = _turns(harness, 0.4, held=False), _turns(harness, 0.4, held=True)
    pump = qt.QTimer()
    pump.connect("timeout()", lambda: time.sleep(0.004))
    pump.start(5)
    pumped = _turns(harness, 0.4, held=True)
    pump.stop()
    assert starved < free / 10 and pumped > 5 * max(starved, 1), (free, starved, pumped)


def test_waiting_and_processing_events_work_with_the_gil_held(harness, module, volume, qt):
    import slicer

    module.ui.inputSelector.setCurrentNode(volume)
    module.ui.backgroundBox.checked = True
    with harness.hold_gil():
        harness.click(module.ui.applyButton)
        handled = []
        timer = qt.QTimer()
        timer.setSingleShot(True)
        timer.connect("timeout()", lambda: handled.append("timeout"))
        timer.start(0)
        slicer.app.processEvents()
        assert handled == ["timeout"] and module.ui.applyButton.text == "Cancel"
        harness.wait(lambda: module.ui.applyButton.text == "Apply", timeout=5)
    assert not module.logic.thread.is_alive()
