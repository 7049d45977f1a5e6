"""Curvature as descent by batches meets it (Fig. S2).

λ_max of the loss of all samples says when full-batch descent loses stability.  A step along the gradient of a
batch sees the curvature along that gradient: batch sharpness is E[gᵦᵀHᵦgᵦ] / E[|gᵦ|²], with gradient and
Hessian of the batch, and gradient-noise interaction is E[gᵦᵀHgᵦ] / |g|², with those of all samples (Andreyev
and Beneventano, arXiv 2412.20553, from memory).  With all samples in a batch both are gᵀHg / |g|².
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dynamical_loss.config.probes import BatchSettings
from dynamical_loss.probes.hessian import Loss, hessian_vector_product
from dynamical_loss.probes.lanczos import MatVec, lanczos, residual_norm

_BATCHES, _VECTORS, _START = 1, 2, 3  # purposes of a random key


class BatchCurvature(NamedTuple):
    """What is measured at one point, each of shape ().

    Attributes:
        batch_sharpness: E[gᵦᵀHᵦgᵦ] / E[|gᵦ|²].
        gradient_noise_interaction: E[gᵦᵀHgᵦ] / |g|².
        one_step_change: E[F(w − ηgᵦ)] − F(w), of the loss of all samples, without momentum.
        hessian_trace: of the loss of all samples, by random signs (Hutchinson).
        hessian_trace_error: standard error of that.
        gauss_newton_eigenvalue: the largest.
        gauss_newton_residual: |Gv − λv| of it.
    """

    batch_sharpness: jax.Array
    gradient_noise_interaction: jax.Array
    one_step_change: jax.Array
    hessian_trace: jax.Array
    hessian_trace_error: jax.Array
    gauss_newton_eigenvalue: jax.Array
    gauss_newton_residual: jax.Array


def curvature(
    whole: Loss,
    of_some: Callable[[jax.Array, jax.Array], jax.Array],
    gauss_newton: MatVec,
    parameters: jax.Array,
    learning_rate: jax.Array,
    *,
    settings: BatchSettings,
    samples: int,
    size: int,
    key: jax.Array,
) -> BatchCurvature:
    """Curvature along gradients of batches, which are drawn without replacement.

    Args:
        whole: loss of all samples, (parameter,) -> ().
        of_some: (parameters, indices of samples) to the loss of these.
        gauss_newton: product with the Gauss-Newton matrix, see `gauss_newton_product`.
        parameters: where to look, (parameter,).
        learning_rate: η, ().
        settings: how many batches, random vectors and Lanczos steps.
        samples: how many there are.
        size: of a batch.
        key: random key.
    """
    product = hessian_vector_product(whole, parameters)
    gradient = jax.grad(whole)(parameters)

    def of_batch(key: jax.Array) -> tuple[jax.Array, ...]:
        chosen = jax.random.choice(key, samples, (size,), replace=False)

        def loss(flat: jax.Array) -> jax.Array:
            return of_some(flat, chosen)

        own, curved = jax.jvp(jax.grad(loss), (parameters,), (jax.grad(loss)(parameters),))
        moved = whole(parameters - learning_rate.astype(parameters.dtype) * own)
        return jnp.vdot(own, curved), jnp.vdot(own, own), jnp.vdot(own, product(own)), moved

    def of_vector(key: jax.Array) -> jax.Array:
        signs = jax.random.rademacher(key, parameters.shape, parameters.dtype)
        return jnp.vdot(signs, product(signs))

    drawn = jax.random.split(jax.random.fold_in(key, _BATCHES), settings.count)
    with jax.default_matmul_precision("highest"):
        along, squared, through, moved = (jnp.mean(each) for each in jax.lax.map(of_batch, drawn))
        traces = jax.lax.map(of_vector, jax.random.split(jax.random.fold_in(key, _VECTORS), settings.vectors))
        before = whole(parameters)
    ritz = lanczos(
        gauss_newton,
        dimension=parameters.size,
        order=settings.order,
        key=jax.random.fold_in(key, _START),
        dtype=parameters.dtype,
    )
    largest = ritz.value[:1]
    return BatchCurvature(
        batch_sharpness=along / squared,
        gradient_noise_interaction=through / jnp.vdot(gradient, gradient),
        one_step_change=moved - before,
        hessian_trace=jnp.mean(traces),
        hessian_trace_error=jnp.std(traces, ddof=1) / jnp.sqrt(settings.vectors),
        gauss_newton_eigenvalue=largest[0],
        gauss_newton_residual=residual_norm(gauss_newton, largest, ritz.vector((0,)))[0],
    )


def gauss_newton_product(
    logits_of: Callable[[jax.Array, jax.Array], jax.Array],
    loss_of_logits: Callable[[jax.Array, jax.Array], jax.Array],
    parameters: jax.Array,
    samples: tuple[jax.Array, jax.Array],
    most: int,
) -> MatVec:
    """V -> G v, with G = JᵀBJ: J the derivative of the logits, B the Hessian of the loss in them.

    Args:
        logits_of: (parameters, inputs) to logits (sample, class_index).
        loss_of_logits: (logits, targets) to the mean loss, ().
        parameters: (parameter,).
        samples: inputs and targets, each (sample, …).
        most: samples at a time; activations of all of them may not fit into memory.

    Returns:
        (parameter,) -> (parameter,)
    """
    count = len(samples[0])

    def of_part(part: tuple[jax.Array, jax.Array], vector: jax.Array) -> jax.Array:
        inputs, targets = part

        def network(flat: jax.Array) -> jax.Array:
            return logits_of(flat, inputs)

        logits, tangent = jax.jvp(network, (parameters,), (vector,))
        _, curved = jax.jvp(jax.grad(lambda outputs: loss_of_logits(outputs, targets)), (logits,), (tangent,))
        _, pull_back = jax.vjp(network, parameters)
        found: jax.Array = pull_back(curved)[0]
        return found * (len(inputs) / count)

    def matvec(vector: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            whole = count // most * most
            parts = jax.tree.map(lambda array: array[:whole].reshape(-1, most, *array.shape[1:]), samples)
            total = jnp.sum(jax.lax.map(lambda part: of_part(part, vector), parts), axis=0)
            if whole < count:
                total = total + of_part(jax.tree.map(lambda array: array[whole:], samples), vector)
            return total

    return matvec
