"""The spiral of Fig. 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from dynamical_loss.datasets.kind import DatasetSettings, Precision, Shape
from dynamical_loss.settings import Count, Seed

if TYPE_CHECKING:
    import xarray as xr


class SpiralSettings(DatasetSettings):
    """The spiral of Fig. 2."""

    draw_seed = "train_seed"

    kind: Literal["spiral"] = Field("spiral", description="kind of dataset")
    classes: Annotated[int, Field(ge=2)] = Field(3, description="arms, one per class")
    points_per_class: Count = Field(100, description="points on each arm")
    turns: Annotated[float, Field(gt=0)] = Field(2.0, description="revolutions of an arm")
    noise: Annotated[float, Field(ge=0)] = Field(0.2, description="standard deviation of the angle, radians")
    train_seed: Seed = Field(0, description="seed of the training noise; 0 is the authors'")
    validation_seed: Seed = Field(
        1, description="seed of the validation noise; the paper does not publish its own"
    )

    validation_points_per_class: Count | None = Field(
        None, description="points on each arm of the validation set; null: as many as for training"
    )
    validation_radius: Literal["linspace", "uniform", "sqrt"] = Field(
        "linspace",
        description="where on its arm a validation point lies, by its radius: in equal steps, as for "
        "training; drawn evenly; or in equal steps of its square",
    )

    @model_validator(mode="after")
    def _validates_on_other_points(self) -> SpiralSettings:
        same_points = self._validation_points == self.points_per_class and self.noise > 0
        if self.train_seed == self.validation_seed and same_points and self.validation_radius == "linspace":
            raise ValueError(
                f"validation_seed: {self.validation_seed} is the training noise's too, so both sets would be "
                "the same points; take another"
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
