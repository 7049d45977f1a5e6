"""The protocols of the claims about feature and lazy training (arXiv 1906.08034)."""

from __future__ import annotations

from dynamical_loss.paper.departures import Protocol, Sort, exactly

_FLOW = {"activation": "softplus", "tilt": None}

_IMAGES = "parity labels, pooled split, on a sphere"


def _grid(loss: str, depth: int, data: str) -> Protocol:
    facts = {"loss": loss, "depth": depth, **_FLOW}
    return exactly(Sort.PROTOCOL, facts) + exactly(Sort.DATA, {"dataset_description": data})


def lazy_digits() -> Protocol:
    """Digits of 8×8 pixels, P = 200, two hidden layers."""
    return _grid("soft_hinge", 2, f"digits 8×8, {_IMAGES}, 200 + 1 540 images")


def lazy_sizes() -> Protocol:
    """Digits of 8×8 pixels and two hidden layers, whatever P is."""
    facts = {"loss": "soft_hinge", "depth": 2, **_FLOW, "dataset_normalisation": "sphere"}
    return exactly(Sort.PROTOCOL, facts) + exactly(Sort.DATA, {"dataset": "digits"})


def lazy_fashion() -> Protocol:
    """Fashion-MNIST of 14×14 pixels, P = 200, three hidden layers."""
    return _grid("soft_hinge", 3, f"Fashion-MNIST reduced to 14×14 pixels, {_IMAGES}, 200 + 4 000 images")


def lazy_null() -> Protocol:
    """The squared error with and without a tilt, on fifty digits."""
    facts = {"loss": "mse", "activation": "softplus", "tilt.amplitude": 10.0}
    data = {"dataset_description": f"digits 8×8, {_IMAGES}, 50 + 500 images"}
    return exactly(Sort.PROTOCOL, facts) + exactly(Sort.DATA, data)
