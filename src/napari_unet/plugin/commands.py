"""Entries of napari's command palette: each presses a control of the dock, or says why it can't.

Their titles stand in `napari.yaml`. So the palette does what the mouse does, and nothing besides.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

from napari.utils.notifications import show_info
from napari.viewer import Viewer
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QAbstractButton

from napari_unet.plugin.comparison_layer import View

if TYPE_CHECKING:
    from napari_unet.plugin.dock import Dock

Control: TypeAlias = QAbstractButton | QAction
Controls: TypeAlias = Callable[["Dock"], Iterable[Control]]

TO_OPEN = "Open an image first."
TO_LABEL = "Predict first, or paint from nothing: there are no labels yet."
TO_NAME = "This is for labels with classes: predict first, or paint from nothing."
TO_UNFOLD = "Choose 'show or hide the tools' first."
TO_EDIT = "Choose a tool first: type its name in the palette, such as 'smooth'."
TO_CHOOSE = "There are no two models to choose from: fine-tune one first."
TO_COMPARE = "No two models are compared: fine-tune one, then choose 'see what changed'."
TO_QUEUE = "Choose 'open a folder of images' first: this is for many images, one after the other."
NOT_LOST = "No unsaved labels of this image were found."


def press(
    viewer: Viewer,
    *,
    controls: Controls,
    otherwise: str,
) -> None:
    """Press the first control that can be pressed, and show it.

    Parameters
    ----------
    viewer : Viewer
        Whose dock is meant; it is opened if it is not there.
    controls : callable
        Returns the controls that do the same, each at its time or on its page.
    otherwise : str
        What to do first, told where none of them is shown. One that is shown and can't be pressed
        says so itself, in its tooltip.
    """
    dock = _dock(viewer)
    shown = [one for one in controls(dock) if _is_shown(one, dock)]
    ready = next((one for one in shown if one.isEnabled()), None)
    if ready is None:
        show_info(next((one.toolTip() for one in shown), otherwise))
    elif isinstance(ready, QAction):
        ready.trigger()
    else:
        dock.look(ready)
        ready.click()


def choose_tool(viewer: Viewer, *, title: str) -> None:
    """Fold the tools out and choose one of them."""
    dock = _dock(viewer)
    tools = dock.correct.tools
    if dock.target.labels is None:
        show_info(TO_LABEL)
    elif tools.operation.findText(title) < 0:
        show_info(f"{title} is for objects, or for volumes: these labels are neither.")
    else:
        dock.correct.fold.setChecked(True)
        tools.operation.setCurrentText(title)
        dock.look(tools)


def _is_shown(control: Control, dock: "Dock") -> bool:
    return isinstance(control, QAction) or control.isVisibleTo(dock)


def _dock(viewer: Viewer) -> "Dock":
    """Return the dock of a viewer, opened now if it is not there, and in sight."""
    from napari_unet.plugin.contributions import PLUGIN
    from napari_unet.plugin.dock import Dock

    found = (one for one in viewer.window.dock_widgets.values() if isinstance(one, Dock))
    dock = next(found, None)
    if dock is None:
        dock = cast(Dock, viewer.window.add_plugin_dock_widget(PLUGIN)[1])
    holder = dock.parentWidget()
    if holder is not None:
        holder.show()
        holder.raise_()
    return dock


def _entry(controls: Controls, otherwise: str = TO_LABEL) -> Callable[[Viewer], None]:
    return partial(press, controls=controls, otherwise=otherwise)


open_image = _entry(lambda dock: (dock.start.open, dock.target.open))
open_folder = _entry(lambda dock: (dock.start.folder, dock.session.many))
open_session = _entry(lambda dock: (dock.start.session, dock.session.open))
last_session = _entry(
    lambda dock: dock.start.last[1:] if dock.start.last is not None else (),
    "The last session is offered where no image is open: choose 'open a session' instead.",
)
save_session = _entry(lambda dock: (dock.session.save_as,))
find_image = _entry(lambda dock: (dock.session.find,), "No image of a session is missing.")
load_labels = _entry(lambda dock: (dock.target.load,), TO_OPEN)
restore_labels = _entry(lambda dock: (dock.safety.restore,), NOT_LOST)
discard_labels = _entry(lambda dock: (dock.safety.discard,), NOT_LOST)
tour = _entry(lambda dock: (dock.start.tour, dock.session.help))

open_chosen = _entry(lambda dock: (dock.queue.open_button,), TO_QUEUE)
done_next = _entry(lambda dock: (dock.queue.next,), TO_QUEUE)

browse_model = _entry(lambda dock: (dock.model.browse,), TO_OPEN)
predict = _entry(lambda dock: (dock.tune.again, dock.predict.go), TO_OPEN)
uncertainty = _entry(lambda dock: (dock.predict.unsure,), TO_OPEN)
stop = _entry(
    lambda dock: (dock.predict.halt, dock.comparison.halt, dock.tune.halt),
    "Nothing is running that could be stopped.",
)

paint = _entry(
    lambda dock: (dock.correct.new,), "Open an image first; one with labels has them to paint on."
)
mark_done = _entry(lambda dock: (dock.correct.done,))
next_slice = _entry(lambda dock: (dock.correct.next,))
mean_objects = _entry(lambda dock: (dock.correct.meaning,))
add_class = _entry(lambda dock: (dock.correct.add_class,), TO_NAME)
show_tools = _entry(lambda dock: (dock.correct.fold,))
protect_done = _entry(lambda dock: (dock.correct.rules.protect,), TO_UNFOLD)
paint_within = _entry(lambda dock: (dock.correct.rules.within,), TO_UNFOLD)
like_class = _entry(
    lambda dock: (dock.correct.rules.like,), "Choose 'paint only a range of intensities' first."
)
fill_between = partial(choose_tool, title="Fill between slices")
fill_following = partial(choose_tool, title="Fill between slices, following the image")
remove_islands = partial(choose_tool, title="Remove islands")
fill_holes = partial(choose_tool, title="Fill holes")
smooth = partial(choose_tool, title="Smooth")
grow = partial(choose_tool, title="Grow")
shrink = partial(choose_tool, title="Shrink")
copy_from = partial(choose_tool, title="Copy from")
split = partial(choose_tool, title="Split")
merge = partial(choose_tool, title="Merge into")
preview_edit = _entry(lambda dock: (dock.correct.tools.preview,), TO_EDIT)
apply_edit = _entry(lambda dock: (dock.correct.tools.apply,), TO_EDIT)

fine_tune = _entry(lambda dock: (dock.tune.go,), TO_OPEN)
keep_learning = _entry(lambda dock: (dock.rounds,), TO_OPEN)
use_before = _entry(lambda dock: dock.tune.contest.uses[:1], TO_CHOOSE)
use_new = _entry(lambda dock: dock.tune.contest.uses[1:], TO_CHOOSE)
compare = _entry(lambda dock: (dock.tune.contest.compare,), TO_CHOOSE)
see_before = _entry(lambda dock: (dock.comparison.views[View.BEFORE],), TO_COMPARE)
see_new = _entry(lambda dock: (dock.comparison.views[View.AFTER],), TO_COMPARE)
see_changed = _entry(lambda dock: (dock.comparison.views[View.CHANGED],), TO_COMPARE)
most_changed = _entry(lambda dock: (dock.comparison.most,), TO_COMPARE)
close_comparison = _entry(lambda dock: (dock.comparison.close_it,), TO_COMPARE)

export = _entry(lambda dock: (dock.export.go,), TO_OPEN)
export_names = _entry(lambda dock: (dock.export.tables,), TO_NAME)
export_model = _entry(lambda dock: (dock.model_export.go,), TO_OPEN)
report = _entry(lambda dock: (dock.report.go,), TO_OPEN)
