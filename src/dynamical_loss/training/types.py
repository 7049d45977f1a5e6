"""What goes into training and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from dynamical_loss import losses
from dynamical_loss.losses.weights import Oscillation, class_weights
from dynamical_loss.models.network import Network, Parameters
from dynamical_loss.optimisers import OptimiserFactory
from dynamical_loss.training.step_size import DriftAdjusted

Precision = Literal["float32", "float64"]
Engine = Literal["xla", "fused"]
Array = npt.NDArray[Any]

State = Any
"""Parameters and what the optimiser remembers, a pytree of arrays."""

Progress = Callable[[float], None]
"""Called now and then with the fraction of the work that is done."""


class Checkpoint(Protocol):
    """Where unfinished work is kept."""

    def restore(self) -> Mapping[str, Array] | None:
        """What was kept last, by name; None if there is nothing to go on from."""

    def offer(self, unfinished: Callable[[], Mapping[str, Array]]) -> None:
        """Keep what `unfinished` returns if it is time to; may end the program."""


class Perceptron(NamedTuple):
    """A network and loss that the loop can train: one hidden ReLU layer, plain gradient descent.

    Attributes:
        width: hidden units.
        loss: the base loss.
        bias: whether the layers have biases.
    """

    width: int
    loss: losses.LossName
    bias: bool


@dataclass(frozen=True)
class Problem:
    """What all runs of an ensemble share.

    Attributes:
        network: what is trained.
        loss: base loss of each sample.
        oscillation: of Γ, apart from T and A.
        optimiser: waits for its learning rate.
        train_inputs: (sample, …).
        train_targets: one-hot, (sample, class_index).
        validation_inputs: (sample, …).
        validation_targets: one-hot, (sample, class_index).
        perceptron: says the same about network, loss and optimiser to the fused loop, if that covers them.
        batch_size: samples a step; None for all of them.
        learning_rate_points: (step, factor of η), at least two, with straight lines between them; None for
            a constant learning rate.
        step_size: the rule of a learning rate that follows the curvature; None for one that does not.
        evaluation_samples: how many of the first training and validation samples records look at; None
            for all of them.
        by_output: whether Γ_c multiplies the part of the loss that belongs to output c, and not the loss of
            the samples of class c.
        products: multiplications of a forward pass on one sample, so that long work is cut into stretches
            of seconds; 0 where a step is short.
        keeps_state: whether snapshots hold what the optimiser remembers too, behind the parameters.
    """

    network: Network
    loss: losses.SampleLoss
    oscillation: Oscillation
    optimiser: OptimiserFactory
    train_inputs: Array
    train_targets: Array
    validation_inputs: Array
    validation_targets: Array
    perceptron: Perceptron | None = None
    batch_size: int | None = None
    learning_rate_points: tuple[tuple[float, float], ...] | None = None
    step_size: DriftAdjusted | None = None
    evaluation_samples: int | None = None
    by_output: bool = False
    products: int = 0
    keeps_state: bool = False

    def kept(self, parameters: Parameters, optimiser_state: Any) -> Any:
        """What a snapshot holds, as a pytree that is then flattened by ``jax.flatten_util.ravel_pytree``."""
        return (parameters, optimiser_state) if self.keeps_state else parameters


class Data(NamedTuple):
    """A problem's samples on the device; see `Problem`."""

    train_inputs: jax.Array
    train_targets: jax.Array
    validation_inputs: jax.Array
    validation_targets: jax.Array


class Runs(NamedTuple):
    """What distinguishes the R runs of an ensemble.

    Attributes:
        parameters: initial parameters, a pytree with a leading axis (run,).
        period: T in steps, (run,) integers.
        amplitude: A, (run,).
        learning_rate: η, (run,).
        oscillation_end: the step from which Γ = 1, (run,) integers.
        seed: of what is drawn along a run, (run,) integers: the order of the samples, that of the classes,
            or which group a sample belongs to.
        leader: initial parameters of the run whose steps each of these replays, as `parameters`; None where
            the problem's rule replays nothing.
        output_scale: α, (run,): the prediction is F = α(f − f₀), with f₀ the outputs at the start, and
            gradients are those of the loss of F over α²; what is recorded is that of F.  None: F = f.
    """

    parameters: Parameters
    period: Any
    amplitude: Any
    learning_rate: Any
    oscillation_end: Any
    seed: Any = None
    leader: Parameters | None = None
    output_scale: Any = None

    def leading(self, rule: DriftAdjusted) -> Runs:
        """The runs whose steps these replay, one each: of the next seed, with the same T and A, or A = 1."""
        amplitude = jnp.ones_like(self.amplitude) if rule.static else self.amplitude
        return self._replace(parameters=self.leader, leader=None, amplitude=amplitude, seed=self.seed + 1)


