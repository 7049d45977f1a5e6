"""One module a kind of dataset; a new module is a new kind."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dynamical_loss.datasets.kind import DatasetSettings
from dynamical_loss.kinds import kinds_in
from dynamical_loss.settings import names_of, one_of

KINDS = kinds_in(sys.modules[__name__], DatasetSettings)  # type: ignore[type-abstract]
"""The settings class of each, the default kind first."""

NAMES = names_of(KINDS)
"""Names of all kinds, for a sentence."""

if TYPE_CHECKING:
    AnyDataset = DatasetSettings
else:
    AnyDataset = one_of(*KINDS)
"""Settings of one dataset, told apart by `kind`; the spiral where that is left out."""
