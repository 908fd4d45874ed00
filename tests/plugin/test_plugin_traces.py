"""What happened to the slices of a layer is that layer's own."""

import numpy as np
from napari.layers import Layer

from napari_unet.core.classes import default_classes
from napari_unet.core.volume import Volume
from napari_unet.plugin import layers
from napari_unet.plugin.traces import traces


def test_a_duplicate_has_traces_of_its_own():
    labels = layers.new_labels(Volume.from_array(np.zeros((4, 5, 6))), default_classes([1, 2]))
    box = (slice(1, 2), slice(0, 5), slice(0, 6))
    traces(labels).strokes.add(box, np.ones((1, 5, 6), bool), 0)
    twin = Layer.create(*labels.as_layer_data_tuple())  # as napari duplicates a layer
    own = traces(twin)
    assert own is traces(twin) is not traces(labels)
    assert own.strokes.known(twin.data).sum() == 30
    own.strokes.add((slice(2, 3), *box[1:]), np.ones((1, 5, 6), bool), 0)
    assert traces(labels).strokes.known(labels.data).sum() == 30
    assert own.predicted(0).tolist() == traces(labels).predicted(0).tolist()


def test_a_duplicate_knows_nothing_of_later_strokes(dock, hippocampus, viewer):
    dock.correct.new.click()
    labels = dock.target.labels
    labels.paint((7, 10, 10), 1)
    twin = viewer.add_layer(Layer.create(*labels.as_layer_data_tuple()))
    labels.paint((9, 20, 20), 0)
    known = traces(twin).strokes.known(twin.data)
    assert known[7].any()
    assert not known[9].any()
