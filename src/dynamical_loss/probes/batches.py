"""Curvature along the gradients of batches (Fig. S2).

λ_max of the loss of all samples determines when full-batch gradient descent loses stability.  A step along
the gradient of a batch instead depends on the curvature along that gradient.  Two quantities measure this
curvature (Andreyev and Beneventano, arXiv 2412.20553, from memory).  Batch sharpness is E[gᵦᵀHᵦgᵦ] /
E[|gᵦ|²], where gᵦ and Hᵦ are gradient and Hessian of the batch's loss.  Gradient-noise interaction is
E[gᵦᵀHgᵦ] / |g|², where g and H are gradient and Hessian of the loss of all samples.  If a batch holds all
samples, both equal gᵀHg / |g|².
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray

from dynamical_loss.config.probes import BatchSettings
from dynamical_loss.probes.hessian import Loss, hessian_vector_product
from dynamical_loss.probes.lanczos import MatVec, lanczos, residual_norm

_BATCHES, _VECTORS, _START = 1, 2, 3  # purposes of a random key


class BatchCurvature(NamedTuple):
    """Curvature at one point; every attribute has the shape ().

    Attributes:
        batch_sharpness: E[gᵦᵀHᵦgᵦ] / E[|gᵦ|²].
        gradient_noise_interaction: E[gᵦᵀHgᵦ] / |g|².
        one_step_change: E[F(w − ηgᵦ)] − F(w), expected change of the loss F of all samples by one step
            without momentum.
        hessian_trace: trace of the Hessian of the loss of all samples, estimated with random signs
            (Hutchinson).
        hessian_trace_error: standard error of `hessian_trace`.
        gauss_newton_eigenvalue: largest eigenvalue λ of the Gauss-Newton matrix G of the loss of all samples.
        gauss_newton_residual: |Gv − λv| of this eigenvalue.
    """

    batch_sharpness: Float[Array, ""]
    gradient_noise_interaction: Float[Array, ""]
    one_step_change: Float[Array, ""]
    hessian_trace: Float[Array, ""]
    hessian_trace_error: Float[Array, ""]
    gauss_newton_eigenvalue: Float[Array, ""]
    gauss_newton_residual: Float[Array, ""]


def curvature(
    whole: Loss,
    of_some: Callable[[Float[Array, " parameter"], Int[Array, " batch"]], Float[Array, ""]],
    gauss_newton: MatVec,
    parameters: Float[Array, " parameter"],
    learning_rate: Float[Array, ""],
    *,
    settings: BatchSettings,
    samples: int,
    size: int,
    key: PRNGKeyArray,
) -> BatchCurvature:
    """Measure the curvature along gradients of batches, which are drawn without replacement.

    Args:
        whole: loss of all samples, (parameter,) -> ().
        of_some: (parameters, indices of samples) -> loss of these samples, ().
        gauss_newton: product with the Gauss-Newton matrix, see `gauss_newton_product`.
        parameters: place at which everything is measured, (parameter,).
        learning_rate: η, ().
        settings: number of batches, of random vectors and of Lanczos steps.
        samples: number of samples in the training set.
        size: number of samples in a batch.
        key: random key.

    Returns:
        `BatchCurvature`.
    """
    product = hessian_vector_product(whole, parameters)
    gradient = jax.grad(whole)(parameters)

    def of_batch(key: PRNGKeyArray) -> tuple[Float[Array, ""], ...]:
        chosen = jax.random.choice(key, samples, (size,), replace=False)

        def loss(flat: Float[Array, " parameter"]) -> Float[Array, ""]:
            return of_some(flat, chosen)

        own, curved = jax.jvp(jax.grad(loss), (parameters,), (jax.grad(loss)(parameters),))
        moved = whole(parameters - learning_rate.astype(parameters.dtype) * own)
        return jnp.vdot(own, curved), jnp.vdot(own, own), jnp.vdot(own, product(own)), moved

    def of_vector(key: PRNGKeyArray) -> Float[Array, ""]:
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
    logits_of: Callable[
        [Float[Array, " parameter"], Num[Array, "sample ..."]], Float[Array, "sample class_index"]
    ],
    loss_of_logits: Callable[
        [Float[Array, "sample class_index"], Float[Array, "sample class_index"]], Float[Array, ""]
    ],
    parameters: Float[Array, " parameter"],
    samples: tuple[Num[Array, "sample ..."], Float[Array, "sample class_index"]],
    most: int,
) -> MatVec:
    """Return the product v -> G v with the Gauss-Newton matrix G = JᵀBJ.

    J is the derivative of the logits with respect to the parameters.  B is the Hessian of the loss with
    respect to the logits.

    Args:
        logits_of: (parameters, inputs) -> logits, (sample, class_index).
        loss_of_logits: (logits, targets) -> mean loss, ().
        parameters: place at which G is taken, (parameter,).
        samples: inputs and targets, each (sample, …).
        most: largest number of samples that are processed at once, because the activations of all samples may
            not fit into memory.

    Returns:
        the product, (parameter,) -> (parameter,).
    """
    count = len(samples[0])

    def of_part(
        part: tuple[Num[Array, "part ..."], Float[Array, "part class_index"]],
        vector: Float[Array, " parameter"],
    ) -> Float[Array, " parameter"]:
        inputs, targets = part

        def network(flat: Float[Array, " parameter"]) -> Float[Array, "part class_index"]:
            return logits_of(flat, inputs)

        logits, tangent = jax.jvp(network, (parameters,), (vector,))
        _, curved = jax.jvp(jax.grad(lambda outputs: loss_of_logits(outputs, targets)), (logits,), (tangent,))
        _, pull_back = jax.vjp(network, parameters)
        found: jax.Array = pull_back(curved)[0]
        return found * (len(inputs) / count)

    def matvec(vector: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
        with jax.default_matmul_precision("highest"):
            whole = count // most * most
            parts = jax.tree.map(lambda array: array[:whole].reshape(-1, most, *array.shape[1:]), samples)
            total = jnp.sum(jax.lax.map(lambda part: of_part(part, vector), parts), axis=0)
            if whole < count:
                total = total + of_part(jax.tree.map(lambda array: array[whole:], samples), vector)
            return total

    return matvec
