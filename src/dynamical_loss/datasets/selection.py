"""Which images are taken, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def balanced(labels: npt.NDArray[np.integer], count: int, seed: Sequence[int]) -> Indices:
    """Positions of `count` samples in random order, with class sizes as equal as possible.

    The first samples of a larger choice with the same seed are no smaller choice, but every smaller choice is
    part of a larger one and stands there in the same order.  The legacy generator ``RandomState`` is used as
    it draws the same numbers in every version of numpy.

    Args:
        labels: integers, (sample,).
        count: how many are taken, at most all.
        seed: integers that the order is drawn from.

    Returns:
        (count,), each position at most once.
    """
    order, rank = _ranked(labels, seed)
    # The first of every class in order of appearance, then the second, and so on.
    taken = np.argsort(rank, kind="stable")[:count]
    return order[np.sort(taken)]


def interleaved(labels: npt.NDArray[np.integer], seed: Sequence[int]) -> Indices:
    """Positions of all samples: in turn one of each class, in the order of the labels.

    Which sample of a class comes when is drawn as in `balanced`.  With C classes the first m C positions hold
    m samples of each, as long as every class has so many; a class that has no more is passed over.

    Args:
        labels: integers, (sample,).
        seed: integers that the order within each class is drawn from.

    Returns:
        (sample,), each position once.
    """
    order, rank = _ranked(labels, seed)
    return order[np.lexsort((labels[order], rank))]


def _ranked(labels: npt.NDArray[np.integer], seed: Sequence[int]) -> tuple[Indices, Indices]:
    """A random order of all samples, and how many of its own class come before each in this order."""
    order = np.random.RandomState(list(seed)).permutation(len(labels))
    shuffled = labels[order]
    rank = np.empty(len(labels), np.intp)
    for label in np.unique(labels):
        own = shuffled == label
        rank[own] = np.arange(np.count_nonzero(own))
    return order, rank
