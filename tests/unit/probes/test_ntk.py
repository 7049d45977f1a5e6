"""Neural tangent kernels, compared with the dense Jacobian, and the loading of neural-tangents."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamical_loss
from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.loading import Data
from dynamical_loss.errors import UserError
from dynamical_loss.probes import _neural_tangents as neural_tangents
from dynamical_loss.probes.ntk import gram, kernel_change, notebook_ntk_eigenvalues, ntk_top_eigenpairs
from dynamical_loss.probes.spectra import Snapshots, spectra

WIDTH, CLASSES, SAMPLES = 100, 3, 300
KEY = jax.random.key(11)

Parameters = dict[str, jax.Array]


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def apply(parameters: Parameters, inputs: jax.Array) -> jax.Array:
    """A 2-100-3 ReLU network."""
    hidden = jax.nn.relu(inputs @ parameters["w1"] + parameters["b1"])
    return hidden @ parameters["w2"] + parameters["b2"]


def network(seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)
    shapes = {"w1": (2, WIDTH), "b1": (WIDTH,), "w2": (WIDTH, CLASSES), "b2": (CLASSES,)}
    return {name: jnp.asarray(0.4 * rng.standard_normal(shape)) for name, shape in shapes.items()}


def points(samples: int = SAMPLES) -> jax.Array:
    return jnp.asarray(np.random.default_rng(5).standard_normal((samples, 2)))


def dense_jacobian(parameters: Parameters, inputs: jax.Array) -> np.ndarray:
    """The Jacobian of the outputs, (sample, class_index, parameter)."""
    blocks = jax.jacobian(apply)(parameters, inputs)
    shape = (len(inputs), CLASSES, -1)
    return np.concatenate([np.asarray(block).reshape(shape) for block in blocks.values()], axis=2)


def test_top_eigenvalues_are_those_of_the_dense_kernel() -> None:
    parameters, inputs = network(), points()
    jacobian = dense_jacobian(parameters, inputs).reshape(SAMPLES * CLASSES, -1)
    kernel = jacobian @ jacobian.T
    assert kernel.shape == (900, 900)
    expected = np.linalg.eigvalsh(kernel)[::-1]
    found = jax.jit(lambda p, x: ntk_top_eigenpairs(apply, p, x, modes=5, order=40, key=KEY)[0])(
        parameters, inputs
    )
    assert found.eigenvalue.shape == found.residual.shape == (5,)
    np.testing.assert_allclose(found.eigenvalue, expected[:5], rtol=1e-10)
    assert np.all(np.asarray(found.residual) < 1e-8 * expected[0])
    gauss_newton = np.linalg.eigvalsh(jacobian.T @ jacobian)[::-1]
    np.testing.assert_allclose(found.eigenvalue, gauss_newton[:5], rtol=1e-10)


@pytest.mark.parametrize("order", [3, *(pytest.param(order, marks=pytest.mark.long) for order in (6, 12))])
def test_residuals_are_honest_before_convergence(order: int) -> None:
    parameters, inputs = network(1), points(40)
    jacobian = dense_jacobian(parameters, inputs).reshape(40 * CLASSES, -1)
    expected = np.linalg.svd(jacobian, compute_uv=False) ** 2
    found = ntk_top_eigenpairs(apply, parameters, inputs, modes=3, order=order, key=KEY)[0]
    distance = np.abs(np.asarray(found.eigenvalue)[:, None] - expected).min(axis=1)
    assert np.all(distance <= np.asarray(found.residual) + 1e-12 * expected[0])


def test_notebook_variant_averages_over_the_logits() -> None:
    parameters, inputs = network(), points(80)
    jacobian = dense_jacobian(parameters, inputs)[:50]
    average = np.einsum("icp,jcp->ij", jacobian, jacobian) / CLASSES
    expected = np.linalg.eigvalsh(average)[::-1]
    found = jax.jit(lambda p, x: notebook_ntk_eigenvalues(apply, p, x, modes=4))(parameters, inputs)
    np.testing.assert_allclose(found, expected[:4], rtol=1e-12)


@pytest.mark.long
def test_notebook_variant_with_fewer_samples_than_asked_for() -> None:
    parameters, inputs = network(), points(7)
    assert notebook_ntk_eigenvalues(apply, parameters, inputs, modes=7).shape == (7,)
    with pytest.raises(ValueError, match="between 1 and 7"):
        notebook_ntk_eigenvalues(apply, parameters, inputs, modes=8)


def test_modes_beyond_the_order_are_refused() -> None:
    with pytest.raises(ValueError, match="modes must lie between 1 and 4"):
        ntk_top_eigenpairs(apply, network(), points(5), modes=5, order=4, key=KEY)


@pytest.mark.long
def test_one_sample_has_as_many_modes_as_classes() -> None:
    parameters, inputs = network(), points(1)
    jacobian = dense_jacobian(parameters, inputs)[0]
    found = ntk_top_eigenpairs(apply, parameters, inputs, modes=3, order=50, key=KEY)[0]
    expected = np.linalg.eigvalsh(jacobian @ jacobian.T)[::-1]
    np.testing.assert_allclose(found.eigenvalue, expected, rtol=1e-10)


def test_catapult_model_has_the_curvature_of_its_closed_form() -> None:
    """For f = vᵀu / √n at x = 1, the kernel is the single number (|u|² + |v|²)/n."""
    u, v = (jax.random.normal(key, (16,)) for key in jax.random.split(KEY))

    def two_layers(parameters: tuple[jax.Array, jax.Array], inputs: jax.Array) -> jax.Array:
        return inputs * (parameters[0] @ parameters[1] / 4.0)

    found = ntk_top_eigenpairs(two_layers, (u, v), jnp.ones((1, 1)), modes=1, order=3, key=KEY)[0]
    np.testing.assert_allclose(found.eigenvalue[0], (u @ u + v @ v) / 16, rtol=1e-14)
    assert found.residual[0] < 1e-13


def test_parameters_that_are_not_finite_give_nan() -> None:
    parameters = {name: jnp.full_like(value, jnp.nan) for name, value in network().items()}
    found = ntk_top_eigenpairs(apply, parameters, points(4), modes=2, order=4, key=KEY)[0]
    assert np.all(np.isnan(found.eigenvalue)) and np.all(np.isnan(found.residual))


def convolution(parameters: Parameters, inputs: jax.Array) -> jax.Array:
    """A small convolutional network with pooling, (sample, 6, 6, 2) → (sample, class_index)."""
    hidden = jax.lax.conv_general_dilated(
        inputs, parameters["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.mean(jax.nn.relu(hidden), axis=(1, 2)) @ parameters["dense"]


@pytest.mark.parametrize("kind", ["mlp", "convolution"])
def test_library_kernels_are_those_of_the_dense_jacobian(kind: str) -> None:
    if kind == "mlp":
        function, parameters, inputs = apply, network(2), points(6)
    else:
        rng = np.random.default_rng(3)
        function = convolution
        parameters = {
            "kernel": jnp.asarray(rng.standard_normal((3, 3, 2, 4))),
            "dense": jnp.asarray(rng.standard_normal((4, CLASSES))),
        }
        inputs = jnp.asarray(rng.standard_normal((6, 6, 6, 2)))
    blocks = jax.jacobian(function)(parameters, inputs)
    jacobian = np.concatenate(
        [np.asarray(block).reshape(6, CLASSES, -1) for block in blocks.values()], axis=2
    )
    full = np.einsum("icp,jdp->ijcd", jacobian, jacobian)
    traced = np.einsum("ijcc->ij", full) / CLASSES
    for axes, expected in (((), full), ((-1,), traced)):
        kernel_fn = neural_tangents.empirical_ntk_fn(function, trace_axes=axes)
        kernel = jax.jit(kernel_fn)(inputs, None, parameters)
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-12 * np.abs(full).max())
    vector = np.random.default_rng(9).standard_normal((6, CLASSES))
    product = neural_tangents.empirical_ntk_vp_fn(function, inputs, None, parameters)
    np.testing.assert_allclose(
        product(jnp.asarray(vector)),
        np.einsum("ijcd,jd->ic", full, vector),
        rtol=0,
        atol=1e-11 * np.abs(full).max(),
    )


FRESH_IMPORT = """
import sys
# These are the public modules of JAX that the probes import.  They are imported before the comparison.
import jax, jax.core, jax.extend.core, jax.interpreters.ad, jax.extend.linear_util
import dynamical_loss.probes.lanczos

