"""The dynamical loss in Keras 3, on its backends JAX and torch.

Needs ``pip install 'dynamical-loss[keras]'``.

Keras compiles a training step with everything that is not part of the model as a constant. A variable that a
callback changes, as in Keras 2, is therefore frozen on JAX. Here the count of steps is a weight of a layer of
the model, so every backend carries it, and ``model.save`` keeps it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dynamical_loss.api import checks
from dynamical_loss.api.schedule import ClassWeightSchedule

try:
    import keras
except ModuleNotFoundError as error:
    if error.name != "keras":
        # Keras takes TensorFlow unless told otherwise.
        raise ModuleNotFoundError(
            f"Keras needs a backend ({error}); set KERAS_BACKEND=jax or KERAS_BACKEND=torch"
        ) from None
    raise ModuleNotFoundError(
        f"dynamical_loss.adapters.keras needs Keras ({error}); run: pip install 'dynamical-loss[keras]'"
    ) from None


@keras.saving.register_keras_serializable(package="dynamical_loss")
class StepCounter(keras.layers.Layer):
    """A layer that counts the batches of training and returns its inputs as they are.

    Put it at the end of a model: ``keras.Sequential([model, counter])``. It counts up to 2³¹ − 1 batches.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Create a counter at 0; `kwargs` are those of every layer."""
        # Under a policy of mixed precision, Keras would cast the logits to half precision.
        super().__init__(autocast=False, **kwargs)
        self.count = self.add_weight(
            name="count", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.supports_masking = True
        self.was_called = False

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the inputs; in training, count the batch."""
        self.was_called = True
        if training:
            self.count.assign(self.count + 1)
        return inputs


