"""What several figures ask of the studies that they show."""

from __future__ import annotations

from dynamical_loss.config.figures import Configuration
from dynamical_loss.figures.declaration import Role
from dynamical_loss.results import layout

ANY_DIAGRAM = ("aggregate_phase", "gather_draws")
"""Stages that make phase diagrams: of one set of data, and of several draws."""


def phase_studies(key: str, *variables: str) -> Role:
    """The phase diagrams of all studies that a key under `figures` lists.

    Args:
        key: of a list of keys of `phase`; with an empty one the figure is not made.
        variables: those that not every phase diagram has and these must have.
    """
    return Role(
        ANY_DIAGRAM,
        lambda config: [layout.phase(study) for study in getattr(config.figures, key)],
        variables,
    )


def require_setting(config: Configuration, key: str, section: str, study: str, setting: str) -> None:
    """Refuse a study whose kind of network does not have a setting that a figure tells networks apart by.

    Args:
        config: the configuration.
        key: the key under `figures` that names the study.
        section: ``phase`` or ``trajectories``.
        study: its name.
        setting: of the network, e.g. ``width``.

    Raises:
        ValueError: one line that names the key to change.
    """
    model = getattr(config, section)[study].model
    if setting not in type(model).model_fields:
        raise ValueError(
            f"{section}.{study}.model: figures.{key} tells networks apart by their {setting}, and a "
            f"{model.kind} has none; name another study"
        )


def require_one_rate(config: Configuration, key: str, study: str) -> None:
    """Refuse a run whose learning rate changes, where a figure holds λ_max against 2/η.

    Args:
        config: the configuration.
        key: the key under `figures` that names the study.
        study: its name.

    Raises:
        ValueError: one line that names the key to change.
    """
    if changing := config.trajectories[study].changes_rate:
        raise ValueError(
            f"trajectories.{study}.{changing}: figures.{key} holds λ_max against one 2/η; leave it out, or "
            "name another study"
        )


def require_both_losses(config: Configuration, key: str, study: str) -> None:
    """Refuse a phase study that lacks the static or the dynamical loss.

    Args:
        config: the configuration.
        key: the key under `figures` that names the study.
        study: its name.

    Raises:
        ValueError: one line that names the key to change.
    """
    amplitudes = config.phase[study].amplitudes
    if 1.0 not in amplitudes or max(amplitudes) == 1.0:
        raise ValueError(f"phase.{study}.amplitudes: figures.{key} needs 1 and one above 1; add them")


def require_learning_curves(config: Configuration, key: str, study: str) -> None:
    """Refuse a phase study that lacks one of the losses or does not keep accuracies along its runs.

    Args:
        config: the configuration.
        key: the key under `figures` that names the study.
        study: its name.

    Raises:
        ValueError: one line that names the key to change.
    """
    require_both_losses(config, key, study)
    if not config.phase[study].learning_curves:
        raise ValueError(f"phase.{study}.learning_curves: figures.{key} shows them; set it to true")