@dataclass(frozen=True)
class Schedule:
    """When something is kept.  Loss and accuracy are recorded at snapshots too.

    Attributes:
        record_steps: steps t at which loss and accuracy are recorded, ascending.
        snapshot_steps: steps t at which the parameters are kept, ascending, possibly empty.
    """

    record_steps: tuple[int, ...]
    snapshot_steps: tuple[int, ...] = ()

    @classmethod
    def regular(
        cls,
        steps: int,
        record_every: int,
        snapshot_every: int | None = None,
        windows: Sequence[tuple[int, int, int]] = (),
    ) -> Schedule:
        """Every so many steps from 0 to `steps`, both included, with denser snapshots in windows.

        Args:
            steps: length of the run.
            record_every: steps between records.
            snapshot_every: steps between snapshots, None for none.
            windows: (start, stop, every) of stretches with extra snapshots, stop included.
        """
        records = {*range(0, steps + 1, record_every), steps}
        snapshots: set[int] = set()
        if snapshot_every is not None:
            snapshots |= {*range(0, steps + 1, snapshot_every), steps}
            for start, stop, every in windows:
                snapshots |= set(range(start, min(stop, steps) + 1, every))
        return cls(tuple(sorted(records | snapshots)), tuple(sorted(snapshots)))

    def stretches(self, length: int) -> list[Stretch]:
        """The steps from 0 to the last record, cut into pieces of that length; the last may be shorter."""
        last = self.record_steps[-1]
        records, snapshots = np.asarray(self.record_steps), np.asarray(self.snapshot_steps, dtype=np.int64)
        cuts = []
        for start in range(0, last + 1, length):
            stop = min(start + length, last + 1)
            cuts.append(
                Stretch(
                    start,
                    min(stop, last),
                    slice(*np.searchsorted(records, (start, stop)).tolist()),
                    slice(*np.searchsorted(snapshots, (start, stop)).tolist()),
                )
            )
        return cuts


class Stretch(NamedTuple):
    """Part of a schedule.

    Attributes:
        start: the first step.
        end: the step at which the next stretch starts, or the last of all.
        records: those of the schedule's records that fall into it.
        snapshots: those of its snapshots.
    """

    start: int
    end: int
    records: slice
    snapshots: slice


class History(NamedTuple):
    """What an ensemble leaves, as numpy arrays.

    Attributes:
        step: t of the records, (step,).
        class_weight: Γ_i(t), (run, step, class_index).
        weighted_loss: F(t) with the weights of that t (Eq. 1), (run, step).
        loss: the static loss, Γ = 1, (run, step).
        train_accuracy: (run, step).
        validation_accuracy: (run, step).
        learning_rate: η(t) of the step that follows each record, (run, step).
        snapshot_step: t of the snapshots, (snapshot_step,).
        parameters: flattened as by ``jax.flatten_util.ravel_pytree``, (run, snapshot_step, parameter); with
            what the optimiser remembers behind them, if the problem `keeps_state`.
        engine: what trained it.
    """

    step: Array
    class_weight: Array
    weighted_loss: Array
    loss: Array
    train_accuracy: Array
    validation_accuracy: Array
    learning_rate: Array
    snapshot_step: Array
    parameters: Array
    engine: Engine

    @property
    def diverged(self) -> Array:
        """Whether a run's loss ever was not a finite number, (run,) booleans."""
        return np.asarray(~np.isfinite(self.weighted_loss).all(axis=1))

    @property
    def divergence_step(self) -> Array:
        """First recorded step with a loss that is not finite, −1 if there is none, (run,)."""
        broken = ~np.isfinite(self.weighted_loss)
        return np.where(broken.any(axis=1), self.step[broken.argmax(axis=1)], -1)


def learning_rate_factor(problem: Problem, step: Any) -> Any:
    """What η is multiplied with at some steps, of the same shape, numpy or traced.

    Args:
        problem: with its `learning_rate_points`.
        step: t.
    """
    if problem.learning_rate_points is None:
        return np.ones(np.shape(step))
    places, factors = (np.asarray(column) for column in zip(*problem.learning_rate_points, strict=True))
    if isinstance(step, jax.Array):
        dtype = jnp.result_type(float)
        return jnp.interp(step.astype(dtype), places.astype(dtype), factors.astype(dtype))
    return np.interp(step, places, factors)


class Program(NamedTuple):
    """How a group of runs is trained; all arrays have a leading axis (run,).

    Attributes:
        kind: what it is called.
        group: how many runs advance together.
        stretches: the schedule, cut.
        begin: runs → their state at step 0.
        advance: runs, their state at the start of a stretch, the stretch → their state at its end, records
            by name (run, record, …), snapshots (run, snapshot, parameter).
    """

    kind: Engine
    group: int
    stretches: list[Stretch]
    begin: Callable[[Runs], State]
    advance: Callable[[Runs, State, Stretch], tuple[State, dict[str, Array], Array]]


RECORDS = ("weighted_loss", "loss", "train_accuracy", "validation_accuracy")
"""Losses and accuracies that are recorded, in the order of the fused loop's columns."""


def weights_at(step: jax.Array, run: Runs, classes: int, oscillation: Oscillation) -> jax.Array:
    """Γ of one run at one step, (class_index,)."""
    amplitude = jnp.where(step < run.oscillation_end, run.amplitude, jnp.ones_like(run.amplitude))
    return class_weights(step, run.period, amplitude, classes, oscillation, run.seed)
