"""Base losses and their class-weighted mean, the dynamical loss F of Eq. 1.

The paper writes F as a sum over samples.  Its published notebooks take the mean, and so does this module:
only with the mean is a learning rate of 1 reasonable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from dynamical_loss.arrays import AnyArray

LossName = Literal["cross_entropy", "mse"]
LOSSES: tuple[str, ...] = get_args(LossName)

SampleLoss = Callable[[Any, Any], jax.Array]
"""Base loss: logits and one-hot targets, (sample, class_index) each, → loss of each sample, (sample,)."""


def cross_entropy(
    logits: Float[AnyArray, "sample class_index"], targets: Float[AnyArray, "sample class_index"]
) -> Float[Array, " sample"]:
    """Return the cross-entropy of each sample in nats.

    Args:
        logits: network outputs.
        targets: one-hot labels.
    """
    # Subtracting the largest logit avoids overflow and does not change the result, so it needs no gradient.
    shifted = logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    return jnp.log(jnp.sum(jnp.exp(shifted), axis=-1)) - jnp.sum(shifted * targets, axis=-1)


def mse(
    logits: Num[AnyArray, "sample class_index"],
    targets: Float[AnyArray, "sample class_index"],
    output_weight: Float[AnyArray, " class_index"] | float = 1.0,
) -> Num[Array, " sample"]:
    """Return half the squared error of each sample, summed over the classes.

    With the factor 1/2, gradient descent changes the residual g by g ← g − (η/N) Θ g, as in section III.4 of
    the paper, where Θ is the neural tangent kernel.

    Args:
        logits: network outputs; they may be complex.
        targets: one-hot labels.
        output_weight: factor of each output's squared error.
    """
    return 0.5 * jnp.sum(output_weight * (logits - targets) ** 2, axis=-1)


_SAMPLE_LOSSES: dict[str, SampleLoss] = {"cross_entropy": cross_entropy, "mse": mse}


def sample_loss(name: str) -> SampleLoss:
    """Return the base loss with this name, one of `LOSSES`.

    Raises:
        ValueError: if the name is unknown.
    """
    if name not in _SAMPLE_LOSSES:
        raise ValueError(f"loss: unknown loss '{name}'; choose one of {', '.join(LOSSES)}")
    return _SAMPLE_LOSSES[name]


def weighted_each(
    loss: SampleLoss,
    logits: Num[AnyArray, "sample class_index"],
    targets: Float[AnyArray, "sample class_index"],
    class_weight: Float[AnyArray, " class_index"],
    *,
    owners: Float[AnyArray, "sample class_index"] | None = None,
    by_output: bool = False,
) -> Num[Array, " sample"]:
    """Return the weighted loss of each sample, Γ_{y_j} · loss_j (Eq. 1).

    Args:
        loss: a base loss, for example :func:`cross_entropy`.
        logits: network outputs.
        targets: one-hot labels.
        class_weight: class weights Γ.
        owners: one-hot index of the class weight of each sample; None gives each sample the weight of its
            class.
        by_output: whether Γ_c multiplies the squared error of output c in every sample, instead of the loss
            of the samples of class c.  The squared error is then used whatever `loss` is.
    """
    if by_output:
        return mse(logits, targets, class_weight)
    return (jnp.asarray(targets if owners is None else owners) @ class_weight) * loss(logits, targets)


def squared_error_weight(
    targets: Float[AnyArray, "sample class_index"],
    class_weight: Float[AnyArray, " class_index"],
    *,
    by_output: bool = False,
) -> Float[Array, "sample class_index"]:
    """Return the factors w_jc of the dynamical squared error F = 1/(2N) Σ_jc w_jc (f_jc − y_jc)².

    Args:
        targets: one-hot labels.
        class_weight: class weights Γ.
        by_output: see `weighted_each`.
    """
    rows = class_weight[None] if by_output else (targets @ class_weight)[:, None]
    return jnp.broadcast_to(rows, targets.shape)


def weighted_loss(
    loss: SampleLoss,
    logits: Num[AnyArray, "sample class_index"],
    targets: Float[AnyArray, "sample class_index"],
    class_weight: Float[AnyArray, " class_index"],
    present: Bool[AnyArray, " sample"] | None = None,
    *,
    owners: Float[AnyArray, "sample class_index"] | None = None,
    by_output: bool = False,
) -> Num[Array, ""]:
    """Return the dynamical loss F = mean_j Γ_{y_j} · loss_j (Eq. 1 with the mean in place of the sum).

    Args:
        loss: a base loss; see `weighted_each`.
        logits: network outputs.
        targets: one-hot labels.
        class_weight: class weights Γ.
        present: whether each sample counts in the mean; None counts all samples.
        owners: see `weighted_each`.
        by_output: see `weighted_each`.

    Returns:
        F in the units of `loss`.

    Examples:
        >>> logits = jnp.zeros((2, 2))
        >>> targets = jnp.eye(2)
        >>> round(float(weighted_loss(cross_entropy, logits, targets, jnp.array([1.5, 0.5]))), 4)
        0.6931
    """
    each = weighted_each(loss, logits, targets, class_weight, owners=owners, by_output=by_output)
    return jnp.mean(each) if present is None else jnp.mean(each, where=present)


def is_right(
    logits: Float[AnyArray, "sample class_index"], targets: Float[AnyArray, "sample class_index"]
) -> Bool[Array, " sample"]:
    """Return whether the largest logit of each sample belongs to the class of the sample.

    A sample counts as wrong if one of its outputs is not finite.  A diverged network therefore has an
    accuracy of 0; an arg-max over NaN would give it the accuracy of chance.

    Args:
        logits: network outputs.
        targets: one-hot labels.

    Returns:
        A boolean for each sample; their mean is the accuracy.

    Examples:
        >>> is_right(jnp.array([[2.0, 1.0], [0.0, jnp.nan]]), jnp.eye(2)).tolist()
        [True, False]
    """
    right = jnp.argmax(logits, axis=-1) == jnp.argmax(targets, axis=-1)
    return right & jnp.all(jnp.isfinite(logits), axis=-1)
