"""Slicer's slice views without a screen: the real slice logic, rendered to PNG.

VTK draws off screen through EGL or OSMesa, whichever the machine has. `graphics_problem()` says what is missing.
"""

import functools
import os
import subprocess
import sys
import weakref
from pathlib import Path

_PROBE = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
window.AddRenderer(vtk.vtkRenderer())
window.Render()
image = vtk.vtkWindowToImageFilter()
image.SetInput(window)
image.Update()
print("drawn", window.GetClassName())
"""
_WINDOWS = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow")
_REMEDY = "apt-get install -y libegl1 libgl1-mesa-dri  (or: apt-get install -y libosmesa6)"


@functools.cache
def render_window() -> str | None:
    """The VTK window class that can draw here, or None. Tried in a process of its own, which may crash."""
    chosen = os.environ.get("VTK_DEFAULT_OPENGL_WINDOW")
    for name in (chosen,) if chosen else _WINDOWS:
        environment = os.environ | {"VTK_DEFAULT_OPENGL_WINDOW": name}
        done = subprocess.run([sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True)
        if done.returncode == 0 and f"drawn {name}" in done.stdout:
            return name
    return None


def graphics_problem() -> str | None:
    """None when slice views can be drawn, else the sentence that says what to install."""
    if render_window() is None:
        return f"VTK cannot draw on this machine: it finds neither EGL nor OSMesa. Install one of them: {_REMEDY}"
    return None


class DrawnView:
    """What modules ask of qMRMLSliceView: the render window that they add actors to."""

    def __init__(self, window_of):
        self._window_of = window_of
        self.renders_asked = 0

    def renderWindow(self):
        return self._window_of()

    def scheduleRender(self) -> None:
        self.renders_asked += 1

    def devicePixelRatioF(self) -> float:
        return 1.0


class SliceView:
    """One slice view (node, logic, picture) in the scene of an application logic.

    Attributes:
        runs_pipelines: whether layers are computed at every change, to find errors; benchmarks switch it off.
    """

    runs_pipelines = True

    def __init__(self, application_logic, name: str, orientation: str, size: tuple[int, int] = (400, 400)):
        import slicer

        self.name, self.size = name, size
        self._window = None
        self._had_images: weakref.WeakSet = weakref.WeakSet()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application_logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(1)  # the layout shows it
        self.logic.ResizeSliceNode(*size)
        self._drawn = DrawnView(self._render_window)
        application_logic.GetSliceLogics().AddItem(self.logic)
        self.logic.AddObserver("ModifiedEvent", lambda caller, event: self._update_layers())

    def _update_layers(self) -> None:
        """Run the pipeline of every layer, as the application's view does whenever its slice logic changes.

        VTK reports an error for a layer whose volume has lost its image. Volumes that never had one, from a scene whose
        data was not saved, are left alone.
        """
        if not self.runs_pipelines:
            return
        for number in range(3 + self.mrmlSliceCompositeNode().GetNumberOfAdditionalLayers()):
            layer = self.logic.GetNthLayer(number)
            volume = None if layer is None else layer.GetVolumeNode()
            if volume is None or layer.GetImageDataConnection() is None:
                continue
            if volume.GetImageData() is not None:
                self._had_images.add(volume)
            if volume in self._had_images:
                layer.GetImageDataConnection().GetProducer().Update()

    def resize(self, width: int, height: int) -> None:
        """Give the view this many pixels, as when its window changes."""
        if (width, height) != self.size:
            self.size = (width, height)
            self.logic.ResizeSliceNode(width, height)

    # The names that modules use: qMRMLSliceWidget

    def sliceLogic(self):
        return self.logic

    def mrmlSliceNode(self):
        return self.node

    def mrmlSliceCompositeNode(self):
        return self.logic.GetSliceCompositeNode()

    def sliceView(self) -> DrawnView:
        return self._drawn

    def fitSliceToBackground(self) -> None:
        self.logic.FitSliceToBackground()

    def image(self):
        """The view as an uint8 array of shape [rows, columns, 3], top row first."""
        from vtkmodules.util.numpy_support import vtk_to_numpy

        output = self._render()
        columns, rows, _ = output.GetDimensions()
        return vtk_to_numpy(output.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3].copy()

    def grab(self, path: str | Path) -> Path:
        """Write the view as a PNG."""
        import vtk

        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputData(self._render())
        writer.Write()
        return Path(path)

    def _render_window(self):
        """The off-screen window with the view's one renderer; made when it is first asked for, drawn by `_render`."""
        import vtk

        if self._window is None:
            if render_window() is not None:
                os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = render_window()
            self._mapper = vtk.vtkImageMapper()
            self._mapper.SetColorWindow(255)
            self._mapper.SetColorLevel(127.5)
            self._actor = vtk.vtkActor2D()
            self._actor.SetMapper(self._mapper)
            self._actor.SetLayerNumber(0)
            self._renderer = vtk.vtkRenderer()
            self._window = vtk.vtkRenderWindow()
            self._window.SetOffScreenRendering(1)
            self._window.AddRenderer(self._renderer)
        return self._window

    def _render(self):
        problem = graphics_problem()
        if problem:
            raise RuntimeError(problem)
        import vtk

        window = self._render_window()
        window.SetSize(*self.size)
        connection = self.logic.GetImageDataConnection()
        marks = [prop for prop in self._renderer.GetViewProps() if prop is not self._actor]
        self._renderer.RemoveAllViewProps()
        if connection is not None:
            self._mapper.SetInputConnection(connection)
            self._renderer.AddViewProp(self._actor)
        for prop in marks:  # over the image, as modules' actors are in Slicer
            self._renderer.AddViewProp(prop)
        window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        return grabber.GetOutput()
