import os
import time

import pytest
import torch
from torch import nn

from napari_unet.engine.backends import load_backend, openvino_cpu
from napari_unet.engine.backends.disk_cache import DiskCache

CPU = torch.device("cpu")


def test_what_is_put_is_got_by_any_later_process(tmp_path):
    folder = tmp_path / "new" / "cache"
    DiskCache(folder, ".ir").put("a1", b"content")
    again = DiskCache(folder, ".ir")
    assert (again.has("a1"), again.get("a1")) == (True, b"content")
    assert (again.has("b2"), again.get("b2")) == (False, None)
    again.drop("a1")
    assert not again.has("a1")
    again.drop("a1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1],
        lambda b: b[:0],
        lambda b: b[:10],
        lambda b: b + b"!",
        lambda b: b[:40] + bytes([b[40] ^ 1]) + b[41:],
        lambda b: bytes([b[0] ^ 1]) + b[1:],
    ],
    ids=["cut", "empty", "stump", "longer", "flipped", "other sum"],
)
def test_a_damaged_entry_is_thrown_away(tmp_path, damage, caplog):
    cache = DiskCache(tmp_path, ".ir")
    cache.put("a1", b"content of an entry")
    path = tmp_path / "a1.ir"
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("a1") is None
    assert not path.exists()
    assert "damaged" in caplog.text


def test_the_last_used_entries_are_kept(tmp_path):
    cache = DiskCache(tmp_path, ".ir", entries=3)
    for place, key in enumerate("abc"):
        cache.put(key, b"x")
        old = time.time() - 100 + place
        os.utime(tmp_path / f"{key}.ir", (old, old))
    cache.get("a")
    cache.put("d", b"x")
    assert [key for key in "abcd" if cache.has(key)] == ["a", "c", "d"]


def test_the_size_is_bounded_but_the_newest_entry_stays(tmp_path):
    cache = DiskCache(tmp_path, ".ir", size=1000)
    cache.put("a", bytes(600))
    os.utime(tmp_path / "a.ir", (1, 1))
    cache.put("b", bytes(600))
    assert [key for key in "ab" if cache.has(key)] == ["b"]
    cache.put("c", bytes(5000))
    assert cache.get("c") == bytes(5000)


def test_what_a_killed_process_left_is_swept_and_other_files_are_not(tmp_path):
    left, fresh, other = (
        tmp_path / name for name in (".0f.partial.a.ir", ".1f.partial.b.ir", "notes.txt")
    )
    for path in (left, fresh, other):
        path.write_bytes(b"x")
        os.utime(path, (1, 1))
    os.utime(fresh)
    DiskCache(tmp_path, ".ir").put("c", b"x")
    assert [p.exists() for p in (left, fresh, other)] == [False, True, True]


def test_a_place_that_can_not_be_written_is_no_error(tmp_path, caplog):
    place = tmp_path / "file"
    place.write_bytes(b"")
    cache = DiskCache(place, ".ir")
    cache.put("a", b"x")
    assert (cache.has("a"), cache.get("a")) == (False, None)
    assert "Nothing is kept" in caplog.text


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's cache folder of its own, and nothing kept in memory."""
    if not openvino_cpu.installed():
        pytest.skip("needs OpenVINO")
    for name in ("XDG_CACHE_HOME", "WIN_PD_OVERRIDE_LOCAL_APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    openvino_cpu._compiled.cache_clear()
    yield tmp_path
    openvino_cpu._compiled.cache_clear()


def network_and_tiles(seed=0):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Conv2d(4, 2, 1))
    return network.eval(), torch.randn(1, 1, 8, 8)


def entries(home):
    return sorted(home.rglob("*.ir"))


def converted(network):
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_a_network_is_converted_once_for_each_weights_and_shape(home):
    network, tiles = network_and_tiles()
    expected = network(tiles)
    calls = converted(network)
    for _ in range(3):
        forward = load_backend("openvino", network, CPU, tiles, 1, identity="a").forward
        assert torch.allclose(forward(tiles), expected, atol=1e-5)
    assert len(calls) == 1
    openvino_cpu._compiled.cache_clear()  # as another process would find it
    assert openvino_cpu.is_kept("a", tiles)
    load_backend("openvino", network, CPU, tiles, 1, identity="a")
    assert (len(calls), len(entries(home))) == (1, 1)
    load_backend("openvino", network, CPU, torch.ones(1, 1, 16, 8), 1, identity="a")
    other, _ = network_and_tiles(1)
    forward = load_backend("openvino", other, CPU, tiles, 1, identity="b").forward
    assert torch.allclose(forward(tiles), other(tiles), atol=1e-5)
    assert (len(calls), len(entries(home))) == (2, 3)
    assert not openvino_cpu.is_kept(None, tiles)


def test_without_an_identity_nothing_is_kept(home):
    network, tiles = network_and_tiles()
    load_backend("openvino", network, CPU, tiles, 1)
    assert entries(home) == []


def foreign(path):
    """Write an entry that is whole, and is no network."""
    DiskCache(path.parent, ".ir").put(path.stem, (4).to_bytes(8, "little") + b"<xml and more")


@pytest.mark.parametrize(
    "damage",
    [lambda p: p.write_bytes(p.read_bytes()[:-9]), lambda p: p.write_bytes(b""), foreign],
    ids=["cut", "empty", "foreign"],
)
def test_a_damaged_entry_is_made_anew(home, damage):
    network, tiles = network_and_tiles()
    expected = network(tiles)
    load_backend("openvino", network, CPU, tiles, 1, identity="a")
    openvino_cpu._compiled.cache_clear()
    (path,) = entries(home)
    whole = path.read_bytes()
    damage(path)
    loaded = load_backend("openvino", network, CPU, tiles, 1, identity="a")
    assert loaded.name == "openvino"
    assert torch.allclose(loaded.forward(tiles), expected, atol=1e-5)
    assert len(path.read_bytes()) == len(whole)


def test_a_cache_that_can_not_be_written_converts_each_time(home, monkeypatch):
    network, tiles = network_and_tiles()
    (home / "napari-unet").write_bytes(b"")  # a file where the folder should be
    calls = converted(network)
    for _ in range(2):
        loaded = load_backend("openvino", network, CPU, tiles, 1, identity="a")
        assert loaded.name == "openvino"
        assert torch.allclose(loaded.forward(tiles), network(tiles), atol=1e-5)
    assert len(calls) == 4  # two conversions, two comparisons
