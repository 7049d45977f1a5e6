"""Building blocks of convolutional networks.  Images are laid out (sample, row, column, channel).

Products may have a lower precision than the parameters, which makes them much faster on an accelerator.

On a CPU, the convolution and the gradient with respect to its kernel are JAX primitives that this module
defines.  The derivatives of these primitives are again these primitives.  XLA's own derivatives swap
dimensions, and XLA has a fast loop for swapped dimensions only in the outermost computation: within a loop
over steps or Lanczos vectors they take thirty to a hundred times as long.  If there is a C compiler, C code
computes the primitives (`native`).
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
from jaxtyping import Array, Float

from dynamical_loss.arrays import AnyArray
from dynamical_loss.models import native
from dynamical_loss.models.kind import Arithmetic

_PRECISION = {"full": Precision.HIGHEST, "tf32": Precision.HIGH, "bfloat16": Precision.DEFAULT}


def _plain(images: jax.Array, kernel: jax.Array, *, padding: int) -> jax.Array:
    """Compute the convolution with XLA; see `convolve`."""
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (1, 1),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=Precision.HIGHEST,
    )


def _plain_gradient(images: jax.Array, cotangent: jax.Array, *, padding: int) -> jax.Array:
    """Compute the gradient of the kernel with XLA; see `kernel_gradient`."""
    # The gradient is a convolution in which samples and channels swap their places.
    found = _plain(images.transpose(3, 1, 2, 0), cotangent.transpose(1, 2, 0, 3), padding=padding)
    return found.transpose(1, 2, 0, 3)


def convolve(
    images: Float[AnyArray, "sample row column channel_in"],
    kernel: Float[AnyArray, "side_row side_column channel_in channel_out"],
    padding: int,
) -> Float[Array, "sample result_row result_column channel_out"]:
    """Convolve images with a kernel, as neural networks do: without flipping the kernel.

    The result has the precision of the arguments.  The function can be differentiated any number of times, in
    forward and in reverse mode, and it is fast within loops on a CPU.

    Args:
        images: (sample, row, column, channel_in).
        kernel: square kernel, (side, side, channel_in, channel_out).
        padding: number of rows and columns of zeros at each edge of an image.

    Returns:
        Images (sample, row, column, channel_out) that have 2·padding + 1 − side more rows and columns.
    """
    found: jax.Array = _convolution.bind(images, kernel, padding=padding)
    return found


def kernel_gradient(
    images: Float[AnyArray, "sample row column channel_in"],
    cotangent: Float[AnyArray, "sample result_row result_column channel_out"],
    padding: int,
) -> Float[Array, "side_row side_column channel_in channel_out"]:
    """Compute the gradient with respect to the kernel of a convolution.  It is bilinear in its arguments.

    Args:
        images: images that were convolved, (sample, row, column, channel_in).
        cotangent: cotangent of the result of the convolution, (sample, row, column, channel_out).
        padding: padding of the convolution.

    Returns:
        Gradient of the kernel, (side, side, channel_in, channel_out).
    """
    found: jax.Array = _kernel_gradient.bind(images, cotangent, padding=padding)
    return found


def _image_gradient(cotangent: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    flipped = jnp.flip(kernel, (0, 1)).transpose(0, 1, 3, 2)
    return convolve(cotangent, flipped, kernel.shape[0] - 1 - padding)


def _primitive(name: str, plain: Callable[..., jax.Array]) -> Any:
    """Define a primitive of two arrays and a padding.  C code computes it if possible, otherwise `plain`."""
    primitive: Any = Primitive(name)

    def abstract(left: Any, right: Any, *, padding: int) -> Any:
        found = jax.eval_shape(functools.partial(plain, padding=padding), left, right)
        return jax.core.ShapedArray(found.shape, left.dtype)

    def batched(arguments: Any, dimensions: Any, *, padding: int) -> tuple[jax.Array, int]:
        # One convolution after another: a batched convolution would become one slow grouped convolution.
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
        # The derivative of a convolution whose padding exceeds its kernel has a negative padding: it cuts off
        # the edges of the images, which the C code cannot do.
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
    """Name the library that computes convolutions on this CPU.

    Args:
        arithmetic: precision of the products.
        precision: precision of the parameters.
    """
    return f"convolutions by {native.computed_by(jnp.bfloat16 if arithmetic == 'bfloat16' else precision)}"


class Convolution(nn.Module):
    """Zero-padded convolution without bias.  The kernel starts as N(0, 2/fan_in), which is W_std = √2.

    Attributes:
        channels: number of output channels.
        size: side of the square kernel in pixels, an odd number.
        stride: distance between outputs, in pixels.
        arithmetic: precision of the products.
    """

    channels: int
    size: int = 3
    stride: int = 1
    arithmetic: Arithmetic = "full"

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "sample row column channel_in"]
    ) -> Float[Array, "sample result_row result_column channel_out"]:
        """Map (sample, row, column, channel_in) to (sample, row / stride, column / stride, channel_out)."""
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


def average_pool(
    images: Float[Array, "sample row column channel"],
) -> Float[Array, "sample row//2 column//2 channel"]:
    """Return the means over blocks of 2×2 pixels, summed in at least float32.

    If the number of rows or columns is odd, the last row or column is dropped.
    """
    count, rows, columns, channels = images.shape
    even = images[:, : rows // 2 * 2, : columns // 2 * 2]
    # Horizontal neighbours lie next to each other in memory, as the two halves of one axis.  A CPU adds these
    # halves several times as fast as it takes a mean over two axes.
    wide = even.astype(jnp.promote_types(images.dtype, jnp.float32)).reshape(
        count, rows // 2, 2, columns // 2, 2 * channels
    )
    tall = wide[:, :, 0] + wide[:, :, 1]
    return (0.25 * (tall[..., :channels] + tall[..., channels:])).astype(images.dtype)
