"""Compare convolutions in C with sums over shifted images, and their derivatives with those of XLA."""

import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamical_loss.models import native
from dynamical_loss.models.convolution import convolve

compiled = pytest.mark.skipif(not native.serves(np.float32), reason="needs a C compiler")
in_pairs = pytest.mark.skipif(
    not native.serves(jnp.bfloat16), reason="needs a C compiler and a processor that multiplies pairs"
)

# (inputs, outputs, rows, columns, side of the kernel, padding).  The shapes cover each vector width with a
# remainder, more and fewer rows than a tile has, a sum with an odd number of terms, a kernel with an even
# side, no padding, and more padding than the kernel needs.
SHAPES = [
    (3, 16, 32, 32, 3, 1),
    (16, 36, 13, 9, 3, 1),
    (20, 20, 8, 16, 3, 1),
    (5, 55, 7, 25, 3, 0),
    (1, 1, 5, 4, 5, 2),
    (13, 37, 6, 5, 1, 0),
    (4, 6, 6, 7, 2, 1),
    (2, 3, 4, 4, 3, 3),
]


def operands(inputs, outputs, rows, columns, side, padding, dtype=np.float32):
    """Return random images, a kernel and a cotangent of the given number type."""
    generator = np.random.default_rng(inputs + outputs)
    after = [length + 2 * padding + 1 - side for length in (rows, columns)]
    shapes = (3, rows, columns, inputs), (side, side, inputs, outputs), (3, *after, outputs)
    return [jnp.asarray(generator.normal(size=shape), dtype) for shape in shapes]


def by_shifts(images, kernel, cotangent, padding):
    """Compute the convolution and both gradients in float64, as sums over shifted images times matrices."""
    images, kernel, cotangent = (np.asarray(array, np.float64) for array in (images, kernel, cotangent))
    edges = (0, 0), (padding, padding), (padding, padding), (0, 0)
    padded, side = np.pad(images, edges), len(kernel)
    rows, columns = cotangent.shape[1:3]
    result, back, gradient = 0.0, np.zeros_like(padded), np.zeros_like(kernel)
    for i, j in np.ndindex(side, side):
        here = np.s_[:, i : i + rows, j : j + columns]
        result = result + padded[here] @ kernel[i, j]
        back[here] += cotangent @ kernel[i, j].T
        gradient[i, j] = np.tensordot(padded[here], cotangent, ((0, 1, 2), (0, 1, 2)))
    inner = slice(padding, -padding or None)
    return result, back[:, inner, inner], gradient


def found_in_c(images, kernel, cotangent, padding):
    """Compute the convolution and both gradients in a compiled program, and check that it calls C code."""

    def all_three(images, kernel, cotangent):
        result, pull_back = jax.vjp(lambda *pair: convolve(*pair, padding), images, kernel)
        return result, *pull_back(cotangent)

    program = jax.jit(all_three).lower(images, kernel, cotangent)
    assert native.KERNEL_GRADIENT in program.as_text()
    return program.compile()(images, kernel, cotangent)


@compiled
@pytest.mark.parametrize("shape", SHAPES)
def test_single_precision(shape):
    arrays = operands(*shape)
    for found, expected in zip(found_in_c(*arrays, shape[-1]), by_shifts(*arrays, shape[-1]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


@in_pairs
@pytest.mark.parametrize("shape", SHAPES)
def test_pairs_are_exact_products_that_are_rounded_once(shape):
    """The error is half a unit in the last place of bfloat16, plus the error of the sums in float32."""
    arrays = operands(*shape, dtype=jnp.bfloat16)
    for found, expected in zip(found_in_c(*arrays, shape[-1]), by_shifts(*arrays, shape[-1]), strict=True):
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(
            np.asarray(found, np.float64), expected, rtol=2**-8, atol=3e-6 * np.abs(expected).max()
        )


@compiled
@pytest.mark.parametrize("number", [np.inf, np.nan])
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(jnp.bfloat16, marks=in_pairs)])
def test_what_is_not_finite_stays_so(number, dtype):
    images, kernel, _ = operands(3, 20, 6, 6, 3, 1, dtype)
    found = jax.jit(lambda images: convolve(images, kernel, 1))(images.at[1, 2, 2].set(number))
    broken = ~np.isfinite(np.asarray(found, np.float64))
    assert broken[1, 1:4, 1:4].all()
    assert broken.sum() == 9 * 20


