from importlib.util import find_spec

import pytest
import torch

from napari_unet.cli import doctor
from napari_unet.cli.doctor import Check, export_check, network_error_on, window_checks
from napari_unet.engine.selftest import TOLERANCE
from napari_unet.errors import DeviceError


def test_doctor_says_what_is_there(run):
    done = run("doctor", "--json")
    result = done.json
    assert "cpu" in result["devices"]
    assert "torch" in result["backends"]
    assert result["versions"]["torch"] == torch.__version__
    checks = {check["name"]: check for check in result["checks"]}
    assert checks["device cpu"]["ok"]
    failed = [c for c in result["checks"] if c["needed"] and not c["ok"]]
    assert result["ok"] == (not failed)
    assert done.code == (1 if failed else 0)
    assert all(check["remedy"] for check in result["checks"] if not check["ok"])


def test_people_get_a_line_for_each_check(run):
    out = run("doctor").out
    assert f"torch {torch.__version__}" in out
    assert "device cpu" in out


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_the_cpu_computes_rightly(backend):
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    assert network_error_on("cpu", backend) < TOLERANCE


def test_a_device_that_is_not_there_is_an_error():
    if torch.backends.mps.is_available():
        pytest.skip("this is a Mac")
    with pytest.raises(DeviceError, match="mps"):
        network_error_on("mps", "torch")


@pytest.mark.skipif("sys.platform != 'linux'")
def test_a_window_needs_a_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    display = next(check for check in window_checks() if check.name == "display")
    assert isinstance(display, Check)
    assert not display.ok


def test_what_exporting_lacks_is_named(monkeypatch):
    assert export_check().ok
    monkeypatch.setattr(doctor, "version_of", lambda name: None if "onnx" in name else "1")
    check = export_check()
    assert not check.ok and not check.needed
    assert check.detail == "no onnx and no onnxscript" and "napari-unet[export]" in check.remedy
