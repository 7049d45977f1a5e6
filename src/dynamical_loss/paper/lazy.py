"""Protocols for the claims about feature and lazy training (arXiv 1906.08034)."""

from __future__ import annotations

import operator

from dynamical_loss.paper.departures import Protocol, Rule, Sort, exactly

VELOCITY_TOLERANCE, OUTPUT_TOLERANCE = 1e-3, 0.1
"""Largest tolerances that the protocols allow (docs/lazy.md says what smaller tolerances change)."""

CLOSENESS = 0.01
"""Largest distance from their labels at which the predictions in the protocol `lazy_null` may end."""

_IMAGES = "parity labels, pooled split, on a sphere"


def _flow(loss: str, depth: int) -> Protocol:
    facts = {"loss": loss, "depth": depth, "activation": "softplus", "precision": "float64"}
    return (
        *exactly(Sort.PROTOCOL, facts),
        _at_most("velocity_tolerance", VELOCITY_TOLERANCE),
        _at_most("output_tolerance", OUTPUT_TOLERANCE),
    )


def _at_most(key: str, value: float) -> Rule:
    words = "{key} is {found}; at most {paper} is allowed"
    return Rule((key,), Sort.PROTOCOL, value, operator.le, words=words)


def _of(*descriptions: str) -> Protocol:
    wanted = " or ".join(descriptions)
    return (Rule(("dataset_description",), Sort.DATA, wanted, lambda found, _: found in descriptions),)


def _grid(depth: int, *descriptions: str) -> Protocol:
    return (*_flow("soft_hinge", depth), *exactly(Sort.PROTOCOL, {"tilt": None}), *_of(*descriptions))


def lazy_digits() -> Protocol:
    """Return the protocol for digits of 8×8 pixels, P = 200, and two hidden layers."""
    return _grid(2, f"digits 8×8, {_IMAGES}, 200 + 1 540 images")


def lazy_sizes() -> Protocol:
    """Return the protocol for digits of 8×8 pixels, any P, 1300 test images, and two hidden layers."""
    return _grid(2, *(f"digits 8×8, {_IMAGES}, {size} + 1 300 images" for size in (50, 100, 200, 400)))


def lazy_fashion() -> Protocol:
    """Return the protocol for Fashion-MNIST and three hidden layers.

    The training set has 200 images of 14×14 pixels, or as many full images as in the paper.
    """
    return _grid(
        3,
        f"Fashion-MNIST reduced to 14×14 pixels, {_IMAGES}, 200 + 4 000 images",
        f"Fashion-MNIST, {_IMAGES}, 10 000 + 50 000 images",
    )


def lazy_null() -> Protocol:
    """Return the protocol for the squared error with and without a tilt, on fifty digits."""
    return (
        *_flow("mse", 2),
        *exactly(Sort.PROTOCOL, {"tilt.amplitude": 10.0, "tilt.period": 1.0}),
        _at_most("closeness", CLOSENESS),
        *_of(f"digits 8×8, {_IMAGES}, 50 + 500 images"),
    )
