"""Which code a job runs, from its settings: what its digest covers.

The Snakefile takes the digest as a trigger, and the job records it.
"""

from __future__ import annotations

import pkgutil

from dynamical_loss import models
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.kind import DatasetSettings, Shape
from dynamical_loss.models.kinds import KINDS, mlp
from dynamical_loss.results.digest import Code

_ENVIRONMENT = "dynamical_loss.environment"
"""What the command line sets before any of it is imported."""

_OTHER_ENGINES = {"xla": ("dynamical_loss.training.fused",), "fused": ("dynamical_loss.training.xla",)}

_KERNEL = ("dynamical_loss.probes.ntk",)
"""What training needs where its output is scaled."""


def stage(name: str, *modules: str, without: tuple[str, ...] = (), device: str = "cpu") -> Code:
    """The code of a stage, and of modules that it uses without importing them by name."""
    return Code((f"dynamical_loss.stages.{name}", *modules), without, device)


def dataset(settings: DatasetSettings) -> Code:
    """The code that prepares a dataset; that of other kinds does not count."""
    return stage("prepare_dataset", type(settings).__module__)


def training(name: str, settings: TrainingSettings, shape: Shape, device: str) -> Code:
    """The code of a stage that trains; that of other networks and engines does not count.

    Args:
        name: of the stage.
        settings: of the training.
        shape: of its data.
        device: ``cpu`` or ``gpu``.

    Raises:
        ValueError: if the settings ask for an engine that does not cover the problem.
    """
    engine = settings.trained_by(shape, device)
    kind = type(settings.model).__module__
    unused = _OTHER_ENGINES[engine] + (_KERNEL if settings.output_scale is None else ())
    return stage(name, kind, _ENVIRONMENT, without=unused, device=device)


def probing(settings: TrainingSettings, device: str) -> Code:
    """The code that probes a run with these settings; that of other networks does not count."""
    return stage("probe_spectrum", type(settings.model).__module__, _ENVIRONMENT, device=device)


def following(settings: TrainingSettings) -> Code:
    """The code that follows a run with these settings by flows; that of other networks does not count."""
    return stage("trace_flow", type(settings.model).__module__, _ENVIRONMENT)


def flowing() -> Code:
    """The code that follows networks by gradient flow; that of other networks does not count."""
    return stage("train_lazy_block", mlp.__name__, _ENVIRONMENT)


def figure(name: str) -> Code:
    """The code that renders a figure; that of other figures does not count.

    Names of networks come from their kinds, and the networks that these build are not looked at.
    """
    kinds = (kind.__module__ for kind in KINDS)
    networks = (f"{models.__name__}.{module.name}" for module in pkgutil.iter_modules(models.__path__))
    without = tuple(module for module in networks if module != "dynamical_loss.models.kind")
    return stage("render_figure", f"dynamical_loss.figures.{name}", *kinds, without=without)
