"""What every kind of dataset says of itself.

A kind is one module of `datasets/kinds`: its settings, the sizes of what they make, and what makes it.
Nothing here reads or makes data.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from dynamical_loss.settings import Settings

if TYPE_CHECKING:
    import xarray as xr


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
        precision: of the inputs.
    """

    precision: ClassVar[str]

    kind: str

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Sizes of what these settings make."""

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

    def redrawn(self, noise_seed: int) -> Self:
        """The same dataset with its training noise drawn anew from that seed.

        Raises:
            ValueError: one line without the key, if this kind has no such noise, or not from that seed.
        """
        raise ValueError(f"a dataset of the kind {self.kind} has no noise to draw anew; leave it out")

    @property
    def location(self) -> Path | None:
        """The file or folder that the data are read from; None: they come with a package, or from nothing."""
        return None
