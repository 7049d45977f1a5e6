"""Words about a result, from its attributes: its data, network, numbers, machine and sources."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dynamical_loss.figures.networks import label_of, optimiser_of
from dynamical_loss.notation import exact
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

_ATTRIBUTES = (
    ("data", "dataset_description"),
    ("training samples", "train_samples"),
    ("validation samples", "validation_samples"),
    ("training engine", "engine"),
    ("precision", "precision"),
    ("trained on", "trained_on"),
    ("device of this step", "device"),
    ("processor", "processor"),
    ("time of this step, s", "wall_seconds"),
    ("packages", "package_versions"),
    ("git commit", "git_commit"),
    ("work tree", "git_state"),
    ("digest of the code", "code_digest"),
    ("digest of the settings", "settings_digest"),
    ("checksum of the content", recorded.CONTENT),
    ("published copy", recorded.PUBLISHED),
    ("created", "created"),
)


def facts(roles: Mapping[str, Sequence[xr.Dataset]]) -> list[tuple[str, str]]:
    """Return pairs of words and values that say how the files of a page were made.

    Args:
        roles: files of each role.
    """
    found = []
    for role, files in roles.items():
        for file in files:
            attributes = file.attrs
            known = [(words, str(attributes[name])) for words, name in _ATTRIBUTES if name in attributes]
            found += [(f"{role}: {words}", value) for words, value in known]
            found.append((f"{role}: settings", json.dumps(recorded.settings_of(file), ensure_ascii=False)))
    return found


def described(settings: Mapping[str, Any], attributes: Mapping[str, Any]) -> str:
    """Return network, initialisation, optimiser, learning rate, loss and data of a training, in words.

    Args:
        settings: settings of the training, as a file records them.
        attributes: global attributes of the file.
    """
    model = recorded.setting(settings, "model", {})
    start = model.get("initialisation")
    rule = recorded.setting(settings, "learning_rate_rule.kind", "constant")
    base = float(settings["learning_rate"])
    rate = f"learning rate η = {exact(base)}"
    if rule != "constant":
        largest = exact(base * float(recorded.setting(settings, "learning_rate_rule.cap", 1.0)))
        rate = f"learning rate by the rule {rule}, at most {largest}"
    if recorded.setting(settings, "learning_rate_schedule"):
        rate += " times a schedule"
    batch = settings.get("batch_size")
    scale = settings.get("output_scale")
    loss = recorded.setting(settings, "loss.kind", "cross_entropy")
    words = [
        label_of(model),
        f"initialisation {start}" if isinstance(start, str) else "",
        optimiser_of(settings),
        f"batches of {batch}" if batch else "",
        rate,
        "" if loss == "cross_entropy" else f"loss {loss}",
        "" if scale is None else f"output scale {json.dumps(scale)}",
        str(attributes.get("dataset_description", attributes.get("dataset", "unknown data"))),
    ]
    return "; ".join(filter(None, words))
