"""What napari's canvas needs of us so that deleting a layer is safe."""

from napari.viewer import Viewer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QMainWindow, QWidget


class CanvasContext:
    """Makes the canvas' OpenGL context the current one whenever a layer is about to go.

    napari (0.9) frees what a deleted layer had on the graphics card at once, in whichever context is
    current. Outside of a drawing that is Qt's own, and Mesa's drivers then keep a shader that is no
    longer there: the next layer that is added ends the process with a segmentation fault.

    Parameters
    ----------
    viewer : Viewer
        Whose layers go.
    inside : QWidget
        A widget of its window, docked or floating.
    """

    def __init__(self, viewer: Viewer, inside: QWidget) -> None:
        self._layers, self._inside = viewer.layers, inside
        self._layers.events.removing.connect(self._make_current)

    def release(self) -> None:
        """Stop following the layers."""
        self._layers.events.removing.disconnect(self._make_current)

    def _make_current(self, *_: object) -> None:
        window: QWidget | None = self._inside
        while window is not None and not isinstance(window, QMainWindow):
            window = window.parentWidget()
        centre = None if window is None else window.centralWidget()
        for canvas in [] if centre is None else centre.findChildren(QOpenGLWidget):
            canvas.makeCurrent()
