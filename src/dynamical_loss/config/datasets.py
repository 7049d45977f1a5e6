"""Settings of the datasets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dynamical_loss.config.base import Count, Seed, Settings


class SpiralSettings(Settings):
    """The spiral of Fig. 2."""

    kind: Literal["spiral"] = Field("spiral", description="generator of the dataset")
    classes: Annotated[int, Field(ge=2)] = Field(3, description="arms, one per class")
    points_per_class: Count = Field(100, description="points on each arm")
    turns: Annotated[float, Field(gt=0)] = Field(2.0, description="revolutions of an arm")
    noise: Annotated[float, Field(ge=0)] = Field(0.2, description="standard deviation of the angle, radians")
    train_seed: Seed = Field(0, description="seed of the training noise; 0 is the authors'")
    validation_seed: Seed = Field(
        1, description="seed of the validation noise; the paper does not publish its own"
    )
