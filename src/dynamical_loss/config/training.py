"""Settings of training: network, loss, optimiser, grids and trajectories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from dynamical_loss import grid
from dynamical_loss.config.probes import ProbedRun
from dynamical_loss.config.reading import scalar
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.grid import Block
from dynamical_loss.models.kinds import DEFAULT as DEFAULT_MODEL
from dynamical_loss.models.kinds import NAMES, AnyModel
from dynamical_loss.notation import exact
from dynamical_loss.settings import Count, Runs, Seed, Settings

Period = Annotated[int, Field(gt=0)]
Steps = Annotated[int, Field(ge=1, lt=2**31)]  # the engines count them with 32 bits
Amplitude = Annotated[float, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


_MOST_JOBS = 100_000  # of a study; Snakemake itself takes minutes to plan so many
_SUMS = 24  # (features + 1) · classes up to which the fused loop is known to be worth it

Part = TypeVar("Part", bound=Settings)


class LossSettings(Settings):
    """The dynamical loss, and variants of it that leave out one of its parts."""

    kind: Literal["cross_entropy", "mse"] = Field("cross_entropy", description="base loss")
    waveform: Literal["triangle", "sine", "square"] = Field(
        "triangle", description="shape of the class weight over a period; triangle is the paper's"
    )
    rest_steps: Annotated[int, Field(ge=0)] = Field(
        0,
        description="steps with equal weights after each period of T: 0 as in Eq. 2; 1 as in the authors' "
        "notebooks, where the next class is in turn after T + 1 steps",
    )
    weighting: Literal["sample", "output"] = Field(
        "sample",
        description="what a class weight multiplies: the loss of the samples of its class (Eq. 1); or, of "
        "mse, the squared error of its output in every sample",
    )
    emphasis: Literal["class", "random_class", "random_group", "all"] = Field(
        "class",
        description="what is emphasised: one class after the other, as in the paper; all classes once a "
        "cycle in a random order; random groups of samples one after the other; or all classes at once",
    )
    normalisation: Literal["each_step", "cycle"] = Field(
        "each_step",
        description="the weights sum to the number of classes at each step (Eq. 5), or on average over a "
        "cycle",
    )
    cycles: Count | None = Field(
        None,
        description="passes through all classes after which the weights stay 1; null: until the last period",
    )

    @model_validator(mode="after")
    def _oscillates(self) -> LossSettings:
        if self.weighting == "output" and self.kind != "mse":
            raise ValueError("weighting: the outputs have errors of their own in mse alone; take sample")
        if self.emphasis == "all" and self.normalisation == "each_step":
            raise ValueError(
                "normalisation: with all classes at once the weights of each step would all be 1; take cycle"
            )
        if self.emphasis == "random_group" and self.weighting == "output":
            raise ValueError(
                "emphasis: groups of samples have no outputs of their own; take weighting sample"
            )
        return self


class OptimiserSettings(Settings):
    """An optimiser of optax; it receives the study's learning rate."""

    kind: str = Field("sgd", description="name of a function of optax that takes learning_rate")
    arguments: dict[str, float | bool | str] = Field(
        default_factory=dict,
        description="its other arguments, e.g. {momentum: 0.9, nesterov: true}",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0, description="λ; λw is added to the gradient, as for a loss with λ|w|²/2 more"
    )

    @property
    def remembers(self) -> bool:
        """Whether it keeps anything from step to step."""
        return self.kind != "sgd" or bool(self.arguments.get("momentum"))

    @property
    def is_plain(self) -> bool:
        """Whether it is gradient descent and nothing else."""
        return self.kind == "sgd" and not self.arguments and self.weight_decay == 0

    @field_validator("arguments", mode="before")
    @classmethod
    def _numbers_as_text(cls, arguments: Any) -> Any:
        """An argument may be text, so a number in quotes would be left as text."""
        if not isinstance(arguments, Mapping):
            return arguments
        return {key: scalar(value) if isinstance(value, str) else value for key, value in arguments.items()}

    @model_validator(mode="after")
    def _exists(self) -> OptimiserSettings:
        # Plain gradient descent needs no look at optax, whose import would slow every dry run.
        if self.kind != "sgd" or self.arguments:
            from dynamical_loss.optimisers import optimiser

            optimiser(self.kind, self.arguments)
        momentum = self.arguments.get("momentum")
        if isinstance(momentum, float) and not 0 <= momentum < 1:
            raise ValueError(
                f"momentum: {exact(momentum)} never comes to rest; take one from 0 up to below 1"
            )
        return self


