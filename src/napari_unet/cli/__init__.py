"""The command line: one file a command, all of them driving the same engine as the window."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see `napari_unet.cli.program.main`."""
    try:  # the imports take most of a second, in which Ctrl+C may come
        from napari_unet.cli.program import main as run

        return run(argv)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        if "--json" in (sys.argv if argv is None else argv):
            print('{"error": "Stopped."}')
        return 130
