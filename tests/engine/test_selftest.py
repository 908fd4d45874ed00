import numpy as np
import pytest
import torch

from napari_unet.engine.backends import on_torch
from napari_unet.engine.selftest import (
    HALF_TOLERANCE,
    TOLERANCE,
    half_precision_error,
    network_error,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("spoil", "right"),
    [
        (lambda out: out, True),
        (lambda out: out.astype(np.float16), True),
        (lambda out: out + 0.05, False),
        (lambda out: np.flip(out, -1), False),
        (lambda out: np.where(out == out.max(), np.nan, out), False),
    ],
    ids=["right", "half", "shifted", "mirrored", "nan"],
)
def test_a_wrong_network_is_found(spoil, right):
    error = network_error(lambda model, tiles: spoil(on_torch(model.build(), "cpu")(tiles)))
    assert (error < TOLERANCE) == right


def test_half_precision_passes_and_less_does_not():
    assert 0 < half_precision_error(CPU, torch.float16) < HALF_TOLERANCE
    assert half_precision_error(CPU, torch.bfloat16) > HALF_TOLERANCE


def test_a_device_that_can_not_compute_it_fails():
    assert half_precision_error(torch.device("meta"), torch.float16) == float("inf")
