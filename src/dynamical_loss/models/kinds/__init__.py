"""One module a kind of network; a new module is a new kind."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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
