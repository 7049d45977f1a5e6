"""Select images and put them into a random order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def balanced(labels: npt.NDArray[np.integer], count: int, seed: Sequence[int]) -> Indices:
    """Return the positions of `count` samples in random order, with class sizes as equal as possible.

    With the same seed, every smaller selection is a subset of a larger one and has the same order there.  It
    is not the beginning of the larger one.  The legacy generator ``RandomState`` is used because it draws the
    same numbers in every version of numpy.

    Args:
        labels: integers, (sample,).
        count: number of samples to select, at most all of them.
        seed: integers that seed the random order.

    Returns:
        positions, (count,), each at most once.
    """
    order, rank = _ranked(labels, seed)
    # The first sample of every class in order of appearance, then the second one, and so on.
    taken = np.argsort(rank, kind="stable")[:count]
    return order[np.sort(taken)]


def interleaved(labels: npt.NDArray[np.integer], seed: Sequence[int]) -> Indices:
    """Return the positions of all samples, in an order in which the classes alternate.

    The first samples are one of each class in the order of the labels, then follows a second one of each
    class, and so on.  The order within a class is random and drawn as in `balanced`.  With C classes the
    first m C positions hold m samples of each class, as long as every class has at least m.  A class without
    remaining samples is skipped.

    Args:
        labels: integers, (sample,).
        seed: integers that seed the random order within each class.

    Returns:
        positions, (sample,), each once.
    """
    order, rank = _ranked(labels, seed)
    return order[np.lexsort((labels[order], rank))]


def _ranked(labels: npt.NDArray[np.integer], seed: Sequence[int]) -> tuple[Indices, Indices]:
    """Return a random order of all samples, and for each how many samples of its class come before it."""
    order = np.random.RandomState(list(seed)).permutation(len(labels))
    shuffled = labels[order]
    rank = np.empty(len(labels), np.intp)
    for label in np.unique(labels):
        own = shuffled == label
        rank[own] = np.arange(np.count_nonzero(own))
    return order, rank
