"""Losses of each sample, on logits with the classes on any axis, and their weighting by Γ(t).

The reduction is left to the caller, as in optax. The mean over samples is the paper's F: Eq. 1 with the mean
in place of the sum, as in the authors' notebooks. With labels to ignore, divide the sum by the number of
samples that count: ``jnp.sum(each) / jnp.sum(labels != ignore_index)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamical_loss import losses
from dynamical_loss.api import checks

if TYPE_CHECKING:
    from jax.typing import ArrayLike

    from dynamical_loss.api.schedule import ClassWeightSchedule


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    axis: int = -1,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> jax.Array:
    """Return the cross-entropy of each sample in nats.

    Args:
        logits: outputs of the network; half precision is computed in single precision.
        labels: classes as whole numbers, in the shape of `logits` without `axis`; or a distribution over the
            classes for each sample, such as one-hot labels, in the shape of `logits`.
        axis: axis of the classes, e.g. 1 for images of labels with logits (sample, class, row, column).
        label_smoothing: share of each label that is spread evenly over all classes, between 0 and 1.
        ignore_index: label whose samples have the loss 0; only for labels that are whole numbers.

    Returns:
        loss of each sample, in the shape of `logits` without `axis`. A label that is no class gives NaN.

    Raises:
        ValueError: if shapes or options do not fit; the message names them.

    Examples:
        >>> cross_entropy(jnp.zeros((2, 4)), jnp.array([1, -1]), ignore_index=-1).round(3).tolist()
        [1.3860000371932983, 0.0]
    """
    return _each(losses.cross_entropy, logits, labels, axis, label_smoothing, ignore_index)


def squared_error(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    axis: int = -1,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> jax.Array:
    """Return half the squared error of each sample, summed over the classes; see `cross_entropy`."""
    return _each(losses.mse, logits, labels, axis, label_smoothing, ignore_index)


def sample_weights(
    class_weight: ArrayLike, labels: ArrayLike, *, axis: int = -1, one_hot: bool = False
) -> jax.Array:
    """Return the weight of each sample: Γ of its class.

    Args:
        class_weight: weight of each class, (classes,).
        labels: classes as whole numbers, of any shape; or distributions over the classes.
        axis: axis of the classes, if `labels` are distributions.
        one_hot: whether `labels` are distributions. A sample then has the mean weight of its distribution.

    Returns:
        weights, in the shape of `labels`, or without `axis` if they are distributions. The weight of a label
        that is no class is NaN.
    """
    weight, given = jnp.asarray(class_weight), jnp.asarray(labels)
    # Whole numbers could hold neither shares of a class nor NaN.
    weight = weight.astype(jnp.promote_types(weight.dtype, jnp.float32))
    if one_hot:
        # A sum and not a product of matrices, which accelerators compute in half precision.
        return jnp.sum(jnp.moveaxis(given, axis, -1).astype(weight.dtype) * weight, axis=-1)
    return weight.at[given].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)


def dynamical(loss: Callable[..., jax.Array], schedule: ClassWeightSchedule) -> Callable[..., jax.Array]:
    """Return the dynamical version of a loss: each sample's loss times Γ of its class at a step (Eq. 1).

    Args:
        loss: loss of each sample, ``loss(logits, labels, **options)``: `cross_entropy`, `squared_error`, or
            one of your own, which must not average. It gets `axis` only if that is not the last.
        schedule: class weights by step, see `class_weight_schedule`.

    Returns:
        a function ``(logits, labels, step, *, axis=-1, ignore_index=None, **options)``, which returns the
        weighted loss of each sample. `step` is the number of *optimiser* steps done: with accumulated
        gradients it stays the same until the optimiser moves. The function can be compiled and
        differentiated. Label smoothing does not change the weight of a sample, and a batch may lack classes.

    Raises:
        ValueError: when called with logits of another number of classes than the schedule has, with labels
            that do not fit, or with a loss that does not return one number for each sample.

    Examples:
        >>> from dynamical_loss.api import class_weight_schedule
        >>> schedule = class_weight_schedule(period=4, amplitude=3.0, classes=2)
        >>> loss = dynamical(squared_error, schedule)
        >>> loss(jnp.zeros((2, 2)), jnp.array([0, 1]), step=2).tolist()  # Γ is 1.5 and 0.5
        [0.75, 0.25]
    """

    def weighted(
        logits: ArrayLike,
        labels: ArrayLike,
        step: ArrayLike,
        *,
        axis: int = -1,
        ignore_index: int | None = None,
        **options: Any,
    ) -> jax.Array:
        shape, given = jnp.shape(logits), jnp.asarray(labels)
        checks.require_classes(shape, axis, schedule.classes)
        distributions = _are_distributions(given, shape, axis, ignore_index)
        counted = None if ignore_index is None else given != ignore_index
        # The loss never sees a label to ignore, so a loss of one's own need not know of it.
        shown = given if counted is None else jnp.where(counted, given, 0)
        if axis != -1:
            options["axis"] = axis
        each = loss(logits, shown, **options)
        weights = sample_weights(schedule(step), shown, axis=axis, one_hot=distributions)
        checks.require_each(jnp.shape(each), weights.shape)
        return weights * each if counted is None else jnp.where(counted, weights * each, 0.0)

    return weighted


def _are_distributions(
    labels: jax.Array, shape: tuple[int, ...], axis: int, ignore_index: int | None
) -> bool:
    are_whole = bool(jnp.issubdtype(labels.dtype, jnp.integer))
    return checks.are_distributions(
        labels.shape, labels.dtype, shape, axis, are_whole=are_whole, ignore_index=ignore_index
    )


def _each(
    loss: losses.SampleLoss,
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int,
    label_smoothing: float,
    ignore_index: int | None,
) -> jax.Array:
    """Return a base loss of each sample; see `cross_entropy`."""
    outputs, given = jnp.asarray(logits), jnp.asarray(labels)
    outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    checks.require_smoothing(label_smoothing)
    distributions = _are_distributions(given, outputs.shape, axis, ignore_index)
    outputs = jnp.moveaxis(outputs, axis, -1)
    classes, known = outputs.shape[-1], None
    if distributions:
        targets = jnp.moveaxis(given, axis, -1).astype(outputs.dtype)
    else:
        targets = jax.nn.one_hot(given, classes, dtype=outputs.dtype)
        known = (given >= 0) & (given < classes)
    targets = (1.0 - label_smoothing) * targets + label_smoothing / classes
    if loss is losses.cross_entropy:
        # A class that a mask of −∞ excludes has no share in the label, and 0 · ∞ is no number.
        least = np.finfo(outputs.dtype).min
        outputs = jnp.where((targets == 0.0) & jnp.isneginf(outputs), least, outputs)
    each = loss(outputs.reshape(-1, classes), targets.reshape(-1, classes)).reshape(outputs.shape[:-1])
    if known is None:
        return each
    each = jnp.where(known, each, jnp.nan)
    return each if ignore_index is None else jnp.where(given == ignore_index, 0.0, each)
