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
from dynamical_loss.settings import LARGEST_SEED, Count, Runs, Seed, Settings

Period = Annotated[int, Field(gt=0)]
Steps = Annotated[int, Field(ge=1, lt=2**31)]  # the engines count steps with 32 bits
Amplitude = Annotated[float, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


_MOST_JOBS = 100_000  # in a study; Snakemake needs minutes to plan that many
_SUMS = 24  # largest (features + 1) · classes for which the fused loop was measured to be faster

Part = TypeVar("Part", bound=Settings)


class LossSettings(Settings):
    """The dynamical loss, and variants that leave out one of its ingredients."""

    kind: Literal["cross_entropy", "mse"] = Field(
        "cross_entropy",
        description="base loss. cross_entropy: in nats; mse: half the squared error, summed over the outputs",
    )
    waveform: Literal["triangle", "sine", "square"] = Field(
        "triangle",
        description="shape of the oscillating class weight over one period. triangle: straight up and down, "
        "as in the paper; sine: a smooth raised cosine; square: A during the middle half of the period, 1 "
        "otherwise",
    )
    rest_steps: Annotated[int, Field(ge=0)] = Field(
        0,
        description="number of steps with equal class weights after each period of T steps. 0: none, as in "
        "Eq. 2; 1: as in the authors' notebooks, where the next class is emphasised after T + 1 steps",
    )
    weighting: Literal["sample", "output"] = Field(
        "sample",
        description="what a class weight multiplies. sample: the loss of the samples of its class (Eq. 1); "
        "output, for mse only: the squared error of the output of its class, in every sample",
    )
    emphasis: Literal["class", "random_class", "random_group", "all"] = Field(
        "class",
        description="what the class weights emphasise. class: one class after another, as in the paper; "
        "random_class: every class once in each cycle, in a new random order; random_group: random groups "
        "of samples, one after another; all: all classes at once",
    )
    normalisation: Literal["each_step", "cycle"] = Field(
        "each_step",
        description="when the class weights sum to the number of classes. each_step: at every step (Eq. 5); "
        "cycle: on average over a cycle through all classes",
    )
    cycles: Count | None = Field(
        None,
        description="number of cycles through all classes after which the class weights stay at 1; null: "
        "they oscillate until the last period, or until oscillation_stop",
    )

    @model_validator(mode="after")
    def _oscillates(self) -> LossSettings:
        if self.weighting == "output" and self.kind != "mse":
            raise ValueError(
                "weighting: output needs a separate error for each output, which only mse has; take sample"
            )
        if self.emphasis == "all" and self.normalisation == "each_step":
            raise ValueError(
                "normalisation: with emphasis all, each_step would set every weight to 1; take cycle"
            )
        if self.emphasis == "random_group" and self.weighting == "output":
            raise ValueError(
                "emphasis: random_group weighs samples, and a group of samples has no outputs; set weighting "
                "to sample"
            )
        return self


class OptimiserSettings(Settings):
    """An optimiser from optax, used with the study's learning rate."""

    kind: str = Field(
        "sgd",
        description="name of the optimiser: any function of optax that takes a learning_rate, e.g. sgd, adam "
        "or rmsprop",
    )
    arguments: dict[str, float | bool | str] = Field(
        default_factory=dict,
        description="further arguments of that optax function, e.g. {momentum: 0.9, nesterov: true}",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="λ, coefficient of weight decay: λw is added to the gradient, as if the loss had the "
        "term λ|w|²/2",
    )

    @property
    def remembers(self) -> bool:
        """Whether the optimiser keeps a state from one step to the next."""
        return self.kind != "sgd" or bool(self.arguments.get("momentum"))

    @property
    def is_plain(self) -> bool:
        """Whether the optimiser is gradient descent without momentum or weight decay."""
        return self.kind == "sgd" and not self.arguments and self.weight_decay == 0

    @field_validator("arguments", mode="before")
    @classmethod
    def _numbers_as_text(cls, arguments: Any) -> Any:
        """Read numbers that were given in quotes; the type of an argument also admits text."""
        if not isinstance(arguments, Mapping):
            return arguments
        return {key: scalar(value) if isinstance(value, str) else value for key, value in arguments.items()}

    @model_validator(mode="after")
    def _exists(self) -> OptimiserSettings:
        # Plain gradient descent is known to exist; importing optax to check it would slow every dry run.
        if self.kind != "sgd" or self.arguments:
            from dynamical_loss.optimisers import optimiser

            optimiser(self.kind, self.arguments)
        momentum = self.arguments.get("momentum")
        if isinstance(momentum, float) and not 0 <= momentum < 1:
            raise ValueError(
                f"momentum: {exact(momentum)} does not converge; take at least 0 and less than 1"
            )
        return self


class LearningRateRule(Settings):
    """Rule that sets the learning rate of each step, starting from η."""

    kind: Literal["constant", "dal"] = Field(
        "constant",
        description="rule for the learning rate of a step. constant: η itself; dal: the drift-adjusted "
        "learning rate of arXiv 2302.01952, which is η · min(constant / ‖Hĝ‖^power, cap), where H is the "
        "Hessian of that step's loss and ĝ the direction of its gradient",
    )
    power: Annotated[float, Field(gt=0)] = Field(1.0, description="for dal only: exponent of ‖Hĝ‖")
    constant: Annotated[float, Field(gt=0)] = Field(
        2.0, description="for dal only: numerator of the rule; 2 in arXiv 2302.01952"
    )
    cap: Annotated[float, Field(gt=0)] | None = Field(
        None, description="for dal only, where it is required: largest multiple of η; 5 in the authors' code"
    )
    steps_of: Literal["own_run", "next_seed", "static_next_seed"] = Field(
        "own_run",
        description="for dal only: run whose curvature sets the learning rates. own_run: the run itself; "
        "next_seed: a second run from the next initial seed, whose learning rates are replayed; "
        "static_next_seed: such a second run under the static loss",
    )

    @model_validator(mode="after")
    def _is_bounded(self) -> LearningRateRule:
        if self.kind == "constant" and self.model_dump() != type(self).model_construct().model_dump():
            raise ValueError(
                "kind: constant takes no power, constant, cap or steps_of; leave them out, or take dal"
            )
        if self.kind == "dal" and self.cap is None:
            raise ValueError(
                "cap: dal needs a cap, because ‖Hĝ‖ comes close to 0 (without a cap, ten of ten trial runs "
                "diverged); set it, e.g. to 5 as in the authors' code"
            )
        return self

    @property
    def adjusts(self) -> bool:
        """Whether each step needs the curvature."""
        return self.kind == "dal"

    @property
    def replays(self) -> bool:
        """Whether the learning rates are those of a second run, trained at the same time."""
        return self.adjusts and self.steps_of != "own_run"


class TrainingSettings(Settings):
    """Settings that all training runs of a study share."""

    dataset: str = Field("spiral", description="name of the dataset, a key of `datasets`")
    model: AnyModel = Field(DEFAULT_MODEL, description=f"network; its kind is {NAMES}")
    loss: LossSettings = Field(LossSettings(), description="dynamical loss")
    output_scale: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="α, output scale: the prediction is α(f − f₀), where f is the network's output and f₀ "
        "its output at the initial weights, and the loss is divided by α²; null: the prediction is f itself",
    )
    kernel_samples: Count = Field(
        300,
        description="for studies with an output_scale only: number of training samples on which the change "
        "of the neural tangent kernel along the run is measured; the first ones are taken",
    )
    optimiser: OptimiserSettings = Field(OptimiserSettings(), description="optimiser, taken from optax")
    precision: Literal["float32", "float64"] = Field(
        "float32", description="floating-point precision of training"
    )
    arithmetic: Literal["full", "tf32", "bfloat16"] = Field(
        "full",
        description="number format in which convolutions are computed. full: the format that `precision` "
        "names; tf32: only the factors of products are rounded, which is faster on a GPU and has no effect "
        "on a CPU; bfloat16: activations are rounded too. Parameters, optimiser and loss stay in float32",
    )
    engine: Literal["auto", "xla", "fused"] = Field(
        "auto",
        description="program that trains. xla: covers every case; fused: several times faster, but only for "
        "one hidden layer trained by plain sgd on a CPU; auto: fused where it applies, otherwise xla",
    )
    batching: Literal["auto", "sequential", "parallel"] = Field(
        "auto",
        description="how the runs of one job are computed. sequential: one after another; parallel: at the "
        "same time; auto: sequential on a CPU and for convolutional networks, otherwise parallel",
    )
    batch_size: Count | None = Field(
        None,
        description="number of samples in a batch; the samples are randomly shuffled in each epoch; null: "
        "every step uses all samples",
    )
    learning_rate: LearningRate = Field(1.0, description="η, learning rate")
    learning_rate_schedule: list[tuple[Fraction, NonNegative]] = Field(
        default_factory=list,
        description="schedule of the learning rate: points (fraction of the run, factor of η), joined by "
        "straight lines; an empty list keeps η constant",
    )
    learning_rate_rule: LearningRateRule = Field(
        LearningRateRule(), description="rule that sets the learning rate of each step, starting from η"
    )
    oscillation_stop: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="fraction of the run after which all class weights Γ are 1; null: only the last period "
        "is static",
    )
    steps: Steps = Field(
        35_000, description="length of the run in minimisation steps; 35 000 in Fig. 3 of the paper"
    )
    epochs: Count | None = Field(
        None,
        description="length of the run in passes over the training set, given in place of steps; null: "
        "`steps` is the length",
    )
    record_every: Count = Field(500, description="number of steps between records of loss and accuracy")
    evaluation_samples: Count | None = Field(
        None,
        description="for image datasets only: number of training samples and of validation samples on which "
        "records and probes are evaluated; the images are in random order, and the first ones are taken; "
        "null: all samples",
    )

    @model_validator(mode="after")
    def _usable_precision(self) -> Self:
        if self.arithmetic != "full" and self.precision != "float32":
            raise ValueError(f"arithmetic: {self.arithmetic} needs precision float32; set it, or take full")
        if self.arithmetic != "full" and not self.model.convolutional:
            raise ValueError("arithmetic: only convolutional networks have a choice; take full")
        return self

    @model_validator(mode="after")
    def _ends_once(self) -> Self:
        if self.loss.cycles is not None and self.oscillation_stop is not None:
            raise ValueError(
                "loss.cycles: oscillation_stop also sets the end of the oscillation; give one of the two"
            )
        return self

    @model_validator(mode="after")
    def _can_be_adjusted(self) -> Self:
        if self.learning_rate_rule.adjusts and (self.optimiser.kind != "sgd" or self.optimiser.weight_decay):
            raise ValueError(
                "learning_rate_rule: dal works with sgd only, with or without momentum, and without "
                "weight_decay; take sgd, and leave weight_decay out"
            )
        if self.learning_rate_rule.replays and self.batch_size is not None:
            raise ValueError(
                "learning_rate_rule.steps_of: learning rates can be replayed only without batches; leave "
                "batch_size out, or take own_run"
            )
        return self

    @model_validator(mode="after")
    def _can_be_scaled(self) -> Self:
        if self.output_scale is None:
            return self
        if self.learning_rate_rule.adjusts:
            raise ValueError(
                "output_scale: dal uses the curvature for the network's own, unscaled output; take a "
                "constant learning_rate_rule, or null"
            )
        if self.model.has_state:
            raise ValueError(
                f"output_scale: a {self.model.kind} has statistics of batch norm, which change along the "
                "run; take another kind of network, or null"
            )
        return self

    @field_validator("learning_rate_schedule")
    @classmethod
    def _ascending(cls, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        places = [place for place, _ in points]
        if places and (places != sorted(set(places)) or places[0] != 0 or places[-1] != 1):
            raise ValueError("the fractions of the run must rise from 0 to 1; put the points in order")
        return points

    def oscillation_end(self, period: int, classes: int) -> int:
        """Return `grid.oscillation_end` of a run, the first step of its static end.

        Args:
            period: T, in steps.
            classes: number of classes.

        Raises:
            ValueError: if the period is too long to leave a static period at the end of the run.
        """
        return grid.oscillation_end(
            self.steps,
            period + self.loss.rest_steps,
            stop=self.oscillation_stop,
            most_periods=None if self.loss.cycles is None else self.loss.cycles * classes,
        )

    @property
    def changes_rate(self) -> str | None:
        """The key that makes the learning rate change from step to step; None if the rate is constant."""
        if self.learning_rate_rule.adjusts:
            return "learning_rate_rule"
        return "learning_rate_schedule" if self.learning_rate_schedule else None

    def _only(self, kind: type[Part]) -> Part:
        """Return the part of these settings that belongs to a base class of this class."""
        left_out = set() if self.is_resolved else {"steps"}
        return kind.model_validate(self.model_dump(include=set(kind.model_fields) - left_out))

    def looked_at(self, samples: int) -> int:
        """Return on how many of `samples` samples records and probes are evaluated."""
        return min(self.evaluation_samples or samples, samples)

    @property
    def is_gradient_descent(self) -> bool:
        """Whether a step equals −η times the gradient over all training samples."""
        return self.optimiser.is_plain and self.batch_size is None

    @property
    def is_resolved(self) -> bool:
        """Whether `steps` holds the length of the run, rather than `epochs` alone."""
        return self.epochs is None or "steps" in self.model_fields_set

    def for_data(self, shape: Shape) -> Self:
        """Return these settings with `epochs` converted to steps, after checking them against the data.

        Args:
            shape: sizes of the dataset.

        Raises:
            ValueError: one line that names the key, if the settings do not fit the data.
        """
        if self.batch_size is not None and self.batch_size > shape.train_samples:
            raise ValueError(
                f"batch_size: {self.batch_size} is more than the {shape.train_samples} training samples; "
                "take fewer"
            )
        if self.model.convolutional and len(shape.sample) != 3:
            raise ValueError(f"model: {self.model.kind} needs images, and '{self.dataset}' has none")
        if self.loss.emphasis == "random_group" and self.batch_size is not None:
            raise ValueError(
                "loss.emphasis: random_group needs all samples in every step; leave batch_size out"
            )
        if self.evaluation_samples is not None and len(shape.sample) != 3:
            raise ValueError(f"evaluation_samples: '{self.dataset}' is not an image dataset; leave it out")
        most = max(shape.train_samples, shape.validation_samples)
        if (self.evaluation_samples or 0) > most:
            raise ValueError(
                f"evaluation_samples: '{self.dataset}' has no more than {most} samples in a set; take fewer"
            )
        self.trained_by(shape)
        return self.with_length(shape.train_samples)

    def trained_by(self, shape: Shape, device: str = "cpu") -> Literal["xla", "fused"]:
        """Return the engine that trains with these settings; no other place decides this.

        The fused loop is several times faster.  It trains a perceptron with one hidden layer by plain
        gradient descent on all samples, on a CPU.  XLA trains everything else.

        Args:
            shape: sizes of the dataset.
            device: kind of device by JAX's name: ``cpu``, ``gpu`` or ``tpu``.

        Raises:
            ValueError: one line, if the settings ask for the fused loop and it does not apply.
        """
        plain = self.optimiser.is_plain and self.loss.weighting == "sample"
        plain = plain and self.loss.emphasis != "random_group"
        layer = self.model.hidden_layer if len(shape.sample) == 1 else None
        if self.engine == "fused" and (layer is None or not plain or self.batch_size is not None):
            raise ValueError(
                "engine: fused trains one hidden layer by full-batch sgd without arguments, and with class "
                "weights on samples; take auto or xla"
            )
        sums = (math.prod(shape.sample) + 1) * shape.classes
        if self.engine == "fused" and (sums > _SUMS or device != "cpu"):
            raise ValueError(
                "engine: fused needs a CPU and few features and classes; here there are "
                f"{math.prod(shape.sample)} and {shape.classes}, on a {device}; take auto or xla"
            )
        fits = layer is not None and plain and self.batch_size is None and sums <= _SUMS and device == "cpu"
        return "fused" if fits and self.engine != "xla" else "xla"

    def with_length(self, train_samples: int) -> Self:
        """Return these settings with `epochs` converted to steps.

        Args:
            train_samples: number of training samples.

        Raises:
            ValueError: if `steps` is also given and differs, or if the run is too short for its period.
        """
        if self.epochs is None:
            return self
        steps = self.epochs * self.steps_per_epoch(train_samples)
        if "steps" in self.model_fields_set and self.steps != steps:
            raise ValueError(f"steps: {self.epochs} epochs are {steps} steps; give only one of the two")
        try:
            return type(self).model_validate({**self.model_dump(), "steps": steps})
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    def steps_per_epoch(self, train_samples: int) -> int:
        """Return the number of steps in one pass over the training set; the last batch may be smaller."""
        return -(-train_samples // (self.batch_size or train_samples))


class PhaseSettings(TrainingSettings):
    """A grid of runs over (period, amplitude, seed): one column of panels of a phase diagram (Fig. 3)."""

    periods: Annotated[list[Period], Field(min_length=1)] = Field(
        [200],
        description="T, periods of the oscillation in steps; each must be short enough to leave one static "
        "period at the end of the run",
    )
    amplitudes: Annotated[list[Amplitude], Field(min_length=1)] = Field(
        [1.0, 10.0],
        description="A, amplitudes of the class weights, at least 1; A = 1 is the static loss, which is "
        "trained once for all periods",
    )
    seeds: Runs = Field(
        10,
        description="n, number of runs in each cell (T, A), with initial seeds first_seed … first_seed + n − "
        "1; the paper has 50",
    )
    first_seed: Seed = Field(0, description="smallest initial seed, a multiple of seeds_per_block")
    seeds_per_block: Runs = Field(
        10,
        description="number of seeds that one job trains; a job always trains a whole block of seeds, so "
        "adding seeds later never retrains old ones",
    )
    amplitudes_per_block: Count = Field(
        1,
        description="largest number of amplitudes that one job trains. Take more for a GPU, which trains all "
        "runs of a job at once; an amplitude appended to the list then retrains the last block, unless that "
        "block is full",
    )
    noise_seeds: list[Seed] = Field(
        default_factory=list,
        description="seeds of further draws of the data (of the training noise, or of the choice of images); "
        "the study is repeated for each draw; an empty list uses the dataset as it is",
    )
    draws: Literal["crossed", "paired"] = Field(
        "crossed",
        description="how initial seeds and draws of the data are combined. crossed: every initial seed with "
        "every draw; paired: initial seed k with draw k only",
    )
    learning_curves: bool = Field(
        False,
        description="whether the file of the phase diagram also keeps the accuracies along the runs (Fig. "
        "S3, S4, and the explorer's curves of a cell)",
    )

    @property
    def training(self) -> TrainingSettings:
        """The settings that a run depends on; the grid is not among them, so changing it never retrains."""
        return self._only(TrainingSettings)

    @property
    def _at_once(self) -> int:
        """Number of seeds in a job: 1 for paired draws, where every seed has different data."""
        return 1 if self.draws == "paired" else self.seeds_per_block

    @property
    def has_crossed_draws(self) -> bool:
        """Whether the runs vary both the draw of the data and the initial seed."""
        return bool(self.noise_seeds) and self.draws == "crossed"

    @property
    def all_seeds(self) -> range:
        """The initial seeds of each cell."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def blocks(self) -> list[Block]:
        """The grid, cut into the blocks that one job trains."""
        return grid.blocks(
            self.periods,
            self.amplitudes,
            self.seeds,
            self._at_once,
            self.amplitudes_per_block,
            self.first_seed,
        )

    def drawn(self, noise_seed: int) -> PhaseSettings:
        """Return the study of one draw of the data, which is an ordinary study without `noise_seeds`."""
        alone: dict[str, Any] = {"dataset": grid.draw(self.dataset, noise_seed), "noise_seeds": []}
        if self.draws == "paired":
            first = self.first_seed + self.noise_seeds.index(noise_seed)
            alone |= {"draws": "crossed", "first_seed": first, "seeds": 1, "seeds_per_block": 1}
        return self.model_copy(update=alone)

    @field_validator("periods", "amplitudes", "noise_seeds")
    @classmethod
    def _distinct(cls, values: list[float]) -> list[float]:
        if len(set(values)) != len(values):
            raise ValueError("the list has a value twice; remove one of them")
        return values

    @model_validator(mode="after")
    def _begins_with_a_block(self) -> PhaseSettings:
        if self.first_seed % self._at_once:
            raise ValueError(
                f"first_seed: {self.first_seed} is not a multiple of seeds_per_block, "
                f"{self.seeds_per_block}, and jobs train whole blocks; change one of the two"
            )
        # A rule may replay the steps of the run with the next seed.
        last = max(block.last_seed for block in self.blocks)
        if last + self.learning_rate_rule.replays > LARGEST_SEED:
            raise ValueError(
                f"first_seed: {self.seeds} seeds from {self.first_seed} on exceed the largest seed, "
                f"{LARGEST_SEED}; take a smaller one"
            )
        return self

    @model_validator(mode="after")
    def _has_a_draw_for_each_seed(self) -> PhaseSettings:
        if self.draws == "paired" and len(self.noise_seeds) != self.seeds:
            raise ValueError(
                f"draws: paired needs as many noise_seeds as seeds; here there are {len(self.noise_seeds)} "
                f"noise_seeds and {self.seeds} seeds; give equally many, or take crossed"
            )
        return self

    @model_validator(mode="after")
    def _few_enough_jobs(self) -> PhaseSettings:
        cells = len(self.periods) * len(self.amplitudes)
        jobs = cells * -(-self.seeds // self._at_once)
        if self.draws == "crossed":
            jobs *= max(1, len(self.noise_seeds))
        if jobs > _MOST_JOBS:
            raise ValueError(
                f"seeds_per_block: {jobs} jobs are more than {_MOST_JOBS}; take more seeds per block"
            )
        return self

    @model_validator(mode="after")
    def _names_are_short_enough(self) -> PhaseSettings:
        longest = max(self.blocks, key=lambda block: len(block.name))
        if len(longest.name) > grid.LONGEST_NAME:
            raise ValueError(
                f"amplitudes_per_block: {len(longest.amplitudes)} amplitudes make a file name of "
                f"{len(longest.name)} characters, and at most {grid.LONGEST_NAME} are allowed; take fewer"
            )
        return self

    @model_validator(mode="after")
    def _leaves_a_static_period(self) -> PhaseSettings:
        if self.is_resolved and self.oscillation_stop is None:
            for period in self.periods:
                require_static_period(period, self.loss.rest_steps, self.steps, "periods")
        return self


def require_cycles(loss: LossSettings, periods: Sequence[int], classes: int, steps: int, key: str) -> None:
    """Refuse a number of cycles that does not fit into the run before its last, static period.

    Args:
        loss: settings of the loss.
        periods: T in steps.
        classes: number of classes.
        steps: length of the run.
        key: name of the setting in the error.

    Raises:
        ValueError: one line that names `key`.
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
    """Refuse a period that fits fewer than two times into the run (one oscillating, one static).

    Args:
        period: T in steps.
        rest: number of steps with equal weights after each period.
        steps: length of the run.
        key: name of the setting in the error.

    Raises:
        ValueError: one line that names `key`.
    """
    if 2 * (period + rest) > steps:
        raise ValueError(
            f"{key}: T = {period} leaves no static period at the end of {steps} steps; "
            f"take T <= {steps // 2 - rest} or more steps"
        )


class SnapshotWindow(Settings):
    """A stretch of a trajectory with denser snapshots."""

    start: Annotated[int, Field(ge=0)] = Field(description="first step of the window")
    stop: Count = Field(description="last step of the window")
    every: Count = Field(1, description="number of steps between snapshots, an odd number")


class SnapshotSettings(Settings):
    """When the parameters are kept for the probes."""

    every: Count = Field(
        25,
        description="number of steps between snapshots; it must be odd, because an even number sees only one "
        "of the two branches of a period-2 oscillation",
    )
    windows: list[SnapshotWindow] = Field(
        default_factory=list,
        description="stretches of the run with denser snapshots, e.g. for the zoom of Fig. 4",
    )
    optimiser_state: bool = Field(
        False,
        description="whether a snapshot also keeps the optimiser's state (e.g. momentum), which the probe of "
        "the optimiser's stability needs",
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
                raise ValueError(f"window start {window.start} is not before stop {window.stop}; swap them")
        return self

    def has(self, step: int) -> bool:
        """Return whether there is a snapshot at a step of the run."""
        return step % self.every == 0 or any(
            step in range(window.start, window.stop + 1, window.every) for window in self.windows
        )


class TrajectorySettings(TrainingSettings):
    """One run that is recorded along the way, with snapshots of its parameters (Fig. 4, Fig. 5)."""

    precision: Literal["float32", "float64"] = Field(
        "float64", description="floating-point precision of training and probes"
    )
    period: Period = Field(5_000, description="T, period of the oscillation in steps")
    amplitude: Amplitude = Field(
        70.0, description="A, amplitude of the class weights, at least 1; A = 1 is the static loss"
    )
    steps: Steps = Field(
        70_000, description="length of the run in minimisation steps; the last period is static"
    )
    record_every: Count = Field(
        1,
        description="number of steps between records of loss and accuracy; 1 is needed to see the period-2 "
        "oscillation",
    )
    snapshots: SnapshotSettings = Field(
        SnapshotSettings(), description="when the parameters are kept for the probes"
    )

    @model_validator(mode="after")
    def _leaves_a_static_period(self) -> TrajectorySettings:
        if self.is_resolved and self.oscillation_stop is None:
            require_static_period(self.period, self.loss.rest_steps, self.steps, "period")
        return self

    @model_validator(mode="after")
    def _can_be_followed(self) -> TrajectorySettings:
        if self.loss.emphasis == "random_group":
            raise ValueError("loss.emphasis: probes do not support random_group in a trajectory; take class")
        return self

    @model_validator(mode="after")
    def _remembers_something(self) -> TrajectorySettings:
        if not self.snapshots.optimiser_state:
            return self
        if not self.optimiser.remembers:
            raise ValueError("snapshots.optimiser_state: this optimiser has no state; set it to false")
        from dynamical_loss.optimisers import remembers_numbers

        if not remembers_numbers(self.optimiser.kind, self.optimiser.arguments):
            raise ValueError(
                f"snapshots.optimiser_state: the state of {self.optimiser.kind} holds more than numbers, and "
                "cannot be stored; set it to false"
            )
        return self

    @model_validator(mode="after")
    def _has_its_windows(self) -> TrajectorySettings:
        for window in self.snapshots.windows if self.is_resolved else ():
            if window.stop > self.steps:
                raise ValueError(
                    f"snapshots.windows: {window.start} to {window.stop} ends after the run of {self.steps} "
                    "steps; end the window earlier"
                )
        return self

    def probed(self, shape: Shape, *, remembers: bool) -> ProbedRun:
        """Return the properties of this run that probes depend on.

        Args:
            shape: sizes of the dataset.
            remembers: whether the optimiser's state is known at the snapshots.
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
        """Return the settings of this run at another learning rate, with every time scaled by 1/η.

        This is the paper's protocol for Fig. 5a.

        Args:
            learning_rate: η; these settings themselves belong to η = 1.
            width: number of hidden units.
            scaled_spacing: whether the spacing of the snapshots is scaled as well.

        Returns:
            settings with T/η, steps/η and snapshot spacing/η, rounded to whole steps (the spacing to an odd
            number of steps).
        """

        def scaled(steps: int) -> int:
            return max(1, round(steps / learning_rate))

        def odd(steps: int) -> int:
            return 2 * (scaled(steps) // 2) + 1

        values: dict[str, Any] = self.model_dump()
        values["model"]["width"] = width
        period = scaled(self.period)
        # Whole periods are counted first, so that rounding T to whole steps never loses a period.
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