@keras.saving.register_keras_serializable(package="dynamical_loss")
class DynamicalLoss(keras.losses.Loss):
    """A loss whose class weights Γ(t) oscillate with the steps of the optimiser (Eq. 1-5).

    Validation during ``fit`` uses the weights of the last step of training, so ``val_loss`` oscillates with
    them; compare epochs by a metric. A compiled model can be saved and loaded as a whole, with its optimiser;
    then tell the loss its counter: ``model.loss.counter = model.layers[-1]``. In a training loop of your own
    on JAX, take `dynamical_loss.api.dynamical`, which gets the step as an argument.

    Examples:
        >>> from dynamical_loss.api import class_weight_schedule
        >>> counter = StepCounter()
        >>> model = keras.Sequential([keras.layers.Dense(3), counter])
        >>> schedule = class_weight_schedule(period=50, amplitude=10.0, classes=3)
        >>> model.compile("sgd", DynamicalLoss(schedule, counter), metrics=["accuracy"])
    """

    def __init__(
        self,
        schedule: ClassWeightSchedule,
        counter: StepCounter | None,
        loss: str | Callable[[Any, Any], Any] | None = None,
        *,
        label_smoothing: float = 0.0,
        gradient_accumulation_steps: int = 1,
        name: str = "dynamical_loss",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        """Create the loss.

        Args:
            schedule: class weights by step, see `dynamical_loss.api.class_weight_schedule`.
            counter: the layer of the model that counts its batches; None: it is set later.
            loss: function of targets, one-hot on the last axis, and logits, which returns the loss of each
                sample, or Keras's name of such a function; None: the cross-entropy of logits.
            label_smoothing: share of each label that is spread evenly over all classes. It does not change
                the weight of a sample.
            gradient_accumulation_steps: the optimiser's setting of this name: batches for each of its steps.
                Keras does not show it to the loss, so it must be given to both.
            name: name of the loss.
            reduction: Keras's reduction; the default is the mean over the samples.
            dtype: Keras's type of the loss.

        Raises:
            ValueError: if `gradient_accumulation_steps` is below 1, or `label_smoothing` out of range.
        """
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if gradient_accumulation_steps < 1:
            raise ValueError(
                f"gradient_accumulation_steps must be at least 1, not {gradient_accumulation_steps}"
            )
        checks.require_smoothing(label_smoothing)
        self.schedule, self.counter = schedule, counter
        self._loss = None if loss is None else keras.losses.get(loss)
        self._smoothing, self._batches = label_smoothing, gradient_accumulation_steps
        self._is_plain = loss is None and not label_smoothing

    def get_config(self) -> dict[str, Any]:
        """Return what makes the loss anew, but for its counter."""
        own = None if self._loss is None else keras.saving.serialize_keras_object(self._loss)
        config: dict[str, Any] = super().get_config()
        return config | {
            "schedule": dataclasses.asdict(self.schedule),
            "loss": own,
            "label_smoothing": self._smoothing,
            "gradient_accumulation_steps": self._batches,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DynamicalLoss:
        """Make a loss from `get_config`; its counter must be set."""
        own = config["loss"]
        made = {
            "schedule": ClassWeightSchedule(**config["schedule"]),
            "counter": None,
            "loss": None if own is None else keras.saving.deserialize_keras_object(own),
        }
        return cls(**{**config, **made})

    def class_weights(self) -> Any:
        """Return Γ of the latest batch of training, (classes,).

        Raises:
            ValueError: if the loss has no counter, or the counter is no layer of the model.
        """
        if self.counter is None:
            raise ValueError("this loss has no counter; set model.loss.counter = model.layers[-1]")
        if not self.counter.was_called:
            raise ValueError(
                "the counter of this loss is no layer of the model; take keras.Sequential([model, counter])"
            )
        ops = keras.ops
        count = ops.convert_to_tensor(self.counter.count)
        # The counter has counted the present batch already.
        if _is_eager(count):
            import torch  # Keras itself takes 18 times as long to make a tensor of a list

            step = max(int(count) - 1, 0) // self._batches
            return torch.tensor(self.schedule.numbers(step), dtype=torch.float32)
        step = ops.maximum(count - 1, 0) // self._batches
        weights = self.schedule.weights(step, ops.arange(self.schedule.classes), ops.sin)
        return ops.cast(weights, "float32")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the weighted loss of each sample.

        Args:
            y_true: classes as whole numbers, in the shape of `y_pred` without its last axis, or with a last
                axis of length 1; or a distribution over the classes for each sample.
            y_pred: logits, with the classes on the last axis, not the outputs of a softmax.

        Returns:
            the loss of each sample. A label that is no class gives NaN.

        Raises:
            ValueError: if the shapes do not fit, the schedule has another number of classes, or a loss of
                your own does not return the loss of each sample.
        """
        ops, classes = keras.ops, self.schedule.classes
        logits = ops.cast(y_pred, "float32")
        checks.require_classes(logits.shape, -1, classes)
        given = ops.convert_to_tensor(y_true)
        if tuple(given.shape) == (*logits.shape[:-1], 1):
            given = ops.squeeze(given, -1)
        # Keras may have cast whole numbers to real ones, so any type will do.
        if checks.are_distributions(given.shape, given.dtype, logits.shape, -1, are_whole=True):
            targets = ops.cast(given, "float32")
            # A sum and not a product of matrices, which accelerators compute in half precision.
            weight = ops.sum(targets * self.class_weights(), axis=-1)
        else:
            fused = self._fused(given, logits)
            if fused is not None:
                return fused
            index = ops.cast(given, "int32")
            known = (index >= 0) & (index < classes)
            if keras.backend.is_float_dtype(keras.backend.standardize_dtype(given.dtype)):
                known = known & (index == given)
            index = ops.where(known, index, 0)
            weight = ops.where(known, ops.take(self.class_weights(), index), float("nan"))
            if self._is_plain:
                return weight * ops.sparse_categorical_crossentropy(index, logits, from_logits=True)
            targets = ops.one_hot(index, classes)
        if self._smoothing:
            targets = (1.0 - self._smoothing) * targets + self._smoothing / classes
        if self._loss is None:
            # A class that a mask of −∞ excludes has no share in the label, and 0 · ∞ is no number.
            excluded = (targets == 0) & (logits == -np.inf)
            logits = ops.where(excluded, float(np.finfo(np.float32).min), logits)
            each = ops.categorical_crossentropy(targets, logits, from_logits=True)
        else:
            each = self._loss(targets, logits)
        checks.require_each(each.shape, weight.shape)
        return weight * each

    def _fused(self, labels: Any, logits: Any) -> Any:
        """Return the weighted loss of each sample by one operation of torch on a CPU; None elsewhere.

        There the ten small operations of Keras would cost 3 % of a step.  None also if a label is no class.
        """
        if not (self._is_plain and _is_eager(logits)):
            return None
        import torch
        from torch.nn import functional

        index = labels.long()
        if labels.is_floating_point() and not bool((index == labels).all()):
            return None
        outputs = logits.movedim(-1, min(1, logits.ndim - 1))
        try:
            return functional.cross_entropy(
                outputs,
                index,
                self.class_weights(),
                ignore_index=torch.iinfo(torch.int64).min,
                reduction="none",
            )
        except IndexError:
            return None


def _is_eager(tensor: Any) -> bool:
    """Return whether operations run one by one and their values can be read, as in torch on a CPU."""
    return bool(keras.backend.backend() == "torch" and tensor.device.type == "cpu")
