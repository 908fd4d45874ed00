import numpy as np
import pytest
from scipy.special import softmax

from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine import doubt as module
from napari_unet.engine.doubt import Doubt
from napari_unet.engine.infer import Cell, infer, plan_tiles
from napari_unet.engine.view import View

SHAPE = (9, 10, 12)
CLASSES = (BACKGROUND, LabelClass(4, "large"), LabelClass(7, "rare"))


def seen(shape=SHAPE, **choices):
    """A view of noise, and the spec of a model of three classes."""
    dims = choices.setdefault("dims", 3)
    spec = ModelSpec(
        classes=choices.pop("classes", CLASSES),
        features=(2, 2),
        tile=(4,) * dims,
        normalisation=Normalisation("none"),
        **choices,
    )
    data = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    return View(Volume(data, Grid(shape, (1.0,) * 3)), spec), spec


def forward(tiles):
    grey = tiles.mean(1)
    return np.stack([grey, 2 * np.abs(grey), -grey - 0.5], axis=1)


def whole(view, spec):
    """Probabilities and entropy of each voxel, and the cells that they came in."""
    plan = plan_tiles(view, spec, 0.5)
    cells = [c for some in infer(view, spec, forward, plan, plan.tiles()) for c in some]
    logits = np.empty((spec.out_channels, *view.image_shape))
    for cell in cells:
        logits[(slice(None), *map(slice, cell.start, cell.stop))] = cell.logits
    likely = softmax(logits, axis=0)
    return cells, likely, -(likely * np.log(likely)).sum(0) / np.log(spec.out_channels)


@pytest.mark.parametrize("at_once", [1, 1 << 22], ids=["a slice at once", "a cell at once"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dims", [2, 3])
def test_cells_add_up_to_the_whole(dims, axis, at_once, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    view, spec = seen(dims=dims, **({"axis": 1} if dims == 2 else {}))
    cells, likely, entropy = whole(view, spec)
    known = np.zeros(view.image_shape, bool)
    known[2:4, :, 1:] = True
    uncertainty = np.zeros(view.image_shape, np.float16)
    doubt = Doubt(view, spec, axis, known=known, uncertainty=uncertainty)
    for cell in cells:
        assert not doubt.complete.all()
        doubt.write(cell)
    assert doubt.complete.all()
    others = tuple(i + 1 for i in range(3) if i != axis)
    sums = (likely * np.where(known, 0, entropy)).sum(axis=others)
    assert sums.max(axis=1).min() > 1  # else what follows would not hold
    expected = sums / sums.max(axis=1, keepdims=True)
    assert doubt.entropy() == pytest.approx(expected, abs=1e-5)
    assert uncertainty == pytest.approx(entropy, abs=1e-3)


def logits_of(doubtful):
    """Logits of a sure background, but where a mask of a channel says that it may be that one."""
    logits = np.zeros((3, *SHAPE), np.float32)
    logits[0] = 20
    for channel, mask in doubtful.items():
        logits[channel][mask] = 20
    return Cell((0, 0, 0), SHAPE, logits)


def test_a_rare_class_counts_as_much_as_a_large_one():
    view, spec = seen()
    large, rare = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    large[2] = True
    rare[6, :2, :4] = True
    doubt = Doubt(view, spec, 0)
    doubt.write(logits_of({1: large, 2: rare}))
    _, of_large, of_rare = doubt.entropy()
    assert np.flatnonzero(of_large > 0.5).tolist() == [2]
    assert np.flatnonzero(of_rare > 0.5).tolist() == [6]
    assert of_large.max() == of_rare.max() == 1


def test_a_whiff_of_a_class_counts_for_little():
    view, spec = seen()
    one = np.zeros(SHAPE, bool)
    one[6, 0, 0] = True
    doubt = Doubt(view, spec, 0)
    doubt.write(logits_of({2: one}))
    assert doubt.entropy()[2].max() < 0.5


def test_change_is_counted_under_the_old_class_and_the_new():
    view, spec = seen()
    now, before = np.zeros(SHAPE, bool), np.zeros(SHAPE, np.uint8)
    now[3] = True
    before[3, :5] = before[7, 0] = 7
    known = np.zeros(SHAPE, bool)
    known[3, :, 6:] = True
    doubt = Doubt(view, spec, 0, known=known, before=before)
    cell = logits_of({1: now})
    cell.logits[0, 3] = 0  # it is the large class now, for sure
    doubt.write(cell)
    # Slice 3 has 10 x 6 voxels that nobody vouches for, all new of the large class, half of them
    # rare before; slice 7 has a row of 12 that was rare.
    of_background, of_large, of_rare = doubt.change()
    assert of_large[[3, 7]].tolist() == [1, 0]
    assert of_rare[[3, 7]].tolist() == [1, 12 / 30]
    assert of_background[[3, 7]].tolist() == [1, 12 / 30]
    assert doubt.change().sum() == pytest.approx(3 + 24 / 30)


def test_objects_change_where_they_come_and_go_and_not_at_their_borders():
    view, spec = seen(target="instances", classes=CLASSES[:2])
    inside, border = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    inside[4], border[5] = True, True
    cell = logits_of({1: inside, 2: border})
    cell.logits[0, 4:6] = 0
    before = np.zeros(SHAPE, np.uint8)
    before[4] = 4
    doubt = Doubt(view, spec, 0, before=before)
    doubt.write(cell)
    assert np.flatnonzero(doubt.change()[1]).tolist() == [5]
    assert doubt.entropy().shape == (3, SHAPE[0])


def test_nothing_changes_without_a_model_before():
    view, spec = seen()
    assert Doubt(view, spec, 0).change() is None
