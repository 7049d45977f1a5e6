"""Checks that the loss makes in every framework; shapes are tuples, so they need no framework."""

from __future__ import annotations

from collections.abc import Sequence

Shape = tuple[int, ...]


def require_smoothing(label_smoothing: float) -> None:
    """Refuse a label smoothing outside [0, 1).

    Raises:
        ValueError: if it is refused.
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"label_smoothing must lie between 0 and 1, not {label_smoothing:g}")


def require_classes(logits: Sequence[int], axis: int, classes: int) -> None:
    """Refuse logits whose number of classes is not that of the schedule.

    Args:
        logits: shape of the logits.
        axis: axis of the classes.
        classes: number of classes of the schedule.

    Raises:
        ValueError: if they are refused.
    """
    if logits[axis] != classes:
        raise ValueError(
            f"logits {tuple(logits)} have {logits[axis]} classes on axis {axis}, and the schedule has "
            f"{classes}"
        )


def are_distributions(
    labels: Sequence[int],
    kind: object,
    logits: Sequence[int],
    axis: int,
    *,
    are_whole: bool,
    ignore_index: int | None = None,
) -> bool:
    """Return whether labels are distributions over the classes, and not whole numbers.

    Args:
        labels: shape of the labels.
        kind: type of the labels, for the error.
        logits: shape of the logits.
        axis: axis of the classes.
        are_whole: whether the labels' type may hold the numbers of classes.
        ignore_index: label to leave out, or None.

    Raises:
        ValueError: if the labels fit neither, or distributions come with a label to leave out.
    """
    samples = without(logits, axis)
    if tuple(labels) == tuple(logits):
        if ignore_index is not None:
            raise ValueError("ignore_index needs labels that are whole numbers; here they are distributions")
        return True
    if tuple(labels) == samples and are_whole:
        return False
    raise ValueError(
        f"labels {kind} {tuple(labels)} must be whole numbers in the shape {samples}, or distributions in "
        f"the shape {tuple(logits)}"
    )


def require_each(each: Sequence[int], samples: Sequence[int]) -> None:
    """Refuse a loss that does not return one number for each sample.

    Args:
        each: shape of what the loss returned.
        samples: shape of the samples.

    Raises:
        ValueError: if it is refused.
    """
    if tuple(each) != tuple(samples):
        raise ValueError(
            f"the loss has the shape {tuple(each)}, and the samples have {tuple(samples)}: it must return "
            "the loss of each sample, without a mean or a sum"
        )


def without(shape: Sequence[int], axis: int) -> Shape:
    """Return a shape without one of its axes."""
    place = axis % len(shape)
    return (*shape[:place], *shape[place + 1 :])
