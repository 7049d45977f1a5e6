"""Determine from the settings of a job which code it runs; the digest of the job covers that code.

A job is run again when its digest changes, and the result records the digest.
"""

from __future__ import annotations

import pkgutil

from dynamical_loss import models
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.kind import DatasetSettings, Shape
from dynamical_loss.models.kinds import KINDS, mlp
from dynamical_loss.results.digest import Code

_ENVIRONMENT = "dynamical_loss.environment"
"""Module by which the command line sets environment variables before other modules are imported."""

_OTHER_ENGINES = {"xla": ("dynamical_loss.training.fused",), "fused": ("dynamical_loss.training.xla",)}

_KERNEL = ("dynamical_loss.probes.ntk",)
"""Modules that training needs only if the output is scaled."""


def stage(name: str, *modules: str, without: tuple[str, ...] = (), device: str = "cpu") -> Code:
    """Return the code of a stage.

    Args:
        name: name of the stage.
        modules: modules that the stage uses without importing them by name.
        without: modules that the stage imports but does not use with these settings.
        device: ``cpu`` or ``gpu``.
    """
    return Code((f"dynamical_loss.stages.{name}", *modules), without, device)


def dataset(settings: DatasetSettings) -> Code:
    """Return the code that prepares a dataset, without the code of other kinds of datasets."""
    return stage("prepare_dataset", type(settings).__module__)


def training(name: str, settings: TrainingSettings, shape: Shape, device: str) -> Code:
    """Return the code of a stage that trains, without the code of other networks and engines.

    Args:
        name: name of the stage.
        settings: settings of the training.
        shape: sizes of the dataset.
        device: ``cpu`` or ``gpu``.

    Raises:
        ValueError: if the settings name an engine that does not cover the problem.
    """
    engine = settings.trained_by(shape, device)
    kind = type(settings.model).__module__
    unused = _OTHER_ENGINES[engine] + (_KERNEL if settings.output_scale is None else ())
    return stage(name, kind, _ENVIRONMENT, without=unused, device=device)


def probing(settings: TrainingSettings, device: str) -> Code:
    """Return the code that probes a run with these settings, without the code of other networks."""
    return stage("probe_spectrum", type(settings.model).__module__, _ENVIRONMENT, device=device)


def following(settings: TrainingSettings) -> Code:
    """Return the code that traces flows along a run, without the code of networks of other kinds."""
    return stage("trace_flow", type(settings.model).__module__, _ENVIRONMENT)


def known_losses() -> Code:
    """Return the code that traces flows on losses that are known in closed form."""
    return stage("trace_known_losses", _ENVIRONMENT)


def flowing() -> Code:
    """Return the code that trains perceptrons by gradient flow, without the code of other networks."""
    return stage("train_lazy_block", mlp.__name__, _ENVIRONMENT)


def figure(name: str) -> Code:
    """Return the code that renders a figure, without the code of other figures.

    A figure takes the names of networks from the modules of their kinds.  The modules that build the networks
    are left out.
    """
    kinds = (kind.__module__ for kind in KINDS)
    networks = (f"{models.__name__}.{module.name}" for module in pkgutil.iter_modules(models.__path__))
    without = tuple(module for module in networks if module != "dynamical_loss.models.kind")
    return stage("render_figure", f"dynamical_loss.figures.{name}", *kinds, without=without)


def page(kind: str) -> Code:
    """Return the code that makes a page of a kind, without the code of pages of other kinds."""
    return stage("render_page", f"dynamical_loss.explorer.{kind}")
