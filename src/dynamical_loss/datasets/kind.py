"""What every kind of dataset says of itself.

A kind is one module of `datasets/kinds`: its settings, the sizes of what they make, and what makes it.
Nothing here reads or makes data.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

from pydantic import ValidationError

from dynamical_loss.settings import Settings

if TYPE_CHECKING:
    import xarray as xr

Precision = Literal["float32", "float64"]


class Shape(NamedTuple):
    """What can be told of a dataset before it is read.

    Attributes:
        train_samples: in the training set.
        validation_samples: in the validation set.
        sample: shape of one input.
        classes: C.
    """

    train_samples: int
    validation_samples: int
    sample: tuple[int, ...]
    classes: int


class DatasetSettings(Settings):
    """Settings of one dataset, and what all others ask of its kind.

    Attributes:
        draw_seed: the setting that `redrawn` changes; None where there is nothing to draw.
    """

    draw_seed: ClassVar[str | None] = None

    kind: str

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Sizes of what these settings make."""

    @property
    @abstractmethod
    def precision(self) -> Precision:
        """Floating-point precision of the inputs that a network is given."""

    @abstractmethod
    def prepare(self) -> xr.Dataset:
        """Training and validation set, ready to be stored; see `loading.load` for the variables.

        Raises:
            UserError: if something is to be read that cannot be, or is not there.
        """

    @property
    @abstractmethod
    def seeds(self) -> list[int]:
        """The random seeds behind the data."""

    def redrawn(self, seed: int) -> Self:
        """The same data drawn anew from that seed: the spiral's training noise, or which images are taken.

        Raises:
            ValueError: one line without the key, if it cannot be drawn from that seed.
        """
        if self.draw_seed is None:
            raise ValueError(f"a dataset of the kind {self.kind} has nothing to draw anew; leave it out")
        try:
            return type(self).model_validate({**self.model_dump(), self.draw_seed: seed})
        except ValidationError as error:
            raise ValueError(f"{seed}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None

    @property
    def location(self) -> Path | None:
        """The file or folder that the data are read from; None: they come with a package, or from nothing."""
        return None
