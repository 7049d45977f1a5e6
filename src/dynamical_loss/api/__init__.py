"""The dynamical loss and its analysis for other people's training loops.

This package and `dynamical_loss.adapters` are the library's stable surface. Names change only with the first
number of the version, after a release that warns. All other modules belong to the pipeline.

Examples:
    >>> import jax.numpy as jnp
    >>> schedule = class_weight_schedule(period=100, amplitude=10.0, classes=3)
    >>> loss = dynamical(cross_entropy, schedule)
    >>> each = loss(jnp.zeros((2, 3)), jnp.array([0, 2]), 50)
    >>> [round(float(value), 3) for value in each]
    [2.747, 0.275]
"""

from dynamical_loss.analysis.events import Event, events_from_loss, events_from_sharpness
from dynamical_loss.analysis.threshold import PowerLaw, Threshold, fit_power_law, threshold
from dynamical_loss.api.curvature import (
    Extremes,
    drift_adjusted_learning_rate,
    hessian_extremes,
    ntk_extremes,
)
from dynamical_loss.api.losses import cross_entropy, dynamical, sample_weights, squared_error
from dynamical_loss.api.plot import plot_run
from dynamical_loss.api.schedule import ClassWeightSchedule, class_weight_schedule

__all__ = [
    "ClassWeightSchedule",
    "Event",
    "Extremes",
    "PowerLaw",
    "Threshold",
    "class_weight_schedule",
    "cross_entropy",
    "drift_adjusted_learning_rate",
    "dynamical",
    "events_from_loss",
    "events_from_sharpness",
    "fit_power_law",
    "hessian_extremes",
    "ntk_extremes",
    "plot_run",
    "sample_weights",
    "squared_error",
    "threshold",
]
