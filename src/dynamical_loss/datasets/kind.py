"""Base class of the settings of a dataset.

Each kind of dataset is one module of `datasets/kinds`.  That module defines the settings of the kind, the
sizes of the dataset that they lead to, and the function that prepares the dataset.  The code in this module
neither reads nor makes data.
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
    """Sizes of a dataset, which are known before the dataset is read.

    Attributes:
        train_samples: number of samples in the training set.
        validation_samples: number of samples in the validation set.
        sample: shape of one input.
        classes: number of classes C.
    """

    train_samples: int
    validation_samples: int
    sample: tuple[int, ...]
    classes: int


class DatasetSettings(Settings):
    """Settings of one dataset, and the properties that the rest of the pipeline asks every kind for.

    Attributes:
        draw_seed: name of the setting that `redrawn` changes; None if nothing in the dataset is random.
    """

    draw_seed: ClassVar[str | None] = None

    kind: str

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Sizes of the dataset that these settings describe."""

    @property
    @abstractmethod
    def precision(self) -> Precision:
        """Floating-point precision of the inputs of a network."""

    @abstractmethod
    def prepare(self) -> xr.Dataset:
        """Return the training and validation set, ready to be stored; see `loading.load` for the variables.

        Raises:
            UserError: if a file that the dataset is read from is missing or cannot be read.
        """

    @property
    @abstractmethod
    def seeds(self) -> list[int]:
        """Random seeds that the data were drawn from."""

    def redrawn(self, seed: int) -> Self:
        """Return settings that differ in the seed of the random draw alone.

        The seed decides the spiral's training noise, or which samples of a set are selected.

        Raises:
            ValueError: if the data cannot be drawn from that seed; the message is one line without the key.
        """
        if self.draw_seed is None:
            raise ValueError(f"a dataset of kind {self.kind} has no random draw to repeat; leave it out")
        try:
            return type(self).model_validate({**self.model_dump(), self.draw_seed: seed})
        except ValidationError as error:
            raise ValueError(f"{seed}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None

    @property
    def location(self) -> Path | None:
        """File or folder that the data are read from; None if a package holds them or they are computed."""
        return None
