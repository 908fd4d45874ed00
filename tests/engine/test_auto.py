import numpy as np
import pytest
import torch

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import NETWORKS
from napari_unet.core.volume import Volume
from napari_unet.engine.auto import choose_spec, common_spacing, tile_for, typical_size
from napari_unet.engine.networks import build_network
from napari_unet.engine.view import View, as_stack, measure
from napari_unet.errors import SpecError

CPU, GPU = torch.device("cpu"), torch.device("cuda")  # a name is enough: nothing runs on it


def case(shape=(32, 48, 48), spacing=None, unit="pixel", done=None, axis=0, air=0.0):
    """An image with classes 1 and 4, known in full or on some slices."""
    labels = np.zeros(shape, np.uint8)
    labels[..., : shape[-1] // 2] = 1
    labels[..., 0] = 4
    data = np.linspace(air, 500, labels.size, dtype=np.float32).reshape(1, *shape)
    volume = Volume(data, Grid(shape, spacing or (1.0,) * len(shape), unit))
    if done is None:
        return volume, Annotation.full(labels)
    return volume, Annotation.from_slices(labels, axis, done)


def boxed(box=np.s_[4:12, 4:12, 4:12], **grid):
    """An image that is known in a box."""
    volume, annotation = case((20, 24, 80), **grid)
    labels = np.arange(annotation.labels.size).reshape(annotation.labels.shape) % 2
    return volume, Annotation.from_parts(labels, boxes=[tuple(map(as_slice, box))])


def as_slice(place):
    return place if isinstance(place, slice) else slice(place, place + 1)


def chosen(*cases, device=CPU, classes=(), **settings):
    return choose_spec(cases, TrainSettings(**settings), classes, device)


PLANES = [case((48, 48), spacing=(5.0, 5.0), unit="nm")] * 3
CHOICES = {
    # name: (cases, settings, what the spec must have)
    "full volume": ([case()], {}, {"dims": 2, "axis": 0, "context": 2}),
    "full volume of long voxels": ([case(spacing=(1.0, 1.0, 4.0), unit="mm")], {}, {"axis": 2}),
    "single slices": ([case(done=[4, 9])], {}, {"dims": 2, "axis": 0, "context": 2}),
    "slices along y": ([case(done=[4, 9], axis=1)], {}, {"dims": 2, "axis": 1}),
    "slices along x": ([case(done=[4, 9], axis=2)], {}, {"dims": 2, "axis": 2}),
    "thick slices": (
        [case(spacing=(4.0, 1.0, 1.0), unit="mm", done=[4, 9])],
        {},
        {"context": 1, "spacing": (4.0, 1.0, 1.0), "unit": "mm"},
    ),
    "slices far apart": (
        [case(spacing=(9.0, 1.0, 1.0), unit="mm", done=[4, 9])],
        {},
        {"context": 0, "spacing": (9.0, 1.0, 1.0), "unit": "mm"},
    ),
    "a box": ([boxed()], {}, {"axis": 0}),
    "a box in long voxels": ([boxed(spacing=(1.0, 1.0, 4.0), unit="mm")], {}, {"axis": 2}),
    "a box in a part of a slice": ([boxed(np.s_[3:9, 7, 5:12])], {}, {"axis": 1}),
    "one slice": ([case((1, 48, 48))], {}, {"axis": 0}),
    "one slice along x": ([case((48, 48, 1))], {}, {"axis": 2}),
    "cubes of voxels": (
        [case(spacing=(1.2, 0.8, 1.0), unit="mm", done=[4, 9])],
        {},
        {"dims": 2, "block": (40, 40, 48), "spacing": (1.0, 1.0, 1.0)},
    ),
    "cubes of voxels, known in full": (
        [case(spacing=(1.0,) * 3, unit="mm")],
        {},
        {"block": (32, 48, 48)},
    ),
    "cubes of voxels in a large volume": (
        [case((160, 160, 160), spacing=(1.0,) * 3, unit="mm")],
        {},
        {"block": None},
    ),
    "objects in slices": (
        [case(spacing=(2.2, 1.0, 1.0), unit="um", done=[4, 9])],
        {"instances": True},
        {"dims": 2, "block": (72, 48, 48), "spacing": (1.0, 1.0, 1.0)},
    ),
    "objects, known in full": (
        [case(spacing=(2.2, 1.0, 1.0), unit="um")],
        {"instances": True},
        {"dims": 2, "block": (72, 48, 48), "spacing": (1.0, 1.0, 1.0)},
    ),
    "objects, known in full, of one orientation": (
        [case(spacing=(2.2, 1.0, 1.0), unit="um")],
        {"instances": True, "planes": 1},
        {"dims": 3, "block": None},
    ),
    "objects, known in full, in long voxels": (
        [case(spacing=(3.2, 1.0, 1.0), unit="um")],
        {"instances": True},
        {"dims": 3, "block": None},
    ),
    "classes in slices as far apart": (
        [case(spacing=(2.2, 1.0, 1.0), unit="um", done=[4, 9])],
        {},
        {"dims": 2, "block": None},
    ),
    "objects in slices far apart": (
        [case(spacing=(3.2, 1.0, 1.0), unit="um", done=[4, 9])],
        {"instances": True},
        {"dims": 2, "block": None},
    ),
    "the original": (
        [case(spacing=(1.0,) * 3, unit="mm")],
        {"network": "original"},
        {"block": None},
    ),
    "one orientation wanted": (
        [case(spacing=(1.0,) * 3, unit="mm")],
        {"planes": 1},
        {"block": None},
    ),
    "three orientations wanted": (
        [case()],
        {"planes": 3},
        {"block": (32, 48, 48), "spacing": None},
    ),
    "three orientations of objects wanted": (
        [case()],
        {"planes": 3, "instances": True},
        {"dims": 2, "target": "instances", "block": (32, 48, 48)},
    ),
    "planes": ([case((40, 40))], {}, {"dims": 2, "axis": 0, "context": 0, "spacing": None}),
    "a volume beside planes of large pixels": (
        [case(spacing=(50.0, 5.0, 5.0), unit="nm"), *PLANES],
        {},
        {"axis": 0, "context": 0, "spacing": (50.0, 5.0, 5.0), "tile": (48, 48)},
    ),
    "a volume behind planes": (
        [*PLANES, case(spacing=(50.0, 5.0, 5.0), unit="nm")],
        {},
        {"axis": 0, "context": 0, "spacing": (50.0, 5.0, 5.0)},
    ),
    "slices along y beside planes": (
        [case(spacing=(5.0, 9.0, 5.0), unit="nm", done=[4, 9], axis=1), *PLANES],
        {},
        {"axis": 1, "context": 2, "spacing": (5.0, 9.0, 5.0), "tile": (48, 48)},
    ),
    "few slices": ([case((6, 48, 48))], {}, {"dims": 2}),
    "context wanted": ([case()], {"context": 3}, {"dims": 2, "context": 3}),
    "no context wanted": ([case(done=[4, 9])], {"context": 0}, {"dims": 2, "context": 0}),
    "3D wanted": ([case(done=[4, 9])], {"dims": 3}, {"dims": 3, "context": 0}),
    "objects": (
        [case()],
        {"instances": True},
        {"dims": 3, "target": "instances", "out_channels": 3},
    ),
}


@pytest.mark.parametrize(("cases", "settings", "wanted"), CHOICES.values(), ids=CHOICES)
def test_the_data_decide(cases, settings, wanted):
    spec, reasons = chosen(*cases, **settings)
    assert {name: getattr(spec, name) for name in wanted} == wanted
    assert all(reasons)


def halves(shape, unit):
    """An image with one large thing in it."""
    labels = np.zeros(shape, np.uint8)
    labels[..., : shape[-1] // 2] = 1
    volume = Volume(np.zeros((1, *shape), np.float32), Grid(shape, (1.0,) * len(shape), unit))
    return volume, Annotation.full(labels)


@pytest.mark.parametrize(
    ("unit", "shape", "device", "spacing"),
    [
        ("pixel", (8, 256, 256), CPU, (1.0, 4.0, 4.0)),
        ("pixel", (256, 256), CPU, (1.0, 4.0, 4.0)),
        ("um", (256, 256), CPU, (1.0, 4.0, 4.0)),
        ("pixel", (64, 64), CPU, None),  # few pixels as it is
        ("pixel", (256, 256), GPU, None),  # carries large patches; nothing is measured there
    ],
)
def test_pixels_are_as_coarse_as_what_is_annotated_allows(unit, shape, device, spacing):
    spec, reasons = chosen(halves(shape, unit), device=device, dims=2)
    assert spec.spacing == spacing
    assert spec.unit == unit
    assert any("times as long" in r for r in reasons) == (spacing is not None)
    assert max(spec.tile) == (64 if spacing else shape[-1])


def test_full_resolution_is_for_whoever_asks():
    spec, reasons = chosen(halves((8, 256, 256), "um"), dims=2, resolution="full")
    assert spec.spacing == (1.0, 1.0, 1.0)
    assert not any("times as long" in r for r in reasons)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9), (12, 40, 33), (64, 64, 64)])
