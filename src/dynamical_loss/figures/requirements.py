"""Checks and roles that several figures share."""

from __future__ import annotations

from dynamical_loss.config.figures import Configuration
from dynamical_loss.figures.declaration import Role
from dynamical_loss.results import layout

ANY_DIAGRAM = ("aggregate_phase", "gather_draws")
"""Stages that make phase diagrams: from one data set, and from several randomly drawn data sets."""


def phase_studies(key: str, *variables: str) -> Role:
    """Return the role of the phase diagrams of all studies that a key under `figures` lists.

    Args:
        key: key whose value is a list of keys of `phase`; the figure is not made if the list is empty.
        variables: variables that these phase diagrams must have, and that not every phase diagram has.
    """
    return Role(
        ANY_DIAGRAM,
        lambda config: [layout.phase(study) for study in getattr(config.figures, key)],
        variables,
    )


def require_setting(config: Configuration, key: str, section: str, study: str, setting: str) -> None:
    """Refuse a study whose kind of network lacks a setting by which a figure distinguishes networks.

    Args:
        config: the configuration.
        key: the key under `figures` that names the study.
        section: ``phase`` or ``trajectories``.
        study: name of the study.
        setting: name of a setting of the network, e.g. ``width``.

    Raises:
        ValueError: if the study is refused; one line names the key to change.
    """
    model = getattr(config, section)[study].model
    if setting not in type(model).model_fields:
        raise ValueError(
            f"{section}.{study}.model: figures.{key} distinguishes networks by their {setting}, and a "
            f"{model.kind} has none; name another study"
        )


def require_one_rate(config: Configuration, key: str, study: str) -> None:
    """Refuse a run whose learning rate changes, because the figure compares λ_max with one value of 2/η.

    Args:
        config: the configuration.
        key: the key under `figures` that names the study.
        study: name of the study.

    Raises:
        ValueError: if the study is refused; one line names the key to change.
    """
    if changing := config.trajectories[study].changes_rate:
        raise ValueError(
            f"trajectories.{study}.{changing}: figures.{key} compares λ_max with one value of 2/η; leave out "
            "this setting, or name another study"
        )


def require_both_losses(config: Configuration, key: str, study: str) -> None:
    """Refuse a phase study that lacks the static or the dynamical loss.

    Args:
        config: the configuration.
        key: the key under `figures` that names the study.
        study: name of the study.

    Raises:
        ValueError: if the study is refused; one line names the key to change.
    """
    amplitudes = config.phase[study].amplitudes
    if 1.0 not in amplitudes or max(amplitudes) == 1.0:
        raise ValueError(
            f"phase.{study}.amplitudes: figures.{key} needs an amplitude of 1 and one above 1; add them"
        )


def require_learning_curves(config: Configuration, key: str, study: str) -> None:
    """Refuse a phase study that lacks accuracies along its runs, or the static or the dynamical loss.

    Args:
        config: the configuration.
        key: the key under `figures` that names the study.
        study: name of the study.

    Raises:
        ValueError: if the study is refused; one line names the key to change.
    """
    require_both_losses(config, key, study)
    if not config.phase[study].learning_curves:
        raise ValueError(
            f"phase.{study}.learning_curves: figures.{key} shows learning curves; set this key to true"
        )
