"""The kinds of network, one module for each.  A new module here adds a new kind."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dynamical_loss.kinds import kinds_in
from dynamical_loss.models.kind import ModelSettings
from dynamical_loss.settings import names_of, one_of

KINDS = kinds_in(sys.modules[__name__], ModelSettings)  # type: ignore[type-abstract]
"""Settings classes of all kinds; the default kind comes first."""

DEFAULT = KINDS[0].model_validate({})
"""Settings of the network that is trained if the settings name no network."""

NAMES = names_of(KINDS)
"""Names of all kinds, joined into text for messages."""

if TYPE_CHECKING:
    AnyModel = ModelSettings
else:
    AnyModel = one_of(*KINDS)
"""Settings of one network.  `kind` selects the settings class; without `kind` it is the perceptron."""
