"""A network on PyTorch: CUDA in half precision where that computes rightly, MPS, or the CPU.

On a CPU the tiles lie as they come: channels-last memory gained nothing with the starters, in turns
beside other work (3D 0.616 s a tile against 0.618 s, 2D 0.262 s against 0.247 s).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unet.engine.arrays import Array
from napari_unet.engine.backends.stepping import Stepping, Unfit
from napari_unet.engine.memory import out_of_memory

_CPU = torch.device("cpu")


class OnTorch(Stepping):
    """A network on PyTorch.

    Logits stay on the network's device. When memory runs out with one tile, or the device lacks an
    operator, the CPU goes on; when half precision overflows, float32 does.

    Parameters
    ----------
    network : Module
        It is neither changed nor moved: another device gets a copy.
    device : torch.device
        Where it runs.
    half : torch.dtype, optional
        Type of the convolutions under autocast; float32 without it.
    tuned : bool
        Let cuDNN try its algorithms out on the first batch; pays over many batches of one shape.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        *,
        half: torch.dtype | None = None,
        tuned: bool = False,
    ) -> None:
        super().__init__()
        self.device = device
        self.half = half
        self.tuned = tuned
        self.batch: int | None = None
        """So many tiles are always run at once, the last few filled up with zeros: neither cuDNN
        nor the compiler then meets a second shape."""
        self._original = network
        self._network = _on(network, device).eval()

    def run(self, tiles: NDArray[np.float32]) -> Array:
        """Run tiles at once."""
        count = len(tiles)
        if self.batch is not None and count < self.batch and self._most is None:
            more = np.zeros((self.batch - count, *tiles.shape[1:]), np.float32)
            tiles = np.concatenate([tiles, more])
        try:
            with torch.inference_mode(), self._precision():
                logits: Tensor = self._network(self._moved(tiles))[:count].float()
        except NotImplementedError as error:
            if self.device.type == "cpu":
                raise
            raise Unfit("it lacks an operator of this network") from error
        # One number to wait for; an infinity in a sum would spoil every tile that touches it.
        if self.half is not None and not bool(torch.isfinite(logits).all()):
            raise Unfit("half precision overflows")
        return logits.numpy() if self.device.type == "cpu" else logits

    def lower(self, why: str) -> str | None:
        """Go from half precision to float32, or from a device to the CPU."""
        overflow = self.half is not None and "overflow" in why
        if not overflow and self.device.type == "cpu":
            return None
        self.half = None
        if overflow:
            return "Half precision overflows in this network: float32 goes on."
        kind, self.device, self.batch, self.tuned = self.device.type, _CPU, None, False
        self._network = nn.Identity()  # the old one goes before the new one comes
        if kind == "cuda":
            torch.cuda.empty_cache()
        self._network = _on(self._original, _CPU).eval()
        return f"The CPU goes on, more slowly than {kind}: {why}."

    def compile(self, example: NDArray[np.float32]) -> str:
        """Let PyTorch compile the network; return why it could not, or an empty text.

        Parameters
        ----------
        example : ndarray
            A batch of the shape that will come; it is run once.
        """
        plain = self._network
        why = ""
        try:
            self._network = cast(nn.Module, torch.compile(plain))
            self.run(example)
        except Exception as error:  # a compiler that is missing or fails raises anything
            if out_of_memory(error):
                why = "memory ran out"
            else:
                why = str(error).strip().partition("\n")[0] or type(error).__name__
        if why:
            self._network = plain
            logging.getLogger(__name__).warning("torch.compile failed: %s", why)
        return why

    def _moved(self, tiles: NDArray[np.float32]) -> Tensor:
        given = torch.from_numpy(np.ascontiguousarray(tiles))
        if self.device.type != "cuda":
            return given.to(self.device)
        return given.pin_memory().to(self.device, non_blocking=True)

    @contextmanager
    def _precision(self) -> Iterator[None]:
        """Set precision for one call: PyTorch keeps these settings for the whole process."""
        with ExitStack() as settings:
            if self.half is not None:
                settings.enter_context(torch.autocast(self.device.type, self.half))
            if self.device.type == "cuda":
                # TF32 rounds as half precision does: where that was refused, so is this.
                tf32 = self.half is not None
                settings.enter_context(
                    torch.backends.cudnn.flags(enabled=True, benchmark=self.tuned, allow_tf32=tf32)
                )
            yield


def _on(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network itself if it is there already, and a copy there otherwise."""
    there = {tensor.device.type for tensor in network.state_dict().values()}
    return network if there <= {device.type} else copy.deepcopy(network).to(device)
