"""Contestants side by side: one after the other in one run, so that the load of the machine falls on all."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

Result = TypeVar("Result")


def alternate(
    contestants: Mapping[str, Callable[[], Result]], rounds: int
) -> dict[str, list[Result]]:
    """Let each contestant run once a round, and return what each gave, in order."""
    results: dict[str, list[Result]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, run in contestants.items():
            results[name].append(run())
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
    return results


def seconds(work: Callable[[], object]) -> float:
    """Time one run of `work`."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def command_seconds(command: Sequence[object], **variables: str) -> tuple[float, str]:
    """Run a fresh process with these environment variables; return its time and its output."""
    words = list(map(str, command))
    environment = {**os.environ, **variables}
    began = time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return time.perf_counter() - began, done.stdout


Timed = tuple[float, dict[str, Any]]
"""Seconds of a whole process, and what it says itself in its last line of JSON."""


def timed(command: Sequence[object], **variables: str) -> Timed:
    """Run a contestant in a fresh process; return its time and what it says itself."""
    wall, said = command_seconds(command, **variables)
    return wall, json.loads(said.splitlines()[-1])


def network_seconds(runs: Sequence[Timed]) -> float:
    """Median of the seconds that the network took, as each run says itself."""
    return statistics.median(float(said.get("seconds", said)["network"]) for _, said in runs)


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Write a median with its range: ``5.2 (5.1 to 5.6)``."""
    kept = sorted(values)
    middle = statistics.median(kept)
    if len(kept) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({kept[0]:.{digits}f} to {kept[-1]:.{digits}f})"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine(*packages: str) -> str:
    """Say in one line on what, with which versions and by which command this was measured."""
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("torch", *packages))
    cores, busy = psutil.cpu_count(logical=False), psutil.cpu_percent(0.5)
    script, *words = sys.argv
    command = " ".join(["python", f"benchmarks/{Path(script).name}", *words])
    return (
        f"`{command}` on {time.strftime('%Y-%m-%d')}: {_processor()}, {cores} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(versions)}; "
        f"other work took {busy:.0f} % of the machine at the end."
    )


def _processor() -> str:
    """Name the processor as its maker does, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
