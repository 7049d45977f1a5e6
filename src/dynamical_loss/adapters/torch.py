"""The dynamical loss as a module of PyTorch, and the Hessian of a loss there.

Needs ``pip install 'dynamical-loss[torch]'``.

``torch.nn.CrossEntropyLoss(weight=Γ)`` is *not* this loss: its mean divides by the sum of the weights of the
samples, ΣΓ_y. On a batch in which the classes are not equally frequent, that undoes part of the weighting.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np

from dynamical_loss.api import checks
from dynamical_loss.api.schedule import ClassWeightSchedule

try:
    import torch
    from torch.nn import functional
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"dynamical_loss.adapters.torch needs PyTorch ({error}); run: pip install 'dynamical-loss[torch]'"
    ) from None

Reduction = Literal["mean", "sum", "none"]


class DynamicalLoss(torch.nn.Module):
    """A loss whose class weights Γ(t) oscillate with the steps of an optimiser (Eq. 1-5).

    The module counts the steps of the optimiser in the buffer ``step``, which is part of its ``state_dict``:
    save and load it with the network's, and a run resumes in the middle of a period. Accumulated gradients,
    and steps that a ``GradScaler`` skips, do not move Γ. Validation is weighted in the same way; use a loss
    without weights to compare epochs.

    Examples:
        >>> from dynamical_loss.api import class_weight_schedule
        >>> network = torch.nn.Linear(2, 3)
        >>> optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> criterion = DynamicalLoss(class_weight_schedule(period=50, amplitude=10.0, classes=3), optimiser)
        >>> loss = criterion(network(torch.ones(4, 2)), torch.tensor([0, 1, 2, 2]))
        >>> loss.backward()
        >>> optimiser.step()
        >>> int(criterion.step)
        1
    """

    step: torch.Tensor

    def __init__(
        self,
        schedule: ClassWeightSchedule,
        optimiser: torch.optim.Optimizer | None,
        loss: Literal["cross_entropy", "squared_error"] | Callable[..., torch.Tensor] = "cross_entropy",
        *,
        axis: int = 1,
        label_smoothing: float = 0.0,
        ignore_index: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        """Create the module at step 0.

        Args:
            schedule: class weights by step, see `dynamical_loss.api.class_weight_schedule`.
            optimiser: optimiser whose steps move Γ; None if you call `advance` after each step yourself.
            loss: ``cross_entropy``; ``squared_error``, half the squared error from one-hot labels summed over
                the classes; or a function of logits and labels that returns the loss of each sample.
            axis: axis of the classes; 1 as in PyTorch's losses, also for images of labels.
            label_smoothing: share of each label that is spread evenly over all classes. It does not change
                the weight of a sample.
            ignore_index: label whose samples do not count, neither in the sum nor in the mean. A loss of your
                own sees the label 0 there.
            reduction: ``mean`` over the samples that count, ``sum``, or ``none``.

        Raises:
            ValueError: if an option is unknown or does not fit the others.
        """
        super().__init__()
        if not callable(loss) and loss not in _LOSSES:
            raise ValueError(f"loss must be one of {', '.join(_LOSSES)}, or a function, not {loss!r}")
        if callable(loss) and label_smoothing:
            raise ValueError(
                "label_smoothing is for the losses of this package; smooth labels in your own loss"
            )
        checks.require_smoothing(label_smoothing)
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be mean, sum or none, not {reduction!r}")
        self.schedule, self.axis, self.reduction = schedule, axis, reduction
        self.label_smoothing, self.ignore_index = label_smoothing, ignore_index
        self._loss = loss
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("_classes", torch.arange(schedule.classes), persistent=False)
        self._is_lost, self._still = False, 0
        self._hook: Any = None
        self.attach(optimiser)

    def attach(self, optimiser: torch.optim.Optimizer | None) -> None:
        """Count the steps of an optimiser from now on; None: you call `advance` after each step.

        A new optimiser must be attached, and so must the copy of an optimiser to the copy of this module. An
        optimiser that was attached before no longer counts.
        """
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

        def count(stepped: torch.optim.Optimizer, *_: Any) -> None:
            # A fused optimiser looks itself whether gradients are finite, and then does nothing.
            found = getattr(stepped, "found_inf", None)
            self.advance(None if found is None else found == 0)

        if optimiser is not None:
            self._hook = optimiser.register_step_post_hook(count)
        self._is_lost = False

    def advance(self, was_done: torch.Tensor | None = None) -> None:
        """Count one step of the optimiser; none if `was_done` is false."""
        self.step.add_(1 if was_done is None else was_done.to(self.step.device).reshape(()).long())
        self._still = 0

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy holds: all but the hook in the optimiser."""
        return {**self.__dict__, "_hook": None}

    def __setstate__(self, state: Any) -> None:
        """Restore a copy, which no optimiser moves yet."""
        super().__setstate__(state)
        self._is_lost = True

    def class_weights(self) -> torch.Tensor:
        """Return Γ at the present step, (classes,), in single precision."""
        weights: torch.Tensor
        if _can_be_read(self.step):
            weights = torch.tensor(self.schedule.numbers(int(self.step)), dtype=torch.float32)
        else:
            weights = self.schedule.weights(self.step, self._classes, torch.sin)
        return weights

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the weighted loss.

        Args:
            logits: outputs of the network, with the classes on `axis`.
            labels: classes as whole numbers, in the shape of `logits` without `axis`; or a distribution over
                the classes for each sample, in the shape of `logits`. Such a sample has the mean weight of
                its distribution. On a GPU a label that is no class gives NaN, because looking for it would
                halt the GPU.

        Raises:
            ValueError: if the shapes do not fit, a label is no class, or the schedule has another number of
                classes.
            RuntimeError: if this module is a copy that follows no optimiser.
        """
        self._look_after_steps()
        axis = self.axis
        checks.require_classes(logits.shape, axis, self.schedule.classes)
        distributions = checks.are_distributions(
            labels.shape,
            labels.dtype,
            logits.shape,
            axis,
            are_whole=not labels.is_floating_point(),
            ignore_index=self.ignore_index,
        )
        weights = self.class_weights().to(logits.device)
        if not distributions and labels.numel() and self._is_plain and _can_be_read(labels):
            return self._fused(logits, labels.long(), weights)
        counted: torch.Tensor | None = None
        if distributions:
            # A sum and not a product of matrices, which autocast computes in half precision.
            weight = (torch.movedim(labels, axis, -1).to(weights.dtype) * weights).sum(-1)
        else:
            labels = labels.long()
            if self.ignore_index is not None:
                counted = labels != self.ignore_index
                labels = torch.where(counted, labels, 0)
            labels, weight = self._of_classes(labels, weights)
        each = self._each(logits, labels)
        checks.require_each(each.shape, weight.shape)
        each = weight * each
        if counted is not None:
            each = torch.where(counted, each, 0.0)
        if self.reduction == "none":
            return each
        total = each.sum()
        if self.reduction == "sum":
            return total
        return total / (each.numel() if counted is None else counted.sum())

    @property
    def _is_plain(self) -> bool:
        """Whether PyTorch's own weights give the loss in one operation; they do not for smoothed labels."""
        return self._loss == "cross_entropy" and not self.label_smoothing and self.reduction != "none"

    def _fused(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum or mean of the cross-entropy, by PyTorch's own operation, on a CPU."""
        ignored = _NO_LABEL if self.ignore_index is None else self.ignore_index
        outputs = self._outputs(logits)
        weights = weights.to(outputs.dtype)
        all_count = self.ignore_index is None
        if self.reduction == "mean" and all_count:
            # Dividing the weights costs less than dividing the loss, which has a gradient.
            weights = weights / labels.numel()
        try:
            total = functional.cross_entropy(outputs, labels, weights, ignore_index=ignored, reduction="sum")
        except IndexError:
            self._require_labels(labels[labels != ignored])
            raise
        # PyTorch's own mean divides by the sum of the weights.
        return total if self.reduction == "sum" or all_count else total / (labels != ignored).sum()

    def _look_after_steps(self) -> None:
        """Refuse to train with a copy that follows no optimiser; warn if the steps seem to stand still."""
        if not (self.training and torch.is_grad_enabled()):
            return
        if self._is_lost:
            raise RuntimeError(
                "this copy of DynamicalLoss follows no optimiser; call attach(optimiser), or attach(None) to "
                "call advance() yourself"
            )
        self._still += 1
        if self._still == _STILL:
            warnings.warn(
                f"DynamicalLoss was used {_STILL} times since the last step of its optimiser; if you made a "
                "new optimiser, call attach(optimiser)",
                stacklevel=3,
            )

    def _of_classes(self, labels: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return labels that are classes, and the weight of each sample.

        On a GPU the weight is NaN where a label is no class.

        Raises:
            ValueError: if a label is no class, on a CPU.
        """
        classes = self.schedule.classes
        if not _can_be_read(labels):
            known = (labels >= 0) & (labels < classes)
            labels = torch.where(known, labels, 0)
            return labels, torch.where(known, weights[labels], torch.nan)
        self._require_labels(labels)
        return labels, weights[labels]

    def _require_labels(self, labels: torch.Tensor) -> None:
        """Refuse labels that are no class.

        Raises:
            ValueError: if they are refused.
        """
        if not labels.numel():
            return
        classes = self.schedule.classes
        wrong = next((int(end) for end in torch.aminmax(labels) if not 0 <= int(end) < classes), None)
        if wrong is not None:
            raise ValueError(
                f"the label {wrong} is none of the {classes} classes from 0 on; to leave such samples out, "
                f"give ignore_index={wrong}"
            )

    def _each(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each sample without weights."""
        if callable(self._loss):
            return self._loss(logits, labels)
        outputs = self._outputs(logits)
        if labels.shape == logits.shape:
            labels = torch.movedim(labels, self.axis, min(1, labels.ndim - 1)).to(outputs.dtype)
            if self._loss == "cross_entropy":
                # A class that a mask of −∞ excludes has no share in the label, and 0 · ∞ is no number.
                excluded = (labels == 0) & torch.isneginf(outputs)
                outputs = torch.where(excluded, torch.finfo(outputs.dtype).min, outputs)
        return _LOSSES[self._loss](outputs, labels, self.label_smoothing)

    def _outputs(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits with the classes where PyTorch's losses have them, on axis 1."""
        # Half precision is too coarse for the logarithm; autocast makes the same choice.
        outputs = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        axis = min(1, outputs.ndim - 1)
        return outputs if self.axis == axis else torch.movedim(outputs, self.axis, axis)


def _can_be_read(tensor: torch.Tensor) -> bool:
    """Return whether the numbers of a tensor can be read at once; on a GPU reading them would halt it."""
    return bool(tensor.device.type == "cpu")


_NO_LABEL = torch.iinfo(torch.int64).min
"""Label to ignore if the user gives none; PyTorch's default of −100 would leave out wrong labels."""

_STILL = 1000
"""Number of training losses without a step of the optimiser after which a mistake is likely."""


def _cross_entropy(outputs: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    return functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=smoothing)


def _squared_error(outputs: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    axis = min(1, outputs.ndim - 1)
    classes = outputs.shape[axis]
    if labels.shape != outputs.shape:
        labels = torch.movedim(functional.one_hot(labels, classes), -1, axis).to(outputs.dtype)
    targets = (1.0 - smoothing) * labels + smoothing / classes
    return 0.5 * ((outputs - targets) ** 2).sum(dim=axis)


_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]] = {
    "cross_entropy": _cross_entropy,
    "squared_error": _squared_error,
}


def largest_hessian_eigenvalues(
    loss: Callable[[], torch.Tensor],
    parameters: Iterable[torch.Tensor],
    *,
    modes: int = 1,
    tolerance: float = 1e-3,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the largest eigenvalues of a loss's Hessian, by ARPACK's Lanczos method (Fig. 4e).

    Args:
        loss: function without arguments that computes the loss from the parameters' present values, on fixed
            data. Leave the network in its training mode without dropout: batch norm then uses the statistics
            of the data, as in the loss that descends.
        parameters: the parameters, e.g. ``network.parameters()``.
        modes: number of largest eigenvalues.
        tolerance: relative precision of the eigenvalues.

    Returns:
        the eigenvalues, descending, (mode,), in units of loss per squared parameter. Plain gradient descent
        with learning rate η becomes unstable where the first exceeds 2/η.

    Raises:
        ValueError: if there are not more parameters than modes, or the loss is not finite or has no second
            derivative.

    Examples:
        >>> place = torch.tensor([1.0, 1.0, 1.0], requires_grad=True)
        >>> found = largest_hessian_eigenvalues(
        ...     lambda: (torch.tensor([1.0, 2.0, 3.0]) * place**2).sum(), [place]
        ... )
        >>> round(float(found[0]), 3)
        6.0
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    places = [parameter for parameter in parameters if parameter.requires_grad]
    size = sum(place.numel() for place in places)
    if not 1 <= modes < size:
        raise ValueError(f"modes must lie between 1 and {size - 1}, less than the number of parameters")
    value = loss()
    if not bool(torch.isfinite(value)):
        raise ValueError("the loss is not finite, so its Hessian has no eigenvalues")
    gradients = torch.autograd.grad(value, places, create_graph=True, materialize_grads=True)
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    if not flat.requires_grad:
        raise ValueError("the loss has no second derivative with respect to these parameters")

    def product(vector: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        direction = torch.as_tensor(np.asarray(vector).reshape(-1), dtype=flat.dtype, device=flat.device)
        images = torch.autograd.grad(flat @ direction, places, retain_graph=True, materialize_grads=True)
        image = torch.cat([part.reshape(-1) for part in images])
        return np.asarray(image.cpu().double())

    hessian = LinearOperator((size, size), matvec=product, dtype=np.float64)
    # A fixed start, so that a second call gives the same numbers.
    start = np.random.default_rng(0).normal(size=size)
    found = eigsh(hessian, k=modes, which="LA", return_eigenvectors=False, tol=tolerance, v0=start)
    return np.sort(found)[::-1]