@pytest.mark.parametrize("dims", [2, 3])
def test_every_choice_can_be_built(network, shape, dims):
    spec, _ = chosen(case(shape), network=network, dims=dims)
    with torch.device("meta"):
        build_network(spec)
    assert spec.network == network


def test_long_voxels_are_neither_halved_nor_mixed_at_first():
    spec, _ = chosen(case((32, 64, 64), (5.0, 1.0, 1.0), "mm"), dims=3)
    assert spec.kernels[0] == (1, 3, 3)
    assert spec.strides[0] == (1, 2, 2)
    assert spec.kernels[-1] == (3, 3, 3)


def test_a_gpu_learns_objects_in_whole_blocks():
    cubes = case(spacing=(1.0,) * 3, unit="um")
    specs = [chosen(cubes, device=device, instances=True)[0] for device in (CPU, GPU)]
    assert [(spec.dims, spec.block is None) for spec in specs] == [(2, False), (3, True)]


def test_a_gpu_carries_more():
    small, large = (chosen(case((128, 256, 256)), device=d)[0] for d in (CPU, GPU))
    assert (small.dims, large.dims) == (2, 3)
    assert sum(large.features) > sum(small.features)
    assert np.prod(large.tile) > np.prod(small.tile)


def test_classes_are_named_by_the_user_or_numbered():
    names = (BACKGROUND, LabelClass(1, "body"), LabelClass(4, "edge"))
    assert chosen(case(), classes=names)[0].classes == names
    assert [c.id for c in chosen(case())[0].classes] == [0, 1, 4]


