"""Base losses and their class-weighted mean, the dynamical loss F of Eq. 1.

The paper writes F as a sum over samples; its published notebooks take the mean, which is what makes a
learning rate of 1 meaningful.  The mean is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

LossName = Literal["cross_entropy", "mse"]
LOSSES: tuple[str, ...] = get_args(LossName)

SampleLoss = Callable[[jax.Array, jax.Array], jax.Array]


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Cross-entropy of each sample in nats.

    Args:
        logits: network outputs, (sample, class_index).
        targets: one-hot labels, (sample, class_index).

    Returns:
        (sample,)
    """
    # The largest logit is a constant shift of the sum of exponentials: no gradient flows through it.
    shifted = logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    return jnp.log(jnp.sum(jnp.exp(shifted), axis=-1)) - jnp.sum(shifted * targets, axis=-1)


def mse(logits: jax.Array, targets: jax.Array, output_weight: jax.Array | float = 1.0) -> jax.Array:
    """Half the squared error of each sample, summed over classes.

    With this factor gradient descent evolves the residual as g ← g − (η/N) Θ g, the form of the
    paper's section III.4, Θ being the neural tangent kernel.

    Args:
        logits: network outputs, (sample, class_index).
        targets: one-hot labels, (sample, class_index).
        output_weight: factor of each output's squared error, (class_index,).

    Returns:
        (sample,)
    """
    return 0.5 * jnp.sum(output_weight * (logits - targets) ** 2, axis=-1)


_SAMPLE_LOSSES: dict[str, SampleLoss] = {"cross_entropy": cross_entropy, "mse": mse}


def sample_loss(name: LossName) -> SampleLoss:
    """The base loss of that name.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in _SAMPLE_LOSSES:
        raise ValueError(f"unknown loss '{name}'; choose one of {', '.join(LOSSES)}")
    return _SAMPLE_LOSSES[name]


def weighted_each(
    loss: SampleLoss,
    logits: jax.Array,
    targets: jax.Array,
    class_weight: jax.Array,
    *,
    owners: jax.Array | None = None,
    by_output: bool = False,
) -> jax.Array:
    """What each sample adds to the dynamical loss: Γ_{y_j} · loss_j (Eq. 1).

    Args:
        loss: a base loss, e.g. :func:`cross_entropy`.
        logits: network outputs, (sample, class_index).
        targets: one-hot labels, (sample, class_index).
        class_weight: Γ, (class_index,).
        owners: which weight a sample has, one-hot, (sample, class_index); None for that of its class.
        by_output: Γ_c multiplies the squared error of output c in every sample, and not the loss of the
            samples of class c; of the squared error alone, whatever `loss` is.

    Returns:
        (sample,)
    """
    if by_output:
        return mse(logits, targets, class_weight)
    return ((targets if owners is None else owners) @ class_weight) * loss(logits, targets)


def squared_error_weight(
    targets: jax.Array, class_weight: jax.Array, *, by_output: bool = False
) -> jax.Array:
    """What multiplies each squared error of the dynamical squared error, F = 1/(2N) Σ w_jc (f_jc − y_jc)².

    Args:
        targets: one-hot labels, (sample, class_index).
        class_weight: Γ, (class_index,).
        by_output: see `weighted_each`.

    Returns:
        w, (sample, class_index).
    """
    rows = class_weight[None] if by_output else (targets @ class_weight)[:, None]
    return jnp.broadcast_to(rows, targets.shape)


def weighted_loss(
    loss: SampleLoss,
    logits: jax.Array,
    targets: jax.Array,
    class_weight: jax.Array,
    present: jax.Array | None = None,
    *,
    owners: jax.Array | None = None,
    by_output: bool = False,
) -> jax.Array:
    """The dynamical loss F = mean_j Γ_{y_j} · loss_j (Eq. 1 with the mean in place of the sum).

    Args:
        loss: see `weighted_each`.
        logits: (sample, class_index).
        targets: (sample, class_index).
        class_weight: (class_index,).
        present: which samples count, (sample,) booleans; None for all.
        owners: see `weighted_each`.
        by_output: see `weighted_each`.

    Returns:
        scalar, in the units of `loss`.
    """
    each = weighted_each(loss, logits, targets, class_weight, owners=owners, by_output=by_output)
    return jnp.mean(each) if present is None else jnp.mean(each, where=present)


def is_right(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Whether a sample's largest logit is that of its class.

    A sample whose outputs are not all finite counts as wrong, so that a diverged network has
    accuracy 0 rather than the chance level that an arg-max over NaN would give it.

    Args:
        logits: network outputs, (sample, class_index).
        targets: one-hot labels, (sample, class_index).

    Returns:
        (sample,) booleans; their mean is the accuracy.
    """
    right = jnp.argmax(logits, axis=-1) == jnp.argmax(targets, axis=-1)
    return right & jnp.all(jnp.isfinite(logits), axis=-1)
