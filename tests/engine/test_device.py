import pytest
import torch

from napari_unet.engine.device import available, choose_device, device_name
from napari_unet.errors import DeviceError


def test_there_is_always_a_cpu_and_auto_takes_the_first():
    assert available()[-1] == "cpu"
    assert choose_device("auto").type == available()[0]


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_a_device_is_given_or_refused_with_a_remedy(kind):
    if kind in available():
        assert choose_device(kind).type == kind
        assert kind in device_name(torch.device(kind))
    else:
        with pytest.raises(DeviceError, match=rf"no {kind} device here: .*choose auto"):
            choose_device(kind)
