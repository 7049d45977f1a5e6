"""Train Myrtle5 as a good user of PyTorch would on a CPU; `images.py` times it.

PyTorch is in none of the lock files, so it must be installed separately for this contender.
"""

from __future__ import annotations

import contextlib
from typing import Any

import image_training
import numpy as np
from image_training import Case

from dynamical_loss.models.network import Parameters


class Torch:
    """The network of `image_training.Plain` on the same batch, in one thread, with channels last in memory.

    In bfloat16 it runs under PyTorch's automatic casting.
    """

    def __init__(self, case: Case, parameters: Parameters) -> None:
        import torch

        torch.set_num_threads(1)
        self._torch = torch
        everything = image_training.data(case.side, case.samples)
        images = np.moveaxis(everything.train_inputs[: case.batch], -1, 1).copy()
        last = {"memory_format": torch.channels_last}
        self._images = torch.from_numpy(images).contiguous(**last)
        self._labels = torch.from_numpy(everything.train_labels[: case.batch].astype(np.int64))

        def own(kernel: Any) -> Any:
            found = torch.from_numpy(np.moveaxis(np.asarray(kernel[0], np.float32), (2, 3), (1, 0)).copy())
            return found.contiguous(**last)

        self._start = [own(parameters[f"convolution_{index}"]["kernel"]) for index in range(4)]
        self._start.append(torch.from_numpy(np.array(parameters["readout"][0], np.float32)))
        self._weights = [tensor.clone().requires_grad_() for tensor in self._start]
        self._lower = case.arithmetic == "bfloat16"

    def _loss(self) -> Any:
        functions = self._torch.nn.functional
        cast = (
            self._torch.autocast("cpu", dtype=self._torch.bfloat16)
            if self._lower
            else contextlib.nullcontext()
        )
        *kernels, readout = self._weights
        with cast:
            hidden = self._images
            for kernel, pooled in zip(kernels, (False, True, True, False), strict=True):
                hidden = functions.relu(functions.conv2d(hidden, kernel, padding=1))
                hidden = functions.avg_pool2d(hidden, 2) if pooled else hidden
        # As in the other contenders, everything after the convolutions is in float32.
        logits = hidden.float().mean((2, 3)) @ readout
        return functions.cross_entropy(logits, self._labels)

    def steps(self, count: int) -> None:
        """Train for `count` steps, starting from the initial parameters."""
        with self._torch.no_grad():
            for weight, start in zip(self._weights, self._start, strict=True):
                weight.copy_(start)
        optimiser = self._torch.optim.SGD(
            self._weights, image_training.LEARNING_RATE, image_training.MOMENTUM, nesterov=True
        )
        for _ in range(count):
            optimiser.zero_grad(set_to_none=True)
            self._loss().backward()
            optimiser.step()

    def loss(self) -> float:
        """Return the mean cross-entropy of the batch after the most recent call of `steps`."""
        with self._torch.no_grad():
            return float(self._loss())
