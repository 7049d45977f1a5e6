"""Handwritten digits, images for any machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dynamical_loss.datasets.image_kind import ImageSettings
from dynamical_loss.datasets.kind import Shape

if TYPE_CHECKING:
    from dynamical_loss.datasets.images import Source


class DigitsSettings(ImageSettings):
    """Handwritten digits, 8×8 grey, which scikit-learn brings along: images for any machine."""

    # There is no official split: 297 of 1797 are set apart before any part is taken.
    whole = Shape(1_500, 297, (8, 8, 1), 10)

    kind: Literal["digits"] = Field(description="kind of dataset")

    def read(self) -> Source:
        """See `ImageSettings`."""
        from dynamical_loss.datasets import digits

        return digits.read(self.whole.validation_samples, self.sample_seed)