@pytest.mark.parametrize(
    ("unit", "air", "kind"), [("mm", -1000, "window"), ("mm", 0, "zscore"), ("um", -1000, "zscore")]
)
def test_hounsfield_units_are_kept(unit, air, kind):
    assert chosen(case(unit=unit, air=air))[0].normalisation.kind == kind


@pytest.mark.parametrize(("unit", "clipped"), [("mm", True), ("um", False), ("pixel", False)])
def test_few_bright_cells_in_a_microscope_are_not_cut_at_half_their_height(unit, clipped):
    data = np.zeros((1, 400, 400), np.float32)
    data[0, :32, :32] = np.linspace(1, 2, 32**2).reshape(32, 32)  # one voxel in 156
    data[0, 0, 0] = 900  # and a hot one
    volume = Volume(data, Grid((400, 400), (1.0, 1.0), unit))
    labels = (data[0] > 0).astype(np.uint8)
    spec, _ = chosen((volume, Annotation(labels, np.ones(labels.shape, bool))))
    (scale,) = measure(as_stack(volume), spec.normalisation)
    assert (scale.high < 1.5) == clipped
    assert scale.high < 2.1


def test_size_and_spacing_are_those_of_the_median_image():
    cases = [case((10, 20, 20), (s, 1.0, 1.0), "mm") for s in (1.0, 2.0, 9.0)]
    spacing = common_spacing(cases, "mm")
    assert spacing.tolist() == [2, 1, 1]
    assert typical_size(cases, "mm", spacing).tolist() == [10, 20, 20]
    in_other_unit = [cases[0], case((10, 20, 20), (1000.0, 1000.0, 1000.0), "um")]
    assert common_spacing(in_other_unit, "mm").tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "units", [("um", "pixel", "pixel"), ("pixel", "um", "um"), ("um", "pixel")]
)
def test_images_without_a_unit_count_in_voxels_beside_others(units):
    sizes = {"um": (0.25, 0.25), "pixel": (1.0, 1.0)}
    cases = [case((256, 256), sizes[unit], unit) for unit in units]
    spec, _ = chosen(*cases, device=GPU)  # where pixels stay as fine as they are
    assert {View(volume, spec).shape for volume, _ in cases} == {(1, 256, 256)}
    assert spec.tile == (256, 256)


def test_another_modality_beside_ct_is_no_thin_slice_of_its_window():
    volume, annotation = case(unit="mm", air=-1000.0)
    both = np.concatenate(
        [volume.data, np.linspace(0, 20, volume.data.size).reshape(volume.data.shape)]
    )
    assert chosen((Volume(both, volume.grid), annotation))[0].normalisation.kind == "zscore"


@pytest.mark.parametrize("shape", [(20, 24, 28), (9, 300, 300), (200, 200, 200)])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_tile_fits_the_images_and_the_device(shape, kind):
    spec, _ = chosen(case(shape))
    tile = tile_for(spec, [case(shape)], torch.device(kind))
    assert tile == spec.nearest_tile(tile)
    assert all(t < n + d for t, n, d in zip(tile, shape[-spec.dims :], spec.divisor, strict=True))
    assert np.prod(tile) <= {"cpu": 48 * 64 * 64, "cuda": 96 * 128 * 128}[kind]


def test_refuses_context_in_3d():
    with pytest.raises(SpecError, match="2D networks only"):
        chosen(case(), dims=3, context=1)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((32, 32), {}),
        ((16, 32, 32), {"dims": 3}),
        ((16, 32, 32), {"network": "original"}),
        ((16, 32, 32), {"dims": 3, "instances": True}),
    ],
)
def test_refuses_three_orientations_where_there_are_none(shape, settings):
    with pytest.raises(SpecError, match="leave planes on auto"):
        chosen(case(shape), planes=3, **settings)


def test_other_channels_in_another_image_are_left_to_whoever_reads_it():
    one, annotation = case(unit="mm", air=-1000.0)
    two = Volume(np.concatenate([one.data, one.data]), one.grid)
    assert chosen((one, annotation), (two, annotation))[0].normalisation.kind == "window"
