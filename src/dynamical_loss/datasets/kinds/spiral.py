"""Spiral of Fig. 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from dynamical_loss.datasets.kind import DatasetSettings, Precision, Shape
from dynamical_loss.settings import Count, Seed

if TYPE_CHECKING:
    import xarray as xr


class SpiralSettings(DatasetSettings):
    """Spiral of Fig. 2: points in the plane along one arm per class."""

    draw_seed = "train_seed"

    kind: Literal["spiral"] = Field(
        "spiral", description="kind of dataset; spiral: points in the plane along one arm per class (Fig. 2)"
    )
    classes: Annotated[int, Field(ge=2)] = Field(
        3, description="number of arms of the spiral; each arm is one class"
    )
    points_per_class: Count = Field(100, description="number of training points on each arm")
    turns: Annotated[float, Field(gt=0)] = Field(2.0, description="number of revolutions that an arm makes")
    noise: Annotated[float, Field(ge=0)] = Field(
        0.2, description="standard deviation of the Gaussian noise on the angle of a point, in radians"
    )
    train_seed: Seed = Field(0, description="seed of the noise on the training points; the paper uses 0")
    validation_seed: Seed = Field(
        1,
        description="seed of the noise on the validation points, different from train_seed; the paper does "
        "not state its seed",
    )

    validation_points_per_class: Count | None = Field(
        None, description="number of validation points on each arm; null: as many as points_per_class"
    )
    validation_radius: Literal["linspace", "uniform", "sqrt"] = Field(
        "linspace",
        description="radii of the validation points, from 0 to 1; linspace: in equal steps, as for the "
        "training points; uniform: drawn at random from the uniform distribution; sqrt: the squares of the "
        "radii are in equal steps",
    )

    @model_validator(mode="after")
    def _validates_on_other_points(self) -> SpiralSettings:
        same_points = self._validation_points == self.points_per_class and self.noise > 0
        if self.train_seed == self.validation_seed and same_points and self.validation_radius == "linspace":
            raise ValueError(
                f"validation_seed: {self.validation_seed} is also train_seed, so both sets would have the "
                "same points; choose another seed"
            )
        return self

    @property
    def _validation_points(self) -> int:
        return self.validation_points_per_class or self.points_per_class

    @property
    def shape(self) -> Shape:
        """See `DatasetSettings`."""
        counts = self.classes * self.points_per_class, self.classes * self._validation_points
        return Shape(*counts, (2,), self.classes)

    @property
    def precision(self) -> Precision:
        """See `DatasetSettings`."""
        return "float64"

    @property
    def seeds(self) -> list[int]:
        """See `DatasetSettings`."""
        return [self.train_seed, self.validation_seed]

    def prepare(self) -> xr.Dataset:
        """See `DatasetSettings`."""
        from dynamical_loss.datasets.spiral import Arms, dataset

        return dataset(
            classes=self.classes,
            turns=self.turns,
            noise=self.noise,
            train=Arms(self.points_per_class, self.train_seed),
            validation=Arms(self._validation_points, self.validation_seed, self.validation_radius),
        )
