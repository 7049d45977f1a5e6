"""Types of the training engine: problems, runs, schedules, histories, and the programs that train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Integer

from dynamical_loss import losses
from dynamical_loss.losses.weights import Oscillation, class_weights
from dynamical_loss.models.network import Network, Parameters
from dynamical_loss.optimisers import OptimiserFactory
from dynamical_loss.training.step_size import DriftAdjusted

Precision = Literal["float32", "float64"]
Engine = Literal["xla", "fused"]
Array = npt.NDArray[Any]

State = Any
"""State of training between two steps (parameters, state of the optimiser, …), a pytree of arrays."""

Progress = Callable[[float], None]
"""Function that training calls regularly with the completed fraction of the work, from 0 to 1."""


@runtime_checkable
class Checkpoint(Protocol):
    """Store for the state of unfinished work."""

    def restore(self) -> Mapping[str, Array] | None:
        """Return the last saved arrays by name; None if there is nothing to resume from."""

    def offer(self, unfinished: Callable[[], Mapping[str, Array]]) -> None:
        """Save the arrays that `unfinished` returns, if a save is due.  This may end the program."""


class Perceptron(NamedTuple):
    """A network and a loss that the fused loop can train: one hidden ReLU layer, plain gradient descent.

    Attributes:
        width: number of hidden units.
        loss: name of the base loss.
        bias: whether the layers have biases.
    """

    width: int
    loss: losses.LossName
    bias: bool


@dataclass(frozen=True)
class Problem:
    """The part of a training problem that all runs of an ensemble share.

    Attributes:
        network: network that is trained.
        loss: base loss of each sample.
        oscillation: form of the oscillation of Γ, apart from T and A.
        optimiser: function that builds the optimiser from a learning rate.
        train_inputs: training inputs.
        train_targets: one-hot labels of the training samples.
        validation_inputs: validation inputs.
        validation_targets: one-hot labels of the validation samples.
        perceptron: description of the network and the loss for the fused loop; None if the fused loop cannot
            train them.
        batch_size: number of samples in a batch; None uses all samples in each step.
        learning_rate_points: at least two pairs (step, factor of η); the factor is interpolated linearly
            between the pairs.  None for a constant learning rate.
        step_size: rule by which the learning rate follows the curvature; None if it does not.
        evaluation_samples: number of training samples and of validation samples on which losses and
            accuracies are evaluated, the first of each set; None uses all samples.
        by_output: whether Γ_c multiplies the part of the loss that belongs to output c, instead of the loss
            of the samples of class c.
        products: number of multiply-adds in a forward pass on one sample.  It limits the length of a stretch,
            so that a stretch takes seconds.  0 means that steps are short.
        keeps_state: whether snapshots also hold the state of the optimiser, after the parameters.
    """

    network: Network
    loss: losses.SampleLoss
    oscillation: Oscillation
    optimiser: OptimiserFactory
    train_inputs: Float[Array, "sample ..."]
    train_targets: Float[Array, "sample class_index"]
    validation_inputs: Float[Array, "validation_sample ..."]
    validation_targets: Float[Array, "validation_sample class_index"]
    perceptron: Perceptron | None = None
    batch_size: int | None = None
    learning_rate_points: tuple[tuple[float, float], ...] | None = None
    step_size: DriftAdjusted | None = None
    evaluation_samples: int | None = None
    by_output: bool = False
    products: int = 0
    keeps_state: bool = False

    def kept(self, parameters: Parameters, optimiser_state: Any) -> Any:
        """Return the contents of a snapshot as a pytree; ``jax.flatten_util.ravel_pytree`` flattens it."""
        return (parameters, optimiser_state) if self.keeps_state else parameters


class Data(NamedTuple):
    """The samples of a problem, on the device; see `Problem`."""

    train_inputs: Float[jax.Array, "sample ..."]
    train_targets: Float[jax.Array, "sample class_index"]
    validation_inputs: Float[jax.Array, "validation_sample ..."]
    validation_targets: Float[jax.Array, "validation_sample class_index"]


class Runs(NamedTuple):
    """The quantities that differ between the runs of an ensemble.

    Within a traced function, the fields are those of a single run and have no leading axis (run,).

    Attributes:
        parameters: initial parameters, a pytree with a leading axis (run,).
        period: period T in steps, (run,) integers.
        amplitude: amplitude A, (run,).
        learning_rate: learning rate η, (run,).
        oscillation_end: first step with constant weights Γ = 1, (run,) integers.
        seed: seed of the random numbers drawn during training, (run,) integers.  They decide the order of the
            samples, the order of the classes, and the group that a sample belongs to.
        leader: initial parameters of the leaders, a pytree like `parameters`.  A leader is a second run whose
            learning rates a run replays.  None if the problem's rule replays nothing.
        output_scale: scale α of the output, (run,).  The prediction is F = α(f − f₀), where f₀ are the
            initial outputs.  Gradients are those of the loss of F divided by α²; records are those of the
            loss of F.  None means F = f.
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
        """Return the leader of each run: a run with the next seed, the same T, and the same A or A = 1."""
        amplitude = jnp.ones_like(self.amplitude) if rule.static else self.amplitude
        return self._replace(parameters=self.leader, leader=None, amplitude=amplitude, seed=self.seed + 1)


