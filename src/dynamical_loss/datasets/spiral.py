"""Compute the spiral classification problem of Fig. 2, which has one arm per class in the plane."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.datasets.images import DESCRIPTION, sizes
from dynamical_loss.notation import exact
from dynamical_loss.results import netcdf

RadiusLaw = Literal["linspace", "uniform", "sqrt"]
"""How the radii of the points of an arm are chosen.

``linspace``: in equal steps; ``uniform``: drawn from the uniform distribution; ``sqrt``: in equal steps of
the squared radius.
"""


def spiral(
    *,
    classes: int,
    points_per_class: int,
    turns: float,
    noise: float,
    seed: int,
    radius_law: RadiusLaw = "linspace",
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return points along `classes` spiral arms, with Gaussian noise on the angle.

    Arm j has radius r = linspace(0, 1, n) and angle linspace(2πj/C, 2πj/C + 2π·turns, n) plus
    noise · N(0, 1).  Other radius laws move the points along the same arm, where the angle without noise is
    2πj/C + 2π·turns·r.  The authors' notebook uses the legacy generator ``RandomState`` and draws the noise
    arm by arm.  This function does the same, so that classes=3, points_per_class=100, turns=2, noise=0.2,
    seed=0 gives the training set of the paper.

    Args:
        classes: number of arms C.
        points_per_class: number of points on each arm.
        turns: number of revolutions that an arm makes from the centre to radius 1.
        noise: standard deviation of the noise on the angle, radians.
        seed: seed of the noise, and of the radii if they are drawn.
        radius_law: how the radii of the points are chosen, see `RadiusLaw`.

    Returns:
        inputs of shape (sample, 2) inside or on the unit circle (dimensionless), and labels of shape
        (sample,) in 0 … C−1, ordered by class.
    """
    generator = np.random.RandomState(seed)
    arms = []
    for label in range(classes):
        start = 2.0 * np.pi * label / classes
        radius = np.linspace(0.0, 1.0, points_per_class)
        angle = np.linspace(start, start + 2.0 * np.pi * turns, points_per_class)
        if radius_law != "linspace":
            even = generator.random_sample(points_per_class) if radius_law == "uniform" else radius
            radius = np.sort(even) if radius_law == "uniform" else np.sqrt(even)
            angle = start + 2.0 * np.pi * turns * radius
        angle = angle + noise * generator.randn(points_per_class)
        arms.append(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))
    return np.concatenate(arms), np.repeat(np.arange(classes), points_per_class)


class Arms(NamedTuple):
    """Parameters in which the training and the validation set may differ.

    Attributes:
        points_per_class: number of points on each arm.
        seed: seed of the noise, and of the radii if they are drawn.
        radius_law: how the radii of the points are chosen, see `RadiusLaw`.
    """

    points_per_class: int
    seed: int
    radius_law: RadiusLaw = "linspace"


def dataset(*, classes: int, turns: float, noise: float, train: Arms, validation: Arms) -> xr.Dataset:
    """Return the training and validation set, ready to be stored.

    Args:
        classes: number of arms C.
        turns: number of revolutions of an arm.
        noise: standard deviation of the noise on the angle, radians.
        train: parameters of the training set.
        validation: parameters of the validation set.
    """
    variables = netcdf.Variables()
    for part, arms in (("train", train), ("validation", validation)):
        inputs, labels = spiral(classes=classes, turns=turns, noise=noise, **arms._asdict())
        variables.add(
            f"{part}_input",
            (f"{part}_sample", "feature"),
            inputs,
            f"{part} inputs",
            reference="Fig. 2",
        )
        variables.add(f"{part}_label", (f"{part}_sample",), labels, f"{part} labels", reference="Fig. 2")
    size = sizes(classes * train.points_per_class, classes * validation.points_per_class)
    description = f"spiral, {size} points, {_told(classes, turns, noise, train, validation)}"
    return variables.dataset().assign_attrs({"dataset": "spiral", DESCRIPTION: description})


def _told(classes: int, turns: float, noise: float, train: Arms, validation: Arms) -> str:
    """Return the text of all parameters but the sizes, so that two different spirals have different texts."""
    law = "" if validation.radius_law == "linspace" else f", validation radii {validation.radius_law}"
    return (
        f"{classes} arms of {exact(turns)} turns, noise {exact(noise)} rad, seeds {train.seed} and "
        f"{validation.seed}{law}"
    )
