"""What convolutional networks are built of; images are laid out (sample, row, column, channel).

Products may be taken at lower precision than parameters are kept in, which an accelerator does much faster.

On a CPU convolutions have a primitive of their own, whose derivatives are convolutions of the same form.
XLA's own derivatives swap dimensions, and XLA knows a fast loop for these in the outermost computation only:
within a loop over steps or Lanczos vectors they take thirty to a hundred times as long.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.lax import Precision

from dynamical_loss.models.kind import Arithmetic

_PRECISION = {"full": Precision.HIGHEST, "tf32": Precision.HIGH, "bfloat16": Precision.DEFAULT}


def _plain(images: jax.Array, kernel: jax.Array, *, padding: int) -> jax.Array:
    """What the primitive computes; see `convolve`."""
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (1, 1),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=Precision.HIGHEST,
    )


def convolve(images: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolution in the sense of neural networks, without a flip, at the precision of its arguments.

    It can be differentiated in either mode and as often as one likes, and is fast within loops on a CPU.

    Args:
        images: (sample, row, column, channel_in).
        kernel: square, (side, side, channel_in, channel_out).
        padding: rows and columns of zeros on each edge.

    Returns:
        (sample, row, column, channel_out), with 2·padding + 1 − side rows more.
    """
    found: jax.Array = _convolution.bind(images, kernel, padding=padding)
    return found


def _image_gradient(cotangent: Any, images: Any, kernel: jax.Array, *, padding: int) -> jax.Array:
    flipped = jnp.flip(kernel, (0, 1)).transpose(0, 1, 3, 2)
    return convolve(cotangent, flipped, kernel.shape[0] - 1 - padding)


def _kernel_gradient(cotangent: Any, images: jax.Array, kernel: Any, *, padding: int) -> jax.Array:
    # Channels in the place of samples, samples in the place of channels.
    found = convolve(images.transpose(3, 1, 2, 0), cotangent.transpose(1, 2, 0, 3), padding)
    return found.transpose(1, 2, 0, 3)


def _batched(arguments: Any, dimensions: Any, *, padding: int) -> tuple[jax.Array, int]:
    """One after the other: side by side they would become one slow convolution of many groups."""
    size = next(
        array.shape[axis] for array, axis in zip(arguments, dimensions, strict=True) if axis is not None
    )
    stacked = tuple(
        jnp.broadcast_to(array, (size, *array.shape)) if axis is None else jnp.moveaxis(array, axis, 0)
        for array, axis in zip(arguments, dimensions, strict=True)
    )
    return jax.lax.map(lambda pair: convolve(pair[0], pair[1], padding), stacked), 0


_convolution: Any = Primitive("convolution")
_convolution.def_impl(jax.jit(_plain, static_argnames="padding"))
_convolution.def_abstract_eval(
    lambda images, kernel, *, padding: jax.core.ShapedArray(
        jax.eval_shape(lambda *pair: _plain(*pair, padding=padding), images, kernel).shape, images.dtype
    )
)
mlir.register_lowering(_convolution, mlir.lower_fun(_plain, multiple_results=False))
ad.defbilinear(  # type: ignore[no-untyped-call]
    _convolution, _image_gradient, _kernel_gradient
)
batching.primitive_batchers[_convolution] = _batched


class Convolution(nn.Module):
    """Zero-padded convolution without bias; a kernel is N(0, 2/fan_in), as W_std = √2.

    Attributes:
        channels: number of outputs.
        size: of the square kernel, odd.
        stride: pixels between outputs.
        arithmetic: of the products.
    """

    channels: int
    size: int = 3
    stride: int = 1
    arithmetic: Arithmetic = "full"

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """(sample, row, column, channel_in) to (sample, row / stride, column / stride, channel_out)."""
        shape = (self.size, self.size, inputs.shape[-1], self.channels)
        kernel = self.param("kernel", nn.initializers.variance_scaling(2.0, "fan_in", "normal"), shape)
        if self.arithmetic == "bfloat16":
            inputs, kernel = inputs.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
        edge = (self.size - 1) // 2
        if jax.default_backend() == "cpu":
            return convolve(inputs, kernel, edge)[:, :: self.stride, :: self.stride]
        return jax.lax.conv_general_dilated(
            inputs,
            kernel,
            (self.stride, self.stride),
            ((edge, edge), (edge, edge)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=_PRECISION[self.arithmetic],
        )


def average_pool(images: jax.Array) -> jax.Array:
    """Means of 2×2 pixels; a last odd row or column is left out."""
    count, rows, columns, channels = images.shape
    blocks = images[:, : rows // 2 * 2, : columns // 2 * 2].reshape(
        count, rows // 2, 2, columns // 2, 2, channels
    )
    return blocks.mean(axis=(2, 4))