@dataclass(frozen=True)
class Schedule:
    """The steps at which losses, accuracies and parameters are stored.

    Attributes:
        record_steps: steps t at which losses and accuracies are recorded, ascending; they include all
            snapshot steps.
        snapshot_steps: steps t at which the parameters are stored, ascending; may be empty.
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
        """Return a schedule with regular records and snapshots, and with extra snapshots in windows.

        The first step, 0, and the last step are both included.

        Args:
            steps: length of the run in steps.
            record_every: number of steps between records.
            snapshot_every: number of steps between snapshots; None takes no snapshots.
            windows: windows (start, stop, every) with extra snapshots every so many steps, `stop` included.
        """
        records = {*range(0, steps + 1, record_every), steps}
        snapshots: set[int] = set()
        if snapshot_every is not None:
            snapshots |= {*range(0, steps + 1, snapshot_every), steps}
            for start, stop, every in windows:
                snapshots |= set(range(start, min(stop, steps) + 1, every))
        return cls(tuple(sorted(records | snapshots)), tuple(sorted(snapshots)))

    def stretches(self, length: int) -> list[Stretch]:
        """Cut the steps from 0 to the last record into stretches of this length; the last may be shorter."""
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
    """Part of a schedule that is trained without interruption.

    Attributes:
        start: first step of the stretch.
        end: step at which the next stretch starts; for the last stretch, the last step of the schedule.
        records: slice of the schedule's `record_steps` that fall into the stretch.
        snapshots: slice of the schedule's `snapshot_steps` that fall into the stretch.
    """

    start: int
    end: int
    records: slice
    snapshots: slice


class History(NamedTuple):
    """Results of training an ensemble, as numpy arrays.

    Attributes:
        step: steps t of the records.
        class_weight: class weights Γ_i(t).
        weighted_loss: dynamical loss F(t) with the weights Γ(t) (Eq. 1).
        loss: static loss, with Γ = 1.
        train_accuracy: fraction of training samples that are classified correctly.
        validation_accuracy: fraction of validation samples that are classified correctly.
        learning_rate: learning rate η(t) of the step that follows each record.
        snapshot_step: steps t of the snapshots.
        parameters: parameters at the snapshots, flattened by ``jax.flatten_util.ravel_pytree``.  If the
            problem `keeps_state`, the state of the optimiser follows the parameters.
        engine: engine that trained the ensemble.
    """

    step: Integer[Array, " step"]
    class_weight: Float[Array, "run step class_index"]
    weighted_loss: Float[Array, "run step"]
    loss: Float[Array, "run step"]
    train_accuracy: Float[Array, "run step"]
    validation_accuracy: Float[Array, "run step"]
    learning_rate: Float[Array, "run step"]
    snapshot_step: Integer[Array, " snapshot"]
    parameters: Float[Array, "run snapshot parameter"]
    engine: Engine

    @property
    def diverged(self) -> Bool[Array, " run"]:
        """Whether the dynamical loss of each run was not finite at some record."""
        return np.asarray(~np.isfinite(self.weighted_loss).all(axis=1))

    @property
    def divergence_step(self) -> Integer[Array, " run"]:
        """First recorded step of each run at which the loss is not finite; −1 if there is no such step."""
        broken = ~np.isfinite(self.weighted_loss)
        return np.where(broken.any(axis=1), self.step[broken.argmax(axis=1)], -1)


def learning_rate_factor(problem: Problem, step: Any) -> Any:
    """Return the factors that multiply η at the given steps.

    Args:
        problem: problem whose `learning_rate_points` define the factors.
        step: steps t, a number, a numpy array or a traced array.

    Returns:
        Factors with the shape of `step`: a traced array if `step` is one, otherwise a numpy array.
    """
    if problem.learning_rate_points is None:
        return np.ones(np.shape(step))
    places, factors = (np.asarray(column) for column in zip(*problem.learning_rate_points, strict=True))
    if isinstance(step, jax.Array):
        dtype = jnp.result_type(float)
        return jnp.interp(step.astype(dtype), places.astype(dtype), factors.astype(dtype))
    return np.interp(step, places, factors)


class Program(NamedTuple):
    """Functions that train a group of runs; all arrays have a leading axis (run,).

    Attributes:
        kind: engine that the functions belong to.
        group: number of runs that advance together.
        stretches: stretches of the schedule.
        begin: runs → their state at step 0.
        advance: (runs, state at the start of a stretch, stretch) → (state at the end of the stretch, records
            by name (run, record, …), snapshots (run, snapshot, parameter)).
    """

    kind: Engine
    group: int
    stretches: list[Stretch]
    begin: Callable[[Runs], State]
    advance: Callable[[Runs, State, Stretch], tuple[State, dict[str, Array], Array]]


RECORDS = ("weighted_loss", "loss", "train_accuracy", "validation_accuracy")
"""Names of the recorded losses and accuracies, in the order of the columns of the fused loop."""


def weights_at(
    step: Integer[jax.Array, ""], run: Runs, classes: int, oscillation: Oscillation
) -> Float[jax.Array, " class_index"]:
    """Return the class weights Γ of one run at one step."""
    amplitude = jnp.where(step < run.oscillation_end, run.amplitude, jnp.ones_like(run.amplitude))
    return class_weights(step, run.period, amplitude, classes, oscillation, run.seed)
