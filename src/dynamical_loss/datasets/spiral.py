"""The spiral classification problem of Fig. 2: one arm per class in the plane."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.datasets.images import DESCRIPTION, sizes
from dynamical_loss.results import netcdf


def spiral(
    *, classes: int, points_per_class: int, turns: float, noise: float, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Points along `classes` spiral arms, with Gaussian noise on the angle.

    Arm j has radius linspace(0, 1, n) and angle linspace(2πj/C, 2πj/C + 2π·turns, n) plus
    noise · N(0, 1).  The legacy generator ``RandomState`` and the arm-by-arm draw order are the
    authors' notebook's, so that classes=3, points_per_class=100, turns=2, noise=0.2, seed=0 is the
    paper's own training set.

    Args:
        classes: C, number of arms.
        points_per_class: points on each arm.
        turns: revolutions an arm makes from the centre to radius 1.
        noise: standard deviation of the angle, radians.
        seed: seed of the noise.

    Returns:
        inputs of shape (sample, 2) inside or on the unit circle (dimensionless), and labels of shape
        (sample,) in 0 … C−1, ordered by class.
    """
    generator = np.random.RandomState(seed)
    radius = np.linspace(0.0, 1.0, points_per_class)
    arms = []
    for label in range(classes):
        start = 2.0 * np.pi * label / classes
        angle = np.linspace(start, start + 2.0 * np.pi * turns, points_per_class)
        angle = angle + noise * generator.randn(points_per_class)
        arms.append(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))
    return np.concatenate(arms), np.repeat(np.arange(classes), points_per_class)


def dataset(
    *, classes: int, points_per_class: int, turns: float, noise: float, seeds: tuple[int, int]
) -> xr.Dataset:
    """Training and validation set, ready to be stored.

    Args:
        classes: C, number of arms.
        points_per_class: points on each arm.
        turns: revolutions of an arm.
        noise: standard deviation of the angle, radians.
        seeds: of the training and of the validation noise.
    """
    variables = netcdf.Variables()
    for part, seed in zip(("train", "validation"), seeds, strict=True):
        inputs, labels = spiral(
            classes=classes, points_per_class=points_per_class, turns=turns, noise=noise, seed=seed
        )
        variables.add(
            f"{part}_input",
            (f"{part}_sample", "feature"),
            inputs,
            f"{part} inputs",
            reference="Fig. 2",
        )
        variables.add(f"{part}_label", (f"{part}_sample",), labels, f"{part} labels", reference="Fig. 2")
    size = sizes(classes * points_per_class, classes * points_per_class)
    return variables.dataset().assign_attrs({"dataset": "spiral", DESCRIPTION: f"spiral, {size} points"})
