"""Measure how well cells in ISBI 2012 EM slices come apart: V_Rand and V_Info after border thinning.

    python benchmarks/membranes.py --minutes 30 --seeds 0 1 2

Trained on the 24 train slices, scored on the 6 held-out ones at the best of nine thresholds, as the
challenge does (Arganda-Carreras et al. 2015). The 2015 U-Net reached 0.973 / 0.987 on the challenge's
hidden test; these are not the same slices.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from contest import machine, spread, table
from dataset import rows
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

import napari_unet as nu

THRESHOLDS = tuple(i / 10 for i in range(1, 10))


def main() -> None:
    """Print one row: the six slices at the best threshold of each measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--network", default="auto")
    chosen = parser.parse_args()
    rand, info = [], []
    for seed in chosen.seeds:
        loaded = (row.load() for row in rows("isbi2012_em", "train"))
        cases = [(volume, nu.Annotation.full(labels)) for volume, labels in loaded]
        model = nu.finetune(cases, minutes=chosen.minutes, seed=seed, network=chosen.network)
        found = []
        for row in rows("isbi2012_em", "test"):
            volume, truth = row.load()
            seen = nu.predict(volume, model, keep_probabilities=True).probabilities
            membrane = np.asarray(seen)[0]
            found.append([v_scores(membrane > t, truth == 0) for t in THRESHOLDS])
        both = np.mean(found, axis=0).max(axis=0)
        rand.append(float(both[0]))
        info.append(float(both[1]))
        print(f"seed {seed}: V_Rand {rand[-1]:.4f}, V_Info {info[-1]:.4f}", flush=True)
    print(f"{machine('monai')}\n")
    print(table(("minutes", "V_Rand", "V_Info", "seeds"),
                [(f"{chosen.minutes:g}", spread(rand, 4), spread(info, 4), len(rand))]))  # fmt: skip


def v_scores(membrane: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Foreground-restricted V_Rand and V_Info of one slice.

    Cells are what membranes leave, connected by edges. Found borders are thinned to nothing by growing the
    cells over them; voxels on the true membranes do not count.
    """
    given = _thinned(membrane)
    cells, _ = ndimage.label(~truth)
    inside = cells > 0
    joint = _shares(given[inside], cells[inside])
    found, right = joint.sum(axis=1), joint.sum(axis=0)
    rand = 2 * np.square(joint).sum() / (np.square(found).sum() + np.square(right).sum())
    entropies = _entropy(found), _entropy(right)
    mutual = sum(entropies) - _entropy(joint)
    info = 2 * mutual / sum(entropies) if sum(entropies) > 0 else 1.0
    return float(rand), float(info)


def _thinned(membrane: NDArray[np.bool_]) -> NDArray[np.int32]:
    cells, count = ndimage.label(~membrane)
    if not count:
        return np.ones(membrane.shape, np.int32)
    distance = ndimage.distance_transform_edt(membrane)
    return np.asarray(watershed(distance, cells), dtype=np.int32)


def _shares(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Share of voxels with each pair of ids."""
    table = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(table, (one, other), 1)
    return table / one.size


def _entropy(shares: NDArray[np.float64]) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())


if __name__ == "__main__":
    main()
