import subprocess
import sys

import pytest

from napari_unet.engine.device import available, choose_device, device_name
from napari_unet.errors import DeviceError


def test_there_is_always_a_cpu_and_auto_takes_the_first():
    assert available()[-1] == "cpu"
    assert choose_device("auto") == available()[0]


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_a_device_is_given_or_refused_with_a_remedy(kind):
    if kind in available():
        assert choose_device(kind) == kind
        assert device_name(kind)
    else:
        with pytest.raises(DeviceError, match=rf"no {kind} device here: .*choose auto"):
            choose_device(kind)


def test_what_pytorch_finds_is_found():
    import torch

    assert ("cuda" in available()) == torch.cuda.is_available()
    assert ("mps" in available()) == torch.backends.mps.is_available()


def test_the_cpu_is_chosen_without_asking_pytorch():
    code = (
        "import sys\n"
        "from napari_unet.engine.device import choose_device\n"
        "assert choose_device('cpu') == 'cpu'\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
