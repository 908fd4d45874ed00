import subprocess
import sys
from dataclasses import replace

import pytest

from napari_unet.jobs.owner import Owner


def test_this_process_is_alive_and_reads_back():
    me = Owner.here()
    assert Owner.parse(f"{me}\n") == me
    assert me.alive()
    assert me.local
    assert not replace(me, machine="0" * 8).local


def test_a_dead_process_and_a_later_one_of_its_number_are_not_it():
    me = Owner.here()
    assert not replace(me, started=me.started - 1000).alive()
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert not Owner(done.pid, me.started, me.machine).alive()


@pytest.mark.parametrize("text", ["", "1.2", "a.b.c", "1.2.3.4", "-1.2.x"])
def test_anything_else_is_no_owner(text):
    assert Owner.parse(text) is None
