"""One module a kind of network; a new module is a new kind."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from dynamical_loss.kinds import kinds_in
from dynamical_loss.models.kind import ModelSettings
from dynamical_loss.settings import names_of, one_of

KINDS = kinds_in(sys.modules[__name__], ModelSettings)  # type: ignore[type-abstract]
"""The settings class of each, the default kind first."""

DEFAULT = KINDS[0].model_validate({})
"""The network where the settings name none."""

NAMES = names_of(KINDS)
"""Names of all kinds, for a sentence."""

if TYPE_CHECKING:
    AnyModel = ModelSettings
else:
    AnyModel = one_of(*KINDS)
"""Settings of one network, told apart by `kind`; the perceptron where that is left out."""


def label_of(model: Mapping[str, Any]) -> str:
    """Name and size of a network for the readers of a figure, from its recorded settings.

    Of a kind that is gone, or that takes other settings now, the name of the kind is all that is known.
    """
    try:
        settings: ModelSettings = TypeAdapter(AnyModel).validate_python(dict(model))
    except ValidationError:
        return str(model.get("kind", "a network"))
    return settings.label