def found():
    owners = (jax, jax.core, jax.extend, jax.extend.core, jax.interpreters.ad)
    return [dict(vars(owner)) for owner in owners], sys.modules.get("jax.util")

if {occupied!r}:
    import types
    sys.modules["neural_tangents"] = occupant = types.ModuleType("neural_tangents")
    occupant.__spec__ = None
    from importlib.machinery import PathFinder
    occupant.__spec__ = PathFinder.find_spec("neural_tangents")

before = found()
from dynamical_loss.probes import _neural_tangents, ntk
_neural_tangents.library()
assert found() == before, "JAX was changed"
left = [name for name in sys.modules if name.partition(".")[0] == "neural_tangents"]
assert left == (["neural_tangents"] if {occupied!r} else []), left
if {occupied!r}:
    assert sys.modules["neural_tangents"] is occupant
heavy = [name for name in ("tensorflow", "tf2jax") if name in sys.modules]
assert not heavy, heavy
"""


def run_alone(program: str) -> str:
    """Run a program in a new process and return what it prints."""
    source = str(Path(dynamical_loss.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": source, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("occupied", [False, True])
def test_shim_leaves_jax_and_the_modules_as_found(occupied: bool) -> None:
    """The test needs a new process, because this one may have loaded the library.  Warnings are errors."""
    run_alone(FRESH_IMPORT.format(occupied=occupied))


WITHOUT_PACKAGE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "neural_tangents":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
import jax
import jax.numpy as jnp
from dynamical_loss.errors import UserError
from dynamical_loss.probes import hessian, ntk, residual, spectra

key = jax.random.key(0)
found = hessian.extreme_eigenvalues(lambda flat: flat @ flat, jnp.ones(3), modes=1, order=3, key=key)
assert abs(found.eigenvalue[0] - 2) < 1e-5
try:
    ntk.ntk_top_eigenpairs(lambda flat, x: x * flat, jnp.ones(1), jnp.ones((2, 1)), modes=1, order=2, key=key)
except UserError as error:
    print(error)
"""