class LearningRateRule(Settings):
    """What makes the learning rate of a step out of η."""

    kind: Literal["constant", "dal"] = Field(
        "constant",
        description="constant: η itself; dal, the drift-adjusted learning rate of arXiv 2302.01952: η times "
        "min(constant / ‖Hĝ‖^power, cap), with the Hessian and the gradient's direction of that step's loss",
    )
    power: Annotated[float, Field(gt=0)] = Field(1.0, description="of dal")
    constant: Annotated[float, Field(gt=0)] = Field(2.0, description="of dal, that of the paper's rule")
    cap: Annotated[float, Field(gt=0)] | None = Field(
        None, description="of dal: the largest multiple of η; 5 in the authors' code"
    )
    steps_of: Literal["own_run", "next_seed", "static_next_seed"] = Field(
        "own_run",
        description="whose curvature dal follows: that of the run; or that of one from the next "
        "initial seed, whose steps are replayed, under the same loss or the static one",
    )

    @model_validator(mode="after")
    def _is_bounded(self) -> LearningRateRule:
        if self.kind == "constant" and self.model_dump() != type(self).model_construct().model_dump():
            raise ValueError(
                "kind: constant has no power, constant, cap or steps of others; leave them out, or take dal"
            )
        if self.kind == "dal" and self.cap is None:
            raise ValueError(
                "cap: dal needs one: ‖Hĝ‖ comes close to 0, and without a cap ten of ten trial runs "
                "diverged; 5 is that of the authors' code"
            )
        return self

    @property
    def adjusts(self) -> bool:
        """Whether a step has to look at the curvature."""
        return self.kind == "dal"

    @property
    def replays(self) -> bool:
        """Whether it takes the steps of a run beside it."""
        return self.adjusts and self.steps_of != "own_run"


