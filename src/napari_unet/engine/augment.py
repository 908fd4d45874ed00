"""Patches that differ each time they are drawn: elastic in shape, free in intensity.

With few images the elastic deformation is what lets a network see what it was not shown
(Ronneberger et al. 2015, section 3.1). A patch is sampled from the whole volume along a bent grid
in one step, so deformation costs no more than cropping and brings no border artefacts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How far patches are bent, turned and recoloured.

    Parameters
    ----------
    turn : float
        Largest rotation in the plane of a slice, in radians; pi for images without an "up".
    tilt : float
        Largest rotation out of it, in radians (3D patches only).
    zoom : float
        Largest relative change of size.
    bend : float
        Standard deviation of the elastic displacement, as a share of the patch.
    mirror : bool
        Whether a mirrored image is as likely as the image.
    contrast, shift, noise, gamma : float
        Standard deviations of the intensity changes, in units of the image's own deviation
        (`gamma`: of the exponent's logarithm).
    """

    turn: float = math.radians(15)
    tilt: float = math.radians(8)
    zoom: float = 0.2
    bend: float = 0.03
    mirror: bool = False
    contrast: float = 0.2
    shift: float = 0.2
    noise: float = 0.1
    gamma: float = 0.25


MEDICAL = Augmentation()
"""Left is not right and up is not down in a scanner."""

MICROSCOPY = Augmentation(turn=math.pi, tilt=0.0, mirror=True, zoom=0.25)
"""A cell has no "up"; in z the optics differ, so nothing is tilted out of the plane."""


def bent_grid(
    centre: tuple[float, ...],
    size: tuple[int, ...],
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    how: Augmentation | None,
    rng: np.random.Generator,
) -> Tensor:
    """Make the sampling grid of one patch.

    Parameters
    ----------
    centre : tuple of float
        Voxel in the volume that the patch is centred on.
    size : tuple of int
        Voxels of the patch, 2 or 3 axes.
    shape : tuple of int
        Voxels of the volume along the same axes.
    spacing : tuple of float
        Voxel size along them (any unit): rotations are rigid in space, not in voxels.
    how : Augmentation, optional
        None for a straight cut.
    rng : numpy Generator
        Source of chance.

    Returns
    -------
    Tensor
        Shape (1, *size, dims), coordinates as `torch.nn.functional.grid_sample` wants them
        (``align_corners=False``, last axis first).
    """
    dims = len(size)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in size]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    if how is not None:
        matrix = torch.from_numpy(_affine(dims, spacing, how, rng).astype(np.float32))
        offsets = offsets @ matrix.T + _elastic(size, how, rng)
    where = offsets + torch.tensor(centre, dtype=torch.float32)
    scaled = (2 * where + 1) / torch.tensor(shape, dtype=torch.float32) - 1
    return scaled.flip(-1)[None]


def _affine(
    dims: int, spacing: tuple[float, ...], how: Augmentation, rng: np.random.Generator
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Voxel offsets in the patch to voxel offsets in the volume."""
    matrix = _rotation(dims, dims - 2, dims - 1, rng.uniform(-how.turn, how.turn))
    if dims == 3 and how.tilt:
        for other in (1, 2):
            matrix = matrix @ _rotation(3, 0, other, rng.uniform(-how.tilt, how.tilt))
    zoom = np.exp(rng.uniform(-1, 1, size=dims) * how.zoom / 3 + rng.uniform(-1, 1) * how.zoom)
    matrix = matrix * zoom
    if how.mirror:
        matrix = matrix * rng.choice([-1.0, 1.0], size=dims)
    rigid = np.diag(spacing)
    return np.asarray(np.linalg.inv(rigid) @ matrix @ rigid)


def _rotation(
    dims: int, a: int, b: int, angle: float
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    matrix = np.eye(dims)
    matrix[a, a] = matrix[b, b] = math.cos(angle)
    matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
    return matrix


def _elastic(size: tuple[int, ...], how: Augmentation, rng: np.random.Generator) -> Tensor:
    """Smooth random displacement of each voxel of the patch, in voxels."""
    dims = len(size)
    knots = [max(2, min(6, n // 8)) for n in size]
    coarse = rng.standard_normal((1, dims, *knots)).astype(np.float32)
    coarse *= np.array(size, np.float32).reshape(1, dims, *(1,) * dims) * how.bend
    mode = "trilinear" if dims == 3 else "bicubic"
    fine = F.interpolate(torch.from_numpy(coarse), size=size, mode=mode, align_corners=True)
    return fine[0].movedim(0, -1)


def recolour(patch: Tensor, how: Augmentation, rng: np.random.Generator) -> Tensor:
    """Change a patch's intensities, shape (C, ...); the input is in deviations from its mean."""
    channels = (-1, *(1,) * (patch.ndim - 1))
    count = patch.shape[0]

    def draw(scale: float) -> Tensor:
        return torch.from_numpy(rng.normal(0, scale, count).astype(np.float32)).view(channels)

    if rng.random() < 0.3:
        low, high = patch.amin(), patch.amax()
        unit = (patch - low) / (high - low).clamp_min(1e-6)
        patch = unit ** float(np.exp(rng.normal(0, how.gamma))) * (high - low) + low
    patch = patch * torch.exp(draw(how.contrast)) + draw(how.shift)
    if rng.random() < 0.3:
        level = abs(float(rng.normal(0, how.noise)))
        noise = rng.standard_normal(patch.shape, dtype=np.float32)
        patch = patch + level * torch.from_numpy(noise)
    return patch