def test_without_the_package_only_kernels_are_missing_and_the_message_names_the_remedy() -> None:
    (line,) = run_alone(WITHOUT_PACKAGE).splitlines()
    assert line == (
        "neural-tangents is not installed, and the neural tangent kernel needs it; "
        "run: pip install --no-deps neural-tangents==0.6.5 frozendict"
    )


def test_spectra_report_a_missing_package_before_the_work_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    neural_tangents.library.cache_clear()
    settings = ProbeSettings(residual={"modes": 1})
    with pytest.raises(UserError, match="neural-tangents is not installed"):
        spectra(settings, *(Mock(spec=each) for each in (TrainingSettings, Data, Snapshots)), progress=print)
    neural_tangents.library.cache_clear()


def test_lent_names_are_taken_back_when_the_import_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        assert name == "neural_tangents._src.empirical" and "jax.util" in sys.modules
        raise ImportError(name)

    core = dict(vars(jax.core))
    util = sys.modules.get("jax.util")
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ImportError):
        neural_tangents.load_module("_src.empirical")
    assert dict(vars(jax.core)) == core
    assert sys.modules.get("jax.util") is util and "neural_tangents" not in sys.modules


@pytest.mark.parametrize("block_bytes", [1, 3 * 503 * 8 * 7, 2**28])
def test_the_dense_kernel_is_that_of_the_library_in_blocks_of_any_size(block_bytes: int) -> None:
    parameters, first, second = network(4), points(16), points(30)[16:]
    library = neural_tangents.empirical_ntk_fn(apply, trace_axes=())
    for other in (first, second):
        found = gram(apply, parameters, first, other, block_bytes=block_bytes)
        kernel = np.asarray(library(first, other, parameters))
        expected = kernel.transpose(0, 2, 1, 3).reshape(found.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    whole = gram(apply, parameters, first, first, block_bytes=block_bytes)
    np.testing.assert_array_equal(whole, whole.T)


def test_the_kernel_of_a_scaled_network_changes_by_the_square() -> None:
    """Without biases f has degree 2 in the parameters, so the kernel Θ = J Jᵀ has degree 2 as well."""
    parameters = {**network(), "b1": jnp.zeros(WIDTH), "b2": jnp.zeros(CLASSES)}
    twice = {name: 2 * value for name, value in parameters.items()}

    def without_biases(parameters: Parameters, inputs: jax.Array) -> jax.Array:
        return jax.nn.relu(inputs @ parameters["w1"]) @ parameters["w2"]

    assert kernel_change(without_biases, parameters, parameters, points(9)) == 0
    assert kernel_change(without_biases, parameters, twice, points(9)) == pytest.approx(3, rel=1e-12)
