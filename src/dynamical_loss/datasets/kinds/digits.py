"""Handwritten digits: small images that train fast on any machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dynamical_loss.datasets.image_kind import ImageSettings
from dynamical_loss.datasets.kind import Shape

if TYPE_CHECKING:
    from dynamical_loss.datasets.images import Source


class DigitsSettings(ImageSettings):
    """Handwritten digits: grey images of 8×8 pixels, which are part of scikit-learn and train fast."""

    # The digits have no official split.  So 297 of the 1797 images are set apart as the validation set before
    # train_samples and validation_samples select from both sets.
    whole = Shape(1_500, 297, (8, 8, 1), 10)

    kind: Literal["digits"] = Field(
        description="kind of dataset; digits: 1797 handwritten digits, grey images of 8×8 pixels, of which "
        "297 drawn with sample_seed serve as the test set"
    )

    def read(self) -> Source:
        """See `ImageSettings`."""
        from dynamical_loss.datasets import digits

        return digits.read(self.whole.validation_samples, self.sample_seed)
