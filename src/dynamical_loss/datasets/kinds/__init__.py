"""Kinds of datasets, one per module; adding a module adds a kind."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dynamical_loss.datasets.kind import DatasetSettings
from dynamical_loss.kinds import kinds_in
from dynamical_loss.settings import names_of, one_of

KINDS = kinds_in(sys.modules[__name__], DatasetSettings)  # type: ignore[type-abstract]
"""Settings classes of all kinds, the default kind first."""

NAMES = names_of(KINDS)
"""Names of all kinds, joined as in a sentence: ``a, b or c``."""

if TYPE_CHECKING:
    AnyDataset = DatasetSettings
else:
    AnyDataset = one_of(*KINDS)
"""Settings of one dataset.  The key `kind` selects the class, and without it the dataset is the spiral."""
