"""Alt and a digit choose the class to paint with."""

from collections.abc import Callable

from napari.viewer import Viewer

KEYS = tuple(f"Alt-{digit}" for digit in range(10))
"""napari's own tools have the digits alone, and use none of these."""


class ClassKeys:
    """Alt+1 to Alt+9 for the classes in the order of the table, Alt+0 for background.

    Parameters
    ----------
    viewer : Viewer
        Whose keys they are, whatever layer is active.
    pick : callable
        Told the place of the class: 0 is background.
    """

    def __init__(self, viewer: Viewer, pick: Callable[[int], None]) -> None:
        self._viewer = viewer
        for place, key in enumerate(KEYS):
            viewer.bind_key(key, lambda _, place=place: pick(place), overwrite=True)

    def release(self) -> None:
        """Give the keys back."""
        for key in KEYS:
            self._viewer.bind_key(key, None)
