"""What convolutional networks are built of; images are laid out (sample, row, column, channel).

Products may be taken at lower precision than parameters are kept in, which an accelerator does much faster.

On a CPU convolutions and the gradients of their kernels are primitives of their own, whose derivatives are
such primitives again.  XLA's own derivatives swap dimensions, and XLA knows a fast loop for these in the
outermost computation only: within a loop over steps or Lanczos vectors they take thirty to a hundred times as
long.  Where there is a C compiler, the primitives are computed in C (`native`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.lax import Precision

from dynamical_loss.models import native
from dynamical_loss.models.kind import Arithmetic

_PRECISION = {"full": Precision.HIGHEST, "tf32": Precision.HIGH, "bfloat16": Precision.DEFAULT}


def _plain(images: jax.Array, kernel: jax.Array, *, padding: int) -> jax.Array:
    """What the first primitive computes; see `convolve`."""
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (1, 1),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=Precision.HIGHEST,
    )


def _plain_gradient(images: jax.Array, cotangent: jax.Array, *, padding: int) -> jax.Array:
    """What the second primitive computes; see `kernel_gradient`."""
    # Channels in the place of samples, samples in the place of channels.
    found = _plain(images.transpose(3, 1, 2, 0), cotangent.transpose(1, 2, 0, 3), padding=padding)
    return found.transpose(1, 2, 0, 3)


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


def kernel_gradient(images: jax.Array, cotangent: jax.Array, padding: int) -> jax.Array:
    """The gradient of a convolution's kernel, bilinear as the convolution itself.

    Args:
        images: (sample, row, column, channel_in), that were convolved.
        cotangent: (sample, row, column, channel_out), of the result.
        padding: of the convolution.

    Returns:
        (side, side, channel_in, channel_out).
    """
    found: jax.Array = _kernel_gradient.bind(images, cotangent, padding=padding)
    return found


def _image_gradient(cotangent: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    flipped = jnp.flip(kernel, (0, 1)).transpose(0, 1, 3, 2)
    return convolve(cotangent, flipped, kernel.shape[0] - 1 - padding)


def _primitive(name: str, plain: Callable[..., jax.Array]) -> Any:
    """A primitive of two arrays and a padding, computed in C where that is possible, else as `plain` says."""
    primitive: Any = Primitive(name)

    def abstract(left: Any, right: Any, *, padding: int) -> Any:
        found = jax.eval_shape(functools.partial(plain, padding=padding), left, right)
        return jax.core.ShapedArray(found.shape, left.dtype)

    def batched(arguments: Any, dimensions: Any, *, padding: int) -> tuple[jax.Array, int]:
        # One after the other: side by side they would become one slow convolution of many groups.
        size = next(
            array.shape[axis] for array, axis in zip(arguments, dimensions, strict=True) if axis is not None
        )
        stacked = tuple(
            jnp.broadcast_to(array, (size, *array.shape)) if axis is None else jnp.moveaxis(array, axis, 0)
            for array, axis in zip(arguments, dimensions, strict=True)
        )
        return jax.lax.map(lambda pair: primitive.bind(*pair, padding=padding), stacked), 0

    by_xla = mlir.lower_fun(plain, multiple_results=False)

    def on_cpu(context: Any, left: Any, right: Any, *, padding: int) -> Any:
        shapes = [array.shape for array in (*context.avals_in, *context.avals_out)]
        kernel = shapes[1] if name == native.CONVOLUTION else shapes[2]
        # The derivative of a convolution whose padding is wider than its kernel cuts edges off.
        if padding < 0 or kernel[0] != kernel[1] or not native.serves(context.avals_in[0].dtype):
            return by_xla(context, left, right, padding=padding)
        return jax.ffi.ffi_lowering(name)(context, left, right, padding=np.int64(padding))

    primitive.def_impl(jax.jit(primitive.bind, static_argnames="padding"))
    primitive.def_abstract_eval(abstract)
    mlir.register_lowering(primitive, by_xla)
    mlir.register_lowering(primitive, on_cpu, platform="cpu")
    batching.primitive_batchers[primitive] = batched
    return primitive


_convolution = _primitive(native.CONVOLUTION, _plain)
_kernel_gradient = _primitive(native.KERNEL_GRADIENT, _plain_gradient)

ad.defbilinear(  # type: ignore[no-untyped-call]
    _convolution,
    lambda cotangent, images, kernel, *, padding: _image_gradient(cotangent, kernel, padding),
    lambda cotangent, images, kernel, *, padding: kernel_gradient(images, cotangent, padding),
)
ad.defbilinear(  # type: ignore[no-untyped-call]
    _kernel_gradient,
    lambda kernel, images, cotangent, *, padding: _image_gradient(cotangent, kernel, padding),
    lambda kernel, images, cotangent, *, padding: convolve(images, kernel, padding),
)


def computed_by(arithmetic: Arithmetic, precision: str) -> str:
    """What computes convolutions on this machine's CPU.

    Args:
        arithmetic: of their products.
        precision: of the parameters.
    """
    return f"convolutions by {native.computed_by(jnp.bfloat16 if arithmetic == 'bfloat16' else precision)}"


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
    """Means of 2×2 pixels, added in float32 at least; a last odd row or column is left out."""
    count, rows, columns, channels = images.shape
    even = images[:, : rows // 2 * 2, : columns // 2 * 2]
    # Neighbours side by side in memory are halves of one axis: a CPU adds them several times as fast as it
    # takes a mean over two axes.
    wide = even.astype(jnp.promote_types(images.dtype, jnp.float32)).reshape(
        count, rows // 2, 2, columns // 2, 2 * channels
    )
    tall = wide[:, :, 0] + wide[:, :, 1]
    return (0.25 * (tall[..., :channels] + tall[..., channels:])).astype(images.dtype)