class TrainingSettings(Settings):
    """What all training runs of a study share."""

    dataset: str = Field("spiral", description="a key of `datasets`")
    model: AnyModel = Field(DEFAULT_MODEL, description=f"the network, of the kind {NAMES}")
    loss: LossSettings = Field(LossSettings(), description="the dynamical loss")
    output_scale: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="α: the prediction is α(f − f₀), with f₀ the network's output at the start, and the loss "
        "is divided by α²; null: f itself",
    )
    kernel_samples: Count = Field(
        300,
        description="of a study with output_scale: training samples, the first, of whose kernel the change "
        "along the run is kept",
    )
    optimiser: OptimiserSettings = Field(OptimiserSettings(), description="optimiser, from optax")
    precision: Literal["float32", "float64"] = Field(
        "float32", description="floating-point precision of training"
    )
    arithmetic: Literal["full", "tf32", "bfloat16"] = Field(
        "full",
        description="of a network's convolutions; full: that of precision; the others, faster on a GPU, "
        "keep parameters, optimiser and loss in float32 (tf32: products alone, on a CPU the same as full; "
        "bfloat16: activations too)",
    )
    engine: Literal["auto", "xla", "fused"] = Field(
        "auto",
        description="xla trains anything anywhere; fused, several times faster on a CPU, one hidden layer "
        "by plain sgd; auto takes it where it applies",
    )
    batching: Literal["auto", "sequential", "parallel"] = Field(
        "auto",
        description="the runs of a job one after the other or side by side; auto: one after the other on a "
        "CPU and for convolutions",
    )
    batch_size: Count | None = Field(
        None, description="samples a step, in a new random order each epoch; null: all of them"
    )
    learning_rate: LearningRate = Field(1.0, description="η")
    learning_rate_schedule: list[tuple[Fraction, NonNegative]] = Field(
        default_factory=list,
        description="points (fraction of the run, factor of η), straight lines between them; none: constant",
    )
    learning_rate_rule: LearningRateRule = Field(
        LearningRateRule(), description="what makes the learning rate of a step out of η"
    )
    oscillation_stop: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="fraction of the run after which Γ = 1; null: the last period is static"
    )
    steps: Steps = Field(35_000, description="minimisation steps; the paper has 35 000 in Fig. 3")
    epochs: Count | None = Field(
        None, description="length of the run in passes over the training set, in place of steps"
    )
    record_every: Count = Field(500, description="steps between records of loss and accuracy")
    evaluation_samples: Count | None = Field(
        None,
        description="of images: training and validation samples that records and probes look at, the first "
        "in their random order; null: all",
    )

    @model_validator(mode="after")
    def _usable_precision(self) -> Self:
        if self.arithmetic != "full" and self.precision != "float32":
            raise ValueError(f"arithmetic: {self.arithmetic} needs precision float32; set it, or take full")
        if self.arithmetic != "full" and not self.model.convolutional:
            raise ValueError("arithmetic: of convolutional networks only; take full")
        return self

    @model_validator(mode="after")
    def _ends_once(self) -> Self:
        if self.loss.cycles is not None and self.oscillation_stop is not None:
            raise ValueError(
                "loss.cycles: oscillation_stop says when the oscillation ends; give one of the two"
            )
        return self

    @model_validator(mode="after")
    def _can_be_adjusted(self) -> Self:
        if self.learning_rate_rule.adjusts and (self.optimiser.kind != "sgd" or self.optimiser.weight_decay):
            raise ValueError(
                "learning_rate_rule: dal scales the gradient of the loss before sgd, with or without "
                "momentum, takes it; take sgd without weight_decay"
            )
        if self.learning_rate_rule.replays and self.batch_size is not None:
            raise ValueError(
                "learning_rate_rule.steps_of: steps are replayed where each takes all samples; leave "
                "batch_size out, or take own_run"
            )
        return self

    @model_validator(mode="after")
    def _can_be_scaled(self) -> Self:
        if self.output_scale is None:
            return self
        if self.learning_rate_rule.adjusts:
            raise ValueError(
                "output_scale: dal follows the curvature of the network's own output; take a constant "
                "learning_rate_rule, or null"
            )
        if self.model.has_state:
            raise ValueError(
                f"output_scale: a {self.model.kind} has statistics, those of batch norm, that change along "
                "the run; take a network of some other kind, or null"
            )
        return self

    @field_validator("learning_rate_schedule")
    @classmethod
    def _ascending(cls, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        places = [place for place, _ in points]
        if places and (places != sorted(set(places)) or places[0] != 0 or places[-1] != 1):
            raise ValueError("fractions of the run must rise from 0 to 1; put the points in order")
        return points

    @property
    def oscillation_stop_step(self) -> int | None:
        """The step from which Γ = 1 by `oscillation_stop`; None where that is left open."""
        return None if self.oscillation_stop is None else round(self.oscillation_stop * self.steps)

    @property
    def changes_rate(self) -> str | None:
        """The key by which the learning rate changes from step to step; None if it does not."""
        if self.learning_rate_rule.adjusts:
            return "learning_rate_rule"
        return "learning_rate_schedule" if self.learning_rate_schedule else None

    def _only(self, kind: type[Part]) -> Part:
        """The settings of this group that belong to one of its base classes."""
        left_out = set() if self.is_resolved else {"steps"}
        return kind.model_validate(self.model_dump(include=set(kind.model_fields) - left_out))

    def looked_at(self, samples: int) -> int:
        """How many of so many samples records and probes look at."""
        return min(self.evaluation_samples or samples, samples)

    @property
    def is_gradient_descent(self) -> bool:
        """Whether a step is −η times the gradient over all training samples."""
        return self.optimiser.is_plain and self.batch_size is None

    @property
    def is_resolved(self) -> bool:
        """Whether `steps` is the length of the run."""
        return self.epochs is None or "steps" in self.model_fields_set

    def for_data(self, shape: Shape) -> Self:
        """These settings with `epochs` as steps, checked against the data.

        Raises:
            ValueError: one line that names the key, if they do not go together.
        """
        if self.batch_size is not None and self.batch_size > shape.train_samples:
            raise ValueError(
                f"batch_size: {self.batch_size} is more than the {shape.train_samples} training samples; "
                "take fewer"
            )
        if self.model.convolutional and len(shape.sample) != 3:
            raise ValueError(f"model: {self.model.kind} needs images, and '{self.dataset}' has none")
        if self.loss.emphasis == "random_group" and self.batch_size is not None:
            raise ValueError("loss.emphasis: random groups are of all samples; leave batch_size out")
        if self.evaluation_samples is not None and len(shape.sample) != 3:
            raise ValueError(
                f"evaluation_samples: '{self.dataset}' is no set of images in random order; leave it out"
            )
        most = max(shape.train_samples, shape.validation_samples)
        if (self.evaluation_samples or 0) > most:
            raise ValueError(
                f"evaluation_samples: '{self.dataset}' has no more than {most} samples in a set; take fewer"
            )
        self.trained_by(shape)
        return self.with_length(shape.train_samples)

    def trained_by(self, shape: Shape, device: str = "cpu") -> Literal["xla", "fused"]:
        """The engine that trains these settings: the one place that decides it.

        The fused loop, several times faster, trains a perceptron with one hidden layer by plain gradient
        descent on all samples, on a CPU; everything else is XLA's.

        Args:
            shape: of the data.
            device: what JAX calls the kind of device: ``cpu``, ``gpu`` or ``tpu``.

        Raises:
            ValueError: one line, if the settings ask for the fused loop and it does not apply.
        """
        plain = self.optimiser.is_plain and self.loss.weighting == "sample"
        plain = plain and self.loss.emphasis != "random_group"
        layer = self.model.hidden_layer if len(shape.sample) == 1 else None
        if self.engine == "fused" and (layer is None or not plain or self.batch_size is not None):
            raise ValueError(
                "engine: fused trains one hidden layer by full-batch sgd without arguments, with weights of "
                "classes; take auto or xla"
            )
        sums = (math.prod(shape.sample) + 1) * shape.classes
        if self.engine == "fused" and (sums > _SUMS or device != "cpu"):
            raise ValueError(
                f"engine: fused needs a CPU and few features and classes, here {math.prod(shape.sample)} and "
                f"{shape.classes} on a {device}; take auto or xla"
            )
        fits = layer is not None and plain and self.batch_size is None and sums <= _SUMS and device == "cpu"
        return "fused" if fits and self.engine != "xla" else "xla"

    def with_length(self, train_samples: int) -> Self:
        """These settings with `epochs` as steps.

        Raises:
            ValueError: if `steps` is given too and differs, or the run is too short for its period.
        """
        if self.epochs is None:
            return self
        steps = self.epochs * self.steps_per_epoch(train_samples)
        if "steps" in self.model_fields_set and self.steps != steps:
            raise ValueError(f"steps: {self.epochs} epochs are {steps} steps; give one of the two")
        try:
            return type(self).model_validate({**self.model_dump(), "steps": steps})
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    def steps_per_epoch(self, train_samples: int) -> int:
        """Steps of one pass over the training set; the last batch may be smaller."""
        return -(-train_samples // (self.batch_size or train_samples))


class PhaseSettings(TrainingSettings):
    """A (period, amplitude, seed) grid, one panel column of a phase diagram (Fig. 3)."""

    periods: Annotated[list[Period], Field(min_length=1)] = Field(
        [200], description="T, steps; each must leave one static period at the end of the run"
    )
    amplitudes: Annotated[list[Amplitude], Field(min_length=1)] = Field(
        [1.0, 10.0], description="A >= 1; A = 1 is the static loss, trained once for all periods"
    )
    seeds: Runs = Field(10, description="runs per cell, seeds 0 … n-1; the paper has 50")
    first_seed: Seed = Field(0, description="the first of them, if not 0")
    seeds_per_block: Runs = Field(
        10,
        description="runs per job; jobs hold whole blocks, so added seeds never retrain old ones",
    )
    amplitudes_per_block: Count = Field(
        1,
        description="amplitudes per job; more for a GPU, which trains all runs of a job at once, but an "
        "amplitude appended to the list then retrains the last block if that is not full",
    )
    noise_seeds: list[Seed] = Field(
        default_factory=list,
        description="the study once for each of these seeds of the training noise, or of which images are "
        "taken, each a new draw of the data; none: the dataset as it is",
    )
    draws: Literal["crossed", "paired"] = Field(
        "crossed",
        description="crossed: all initial seeds with each draw; paired: initial seed k with draw k alone",
    )
    learning_curves: bool = Field(
        False, description="keep accuracies along the runs in the phase diagram's file too (Fig. S3, S4)"
    )

    @property
    def training(self) -> TrainingSettings:
        """The settings that a run depends on: changing the grid never retrains a block."""
        return self._only(TrainingSettings)

    @property
    def _at_once(self) -> int:
        """Seeds of a job: of paired draws each has data of its own."""
        return 1 if self.draws == "paired" else self.seeds_per_block

    @property
    def has_crossed_draws(self) -> bool:
        """Whether its runs are over draws of the data and initial seeds, and not over seeds alone."""
        return bool(self.noise_seeds) and self.draws == "crossed"

    @property
    def all_seeds(self) -> range:
        """The initial seeds of each cell."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def blocks(self) -> list[Block]:
        """The grid, cut into what one job trains."""
        return grid.blocks(
            self.periods,
            self.amplitudes,
            self.seeds,
            self._at_once,
            self.amplitudes_per_block,
            self.first_seed,
        )

    def drawn(self, noise_seed: int) -> PhaseSettings:
        """The study of one draw of the data, an ordinary one."""
        alone: dict[str, Any] = {"dataset": grid.draw(self.dataset, noise_seed), "noise_seeds": []}
        if self.draws == "paired":
            first = self.first_seed + self.noise_seeds.index(noise_seed)
            alone |= {"draws": "crossed", "first_seed": first, "seeds": 1, "seeds_per_block": 1}
        return self.model_copy(update=alone)

    @field_validator("periods", "amplitudes", "noise_seeds")
    @classmethod
    def _distinct(cls, values: list[float]) -> list[float]:
        if len(set(values)) != len(values):
            raise ValueError("lists a value twice; remove one")
        return values

    @model_validator(mode="after")
    def _begins_with_a_block(self) -> PhaseSettings:
        if self.first_seed % self._at_once:
            raise ValueError(
                f"first_seed: {self.first_seed} is no multiple of seeds_per_block, {self.seeds_per_block}, "
                "and jobs hold whole blocks; change one"
            )
        return self

    @model_validator(mode="after")
    def _has_a_draw_for_each_seed(self) -> PhaseSettings:
        if self.draws == "paired" and len(self.noise_seeds) != self.seeds:
            raise ValueError(
                f"draws: {len(self.noise_seeds)} noise_seeds are not one for each of {self.seeds} seeds; "
                "name as many, or take crossed"
            )
        return self

    @model_validator(mode="after")
    def _few_enough_jobs(self) -> PhaseSettings:
        cells = len(self.periods) * len(self.amplitudes)
        jobs = cells * -(-self.seeds // self._at_once)
        if self.draws == "crossed":
            jobs *= max(1, len(self.noise_seeds))
        if jobs > _MOST_JOBS:
            raise ValueError(f"seeds_per_block: {jobs} jobs are more than {_MOST_JOBS}; take more in each")
        return self

    @model_validator(mode="after")
    def _names_are_short_enough(self) -> PhaseSettings:
        longest = max(self.blocks, key=lambda block: len(block.name))
        if len(longest.name) > grid.LONGEST_NAME:
            raise ValueError(
                f"amplitudes_per_block: {len(longest.amplitudes)} amplitudes make a file name of "
                f"{len(longest.name)} characters, and {grid.LONGEST_NAME} are the most; take fewer"
            )
        return self

    @model_validator(mode="after")
    def _leaves_a_static_period(self) -> PhaseSettings:
        if self.is_resolved and self.oscillation_stop is None:
            for period in self.periods:
                require_static_period(period, self.loss.rest_steps, self.steps, "periods")
        return self


def require_cycles(loss: LossSettings, periods: Sequence[int], classes: int, steps: int, key: str) -> None:
    """Refuse a number of cycles that the last period would cut short.

    Raises:
        ValueError: naming `key`.
    """
    for period in periods:
        cycle = period + loss.rest_steps
        most = grid.last_period_boundary(steps, cycle) // (classes * cycle)
        if loss.cycles is not None and loss.cycles > most:
            raise ValueError(
                f"{key}: {loss.cycles} cycles of {classes} periods of T = {period} do not fit into {steps} "
                f"steps; take at most {most}, or null"
            )


def require_static_period(period: int, rest: int, steps: int, key: str) -> None:
    """Refuse a period of which fewer than two fit into the run (one oscillating, one static).

    Raises:
        ValueError: naming `key`.
    """
    if 2 * (period + rest) > steps:
        raise ValueError(
            f"{key}: T = {period} leaves no static period at the end of {steps} steps; "
            f"take T <= {steps // 2 - rest} or more steps"
        )


class SnapshotWindow(Settings):
    """A stretch of a trajectory with denser snapshots."""

    start: Annotated[int, Field(ge=0)] = Field(description="first step")
    stop: Count = Field(description="last step")
    every: Count = Field(1, description="steps between snapshots, odd")


class SnapshotSettings(Settings):
    """When parameters are kept for the probes."""

    every: Count = Field(
        25, description="steps between snapshots, odd: even spacing sees one of the two branches"
    )
    windows: list[SnapshotWindow] = Field(
        default_factory=list, description="stretches with denser snapshots, e.g. Fig. 4's zoom"
    )
    optimiser_state: bool = Field(
        False, description="keep what the optimiser remembers too, for the probe of its own stability"
    )

    @model_validator(mode="after")
    def _odd(self) -> SnapshotSettings:
        for spacing in (self.every, *(window.every for window in self.windows)):
            if spacing % 2 == 0:
                raise ValueError(
                    f"snapshots every {spacing} steps see only one branch of the period-2 "
                    f"oscillation; take an odd number such as {spacing + 1}"
                )
        for window in self.windows:
            if window.stop <= window.start:
                raise ValueError(f"window start {window.start} is not before stop {window.stop}")
        return self

    def has(self, step: int) -> bool:
        """Whether there is a snapshot at a step of the run."""
        return step % self.every == 0 or any(
            step in range(window.start, window.stop + 1, window.every) for window in self.windows
        )


class TrajectorySettings(TrainingSettings):
    """One run followed step by step, with parameter snapshots (Fig. 4, Fig. 5)."""

    precision: Literal["float32", "float64"] = Field(
        "float64", description="floating-point precision of training and probes"
    )
    period: Period = Field(5_000, description="T, steps")
    amplitude: Amplitude = Field(70.0, description="A >= 1; A = 1 is the static loss")
    steps: Steps = Field(70_000, description="minimisation steps; the last period is static")
    record_every: Count = Field(
        1, description="steps between records; 1 is needed to see the period-2 oscillation"
    )
    snapshots: SnapshotSettings = Field(
        SnapshotSettings(), description="when parameters are kept for the probes"
    )

    @model_validator(mode="after")
    def _leaves_a_static_period(self) -> TrajectorySettings:
        if self.is_resolved and self.oscillation_stop is None:
            require_static_period(self.period, self.loss.rest_steps, self.steps, "period")
        return self

    @model_validator(mode="after")
    def _can_be_followed(self) -> TrajectorySettings:
        if self.loss.emphasis == "random_group":
            raise ValueError("loss.emphasis: a followed run keeps no groups for its probes; take class")
        return self

    @model_validator(mode="after")
    def _remembers_something(self) -> TrajectorySettings:
        if not self.snapshots.optimiser_state:
            return self
        if not self.optimiser.remembers:
            raise ValueError("snapshots.optimiser_state: this optimiser remembers nothing; set it to false")
        from dynamical_loss.optimisers import remembers_numbers

        if not remembers_numbers(self.optimiser.kind, self.optimiser.arguments):
            raise ValueError(
                f"snapshots.optimiser_state: {self.optimiser.kind} remembers more than numbers; set it to "
                "false"
            )
        return self

    @model_validator(mode="after")
    def _has_its_windows(self) -> TrajectorySettings:
        for window in self.snapshots.windows if self.is_resolved else ():
            if window.stop > self.steps:
                raise ValueError(
                    f"snapshots.windows: {window.start} to {window.stop} ends beyond the run of {self.steps} "
                    "steps; end it earlier"
                )
        return self

    def probed(self, shape: Shape, *, remembers: bool) -> ProbedRun:
        """What probes have to know of it.

        Args:
            shape: of its data.
            remembers: whether what the optimiser remembers is known at the snapshots.
        """
        samples = self.looked_at(shape.train_samples)
        return ProbedRun(
            parameters=self.model.size(shape).parameters,
            samples=samples,
            classes=shape.classes,
            steps=self.with_length(shape.train_samples).steps,
            batch_size=self.batch_size,
            remembers=remembers,
            descends=self.is_gradient_descent and samples == shape.train_samples,
            changes_rate=self.changes_rate,
            scaled=self.output_scale is not None,
            squared_error=self.loss.kind == "mse",
            record_every=self.record_every,
            snapshots=self.snapshots.has,
        )

    def at_learning_rate(
        self, learning_rate: float, width: int, *, scaled_spacing: bool = True
    ) -> TrajectorySettings:
        """The same run with every time scaled by 1/η, the paper's protocol for Fig. 5a.

        Args:
            learning_rate: η; the settings themselves are those of η = 1.
            width: hidden units.
            scaled_spacing: whether the spacing of snapshots scales too.

        Returns:
            settings with T/η, steps/η and snapshot spacing/η, rounded to whole (spacing: odd) steps.
        """

        def scaled(steps: int) -> int:
            return max(1, round(steps / learning_rate))

        def odd(steps: int) -> int:
            return 2 * (scaled(steps) // 2) + 1

        values: dict[str, Any] = self.model_dump()
        values["model"]["width"] = width
        period = scaled(self.period)
        # Whole periods first, so that rounding T to whole steps never costs one.
        whole, rest = divmod(self.steps, self.period)
        values.update(
            learning_rate=learning_rate,
            period=period,
            steps=whole * period + (scaled(rest) if rest else 0),
            snapshots={
                "every": odd(self.snapshots.every) if scaled_spacing else self.snapshots.every,
                "optimiser_state": self.snapshots.optimiser_state,
                "windows": [],
            },
        )
        return TrajectorySettings.model_validate(values)
