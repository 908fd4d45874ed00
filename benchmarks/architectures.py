"""Compare the six networks: the same images, the same minutes, the same everything else.

    python benchmarks/architectures.py --minutes 5 --seeds 0 1 2

Three slices in each of five volumes of the hippocampus set (in 2D, with neighbouring slices), and ten
images of nuclei. A network that is slower makes fewer steps in its minutes; the table says how many.
"""

from __future__ import annotations

import argparse

from learning import compare

from napari_unet.core.spec import NETWORKS


def main() -> None:
    """Print one row a task and network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["hippocampus-slices", "nuclei-10"])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()
    compare(chosen.tasks, chosen.networks, chosen.seeds, chosen.minutes)


if __name__ == "__main__":
    main()