@compiled
def test_derivatives_of_second_order_are_xla_s():
    """Forward- and reverse-mode derivatives of a two-layer network inside a loop equal those of XLA."""
    images, kernel, direction = (
        operands(4, 4, 7, 7, 3, 1)[0],
        *(operands(4, 4, 7, 7, 3, 1)[1] * factor for factor in (1.0, 0.3)),
    )

    def loss(kernel):
        return jnp.mean(jnp.tanh(convolve(jnp.tanh(convolve(images, kernel, 1)), kernel, 1)) ** 3)

    def products():
        gradient = jax.grad(loss)
        forward_over_reverse = jax.jit(
            lambda k: jax.lax.fori_loop(0, 2, lambda _, v: jax.jvp(gradient, (k,), (v,))[1], direction)
        )
        reverse_over_reverse = jax.jit(jax.grad(lambda k: jnp.vdot(gradient(k), direction)))
        return forward_over_reverse(kernel), reverse_over_reverse(kernel)

    found = products()
    with native.xla_alone():
        expected = products()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-5 * float(jnp.abs(other).max()))


@compiled
def test_double_precision_and_xla_alone_take_xla():
    arrays = operands(3, 4, 5, 5, 3, 1)[:2]

    def text():
        return jax.jit(lambda *pair: convolve(*pair, 1)).lower(*arrays).as_text()

    assert native.CONVOLUTION in text()
    with native.xla_alone():
        assert "stablehlo.convolution" in text()
        assert native.computed_by(np.float32) == "XLA"
    with jax.enable_x64(True):
        arrays = [jnp.asarray(array, jnp.float64) for array in arrays]
        assert "stablehlo.convolution" in text()
    assert native.computed_by(np.float64) == "XLA"


@compiled
@pytest.mark.parametrize("shape", [(3, 1), (1, 3)])
def test_kernels_that_are_not_square_are_xla_s(shape):
    images = operands(2, 4, 6, 6, 3, 0)[0]
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(*shape, 2, 4)), np.float32)
    rows, columns = 7 - shape[0], 7 - shape[1]
    expected = sum(images[:, i : i + rows, j : j + columns] @ kernel[i, j] for i, j in np.ndindex(shape))
    found = jax.jit(lambda *pair: convolve(*pair, 0))(images, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# The compiler -------------------------------------------------------------------------------------

SCRIPT = """
import numpy as np
from dynamical_loss.models import native
from dynamical_loss.models.convolution import convolve
one = np.ones((1, 4, 4, 1), np.float32)
print(float(convolve(one, np.ones((3, 3, 1, 1), np.float32), 1)[0, 1, 1, 0]), native.computed_by(np.float32))
"""


def in_a_process(compiler, cache):
    surroundings = os.environ | {"CC": compiler, "XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=surroundings, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("compiler", ["/nowhere/cc", "false", "cat"])
def test_without_a_compiler_xla_serves(compiler, tmp_path):
    assert in_a_process(compiler, tmp_path) == ["9.0", "XLA"]


@compiled
def test_what_was_compiled_is_kept(tmp_path):
    real = shutil.which(native.compiler()[0])
    wrapper, log = tmp_path / "cc", tmp_path / "log"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    first, second = (in_a_process(str(wrapper), tmp_path / "cache") for _ in range(2))
    assert first[:2] == ["9.0", "C,"]
    assert second == first
    asked, compiling, asked_again = log.read_text(encoding="utf-8").splitlines()
    assert (asked, asked_again) == ("--version", "--version")
    assert "native.c" in compiling
