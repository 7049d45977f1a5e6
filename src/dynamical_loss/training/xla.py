"""The XLA engine: programs, compiled by XLA, that train a group of runs of any problem on any device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Bool, Float, Integer, Num, Shaped

from dynamical_loss import losses
from dynamical_loss.models.network import Parameters
from dynamical_loss.training.types import (
    Array,
    Data,
    Problem,
    Program,
    Runs,
    Schedule,
    State,
    Stretch,
    learning_rate_factor,
    weights_at,
)

# Number of steps in a stretch, after which training reports its progress and can save its state.  There are
# so many steps that these interruptions cost next to no time, and so few that a stretch takes seconds.
_STRETCH = 4096
# If steps are long, a stretch has fewer steps: it takes about ten seconds at these rates, in operations per
# second.
_STRETCH_OPERATIONS = {"cpu": 2e11, "gpu": 1e14}
_EPOCHS = 256  # largest number of epochs in a stretch; the sample orders of all of them are in memory
_EVALUATED = 1000  # number of samples evaluated at a time; more would need more memory and be no faster
_BATCH_ORDER = 1  # purpose of a random key; 0 is taken by `models`, 2 by the order of the classes
_GROUPS = 3  # purpose of a random key


Step = Integer[jax.Array, ""]
"""A step t, traced."""

Run = tuple[Parameters, Any, Any]
"""Parameters, state of the optimiser, and statistics of the network."""


def program(problem: Problem, runs: Runs, schedule: Schedule, dtype: np.dtype[Any], group: int) -> Program:
    """Return programs that train `group` runs side by side; XLA compiles them once for all stretches.

    Args:
        problem: the part of the problem that all runs share.
        runs: all runs of the ensemble.
        schedule: steps of the records and the snapshots.
        dtype: floating-point type of the arrays.
        group: number of runs that are batched.
    """
    # The data are arguments of the programs: constants would be compiled into each program and stored with
    # it.
    data = Data(
        *(
            jnp.asarray(array, dtype)
            for array in (
                problem.train_inputs,
                problem.train_targets,
                problem.validation_inputs,
                problem.validation_targets,
            )
        )
    )
    length = _stretch_length(problem, group)
    stretches = schedule.stretches(length)
    most_stops = 1 + max(stretch.records.stop - stretch.records.start for stretch in stretches)
    slots = 1 + max(stretch.snapshots.stop - stretch.snapshots.start for stretch in stretches)
    advance_one = _stretch_program(problem, dtype, slots, length)
    # A group of one run is not batched, because on a CPU the program of a single run is the fastest.
    program = jax.jit(jax.vmap(advance_one, in_axes=(None, 0, 0, None)) if group > 1 else advance_one)

    evaluate = problem.network.evaluate
    outputs = jax.jit(jax.vmap(evaluate, in_axes=(0, None, None)) if group > 1 else evaluate)

    def at_start(
        parameters: Parameters, inputs: Float[jax.Array, "sample ..."]
    ) -> Float[jax.Array, "run sample class_index"]:
        """Return the initial outputs f₀, evaluating at most `_EVALUATED` samples at a time."""
        if group == 1:
            parameters = jax.tree.map(lambda leaf: leaf[0], parameters)
        firsts = range(0, len(inputs), _EVALUATED)
        parts = [
            outputs(parameters, problem.network.statistics, inputs[first : first + _EVALUATED])
            for first in firsts
        ]
        found = jnp.concatenate(parts, axis=-2)
        return found if group > 1 else found[None]

    def begin(runs: Runs) -> State:
        def fresh(parameters: Parameters, learning_rate: Any) -> Run:
            statistics = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), problem.network.statistics)
            return parameters, problem.optimiser(learning_rate).init(parameters), statistics

        def one(parameters: Parameters, leader: Parameters | None, learning_rate: Any) -> State:
            replayed = () if leader is None else fresh(leader, learning_rate)
            return *fresh(parameters, learning_rate), replayed

        sets = () if runs.output_scale is None else (data.train_inputs, data.validation_inputs)
        start = tuple(at_start(runs.parameters, inputs) for inputs in sets)
        return *jax.vmap(one)(runs.parameters, runs.leader, runs.learning_rate), start

    def advance(runs: Runs, state: State, stretch: Stretch) -> tuple[State, dict[str, Array], Array]:
        items = _stops(schedule, stretch, most_stops)
        count = stretch.records.stop - stretch.records.start
        if group > 1:
            state, found, kept = program(data, runs, state, items)
        else:
            alone = jax.tree.map(lambda leaf: leaf[0], (runs, state))
            state, found, kept = jax.tree.map(lambda leaf: leaf[None], program(data, *alone, items))
        # The unused slots are cut off on the device, because most stretches have no snapshot to copy to the
        # host.
        kept = np.asarray(kept[:, : stretch.snapshots.stop - stretch.snapshots.start])
        return state, {name: np.asarray(values)[:, :count] for name, values in found.items()}, kept

    return Program("xla", group, stretches, begin, advance)


def _stops(schedule: Schedule, stretch: Stretch, count: int) -> tuple[Shaped[Array, " stop"], ...]:
    """Return the timetable of a stretch's program.

    The program stops at each record and at the end of the stretch.  If there are fewer than `count` stops,
    the list is filled up with stops at the end of the stretch, where nothing is left to do.

    Returns:
        Four arrays: the first step before each stop, the step of each stop, the slot of the snapshot buffer
        that each stop writes to, and whether there is a record at each stop.
    """
    stops = np.full(count, stretch.end)
    records = schedule.record_steps[stretch.records]
    stops[: len(records)] = records
    # Each stop writes the parameters into the slot of the next snapshot.  The last stop that writes to a slot
    # is the stop of the snapshot itself.  So no branch is needed, and the buffer is updated in place.
    slots = np.searchsorted(np.asarray(schedule.snapshot_steps[stretch.snapshots], np.int64), stops)
    starts = np.concatenate([[stretch.start], stops[:-1]])
    numbers = (array.astype(np.int32) for array in (starts, stops, slots))
    return *numbers, np.arange(count) < len(records)


def _stretch_length(problem: Problem, group: int) -> int:
    """Return the number of steps in a stretch: `_STRETCH`, or fewer if steps are long or epochs are short."""
    longest, samples = _STRETCH, len(problem.train_inputs)
    if problem.batch_size is not None:
        longest = min(_STRETCH, _EPOCHS * -(-samples // problem.batch_size))
        samples = problem.batch_size
    # A step costs three forward passes (forward, and backward to the parameters and to the activations), with
    # two operations for each product.
    operations = 6.0 * problem.products * samples * group
    rate = _STRETCH_OPERATIONS["cpu" if jax.default_backend() == "cpu" else "gpu"]
    return int(np.clip(rate / max(operations, 1.0), 1, longest))


def _stretch_program(
    problem: Problem, dtype: np.dtype[Any], slots: int, length: int
) -> Callable[[Data, Runs, State, Any], tuple[State, dict[str, jax.Array], jax.Array]]:
    """Return the function that trains one run over one stretch; JAX traces it.

    The function takes the data, the run's part of `Runs`, the run's state and the timetable of `_stops`.  It
    returns the state, the records and the snapshots.
    """
    network, classes = problem.network, problem.train_targets.shape[1]
    count, size = len(problem.train_inputs), problem.batch_size or len(problem.train_inputs)
    per_epoch = -(-count // size)

    def class_weight_at(step: Step, run: Runs) -> Float[jax.Array, " class_index"]:
        return weights_at(step, run, classes, problem.oscillation)

    def owners_of(run: Runs, data: Data) -> Float[jax.Array, "sample class_index"]:
        """Return the one-hot index of each training sample's weight: its class, or its random group."""
        if problem.oscillation.emphasis != "random_group":
            return data.train_targets
        key = jax.random.fold_in(jax.random.key(run.seed), _GROUPS)
        return data.train_targets[jax.random.permutation(key, count)]

    def learning_rate_at(step: Step, run: Runs) -> Float[jax.Array, ""]:
        if problem.learning_rate_points is None:
            return jnp.asarray(run.learning_rate)
        return jnp.asarray(run.learning_rate * learning_rate_factor(problem, step))

    def orders_from(start: Step, run: Runs) -> Integer[jax.Array, "epoch place"]:
        """Return the randomly shuffled samples of each epoch of the stretch, padded to full batches."""
        key = jax.random.fold_in(jax.random.key(run.seed), _BATCH_ORDER)
        samples = jnp.arange(count, dtype=jnp.int32)

        def order(epoch: Integer[jax.Array, ""]) -> Integer[jax.Array, " place"]:
            shuffled = jax.random.permutation(jax.random.fold_in(key, epoch), samples)
            return jnp.pad(shuffled, (0, per_epoch * size - count))

        epochs = start // per_epoch + jnp.arange((length - 1) // per_epoch + 2, dtype=jnp.int32)
        found: jax.Array = jax.lax.map(order, epochs)
        return found

    def batch_at(
        step: Step,
        start: Step,
        orders: Integer[jax.Array, "epoch place"] | None,
        arrays: Sequence[Float[jax.Array, "sample ..."]],
    ) -> tuple[list[Float[jax.Array, "batch_sample ..."]], Bool[jax.Array, " batch_sample"] | None]:
        """Return the rows of the arrays in the batch of a step, and which of the rows are not padding.

        The last batch of an epoch may be smaller and is then padded.  None marks no padding.
        """
        if orders is None:
            return list(arrays), None
        epoch, first = step // per_epoch - start // per_epoch, step % per_epoch * size
        chosen = jax.lax.dynamic_slice(orders, (epoch, first), (1, size))[0]
        present = None if count % size == 0 else first + jnp.arange(size) < count
        return [array[chosen] for array in arrays], present

    def prediction(
        logits: Float[jax.Array, "sample class_index"],
        start: Sequence[Float[jax.Array, "sample class_index"]],
        step: Step,
        run: Runs,
    ) -> Float[jax.Array, "sample class_index"]:
        """Return the network's output f, or α(f − f₀) if `start` holds f₀ of the same samples."""
        if not start:
            return logits
        # Another program computed f₀ and may have rounded differently; at step 0, F must still be exactly 0.
        before = jnp.where(step == 0, jax.lax.stop_gradient(logits), start[0])
        return jnp.asarray(run.output_scale * (logits - before))

    def objective(
        parameters: Parameters,
        statistics: Any,
        batch: Any,
        owners: Float[jax.Array, "sample class_index"] | None,
        step: Step,
        run: Runs,
    ) -> tuple[Float[jax.Array, ""], Any]:
        (inputs, targets, *start), present = batch
        logits, statistics = network.train(parameters, statistics, inputs, present)
        class_weight = class_weight_at(step, run)
        weighted = losses.weighted_loss(
            problem.loss,
            prediction(logits, start, step, run),
            targets,
            class_weight,
            present,
            owners=owners,
            by_output=problem.by_output,
        )
        return weighted if run.output_scale is None else weighted / run.output_scale**2, statistics

    def record(state: State, step: Step, run: Runs, data: Data) -> dict[str, jax.Array]:
        class_weight = class_weight_at(step, run)
        parameters, _, statistics, _, start = state

        def judge(
            inputs: Float[jax.Array, "sample ..."],
            targets: Float[jax.Array, "sample class_index"],
            owners: Float[jax.Array, "sample class_index"],
            *start: Float[jax.Array, "sample class_index"],
        ) -> dict[str, Shaped[jax.Array, " sample"]]:
            logits = prediction(network.evaluate(parameters, statistics, inputs), start, step, run)
            each = problem.loss(logits, targets)
            return {
                "weighted_loss": losses.weighted_each(
                    lambda *_: each, logits, targets, class_weight, owners=owners, by_output=problem.by_output
                ),
                "loss": each,
                "accuracy": losses.is_right(logits, targets),
            }

        here = slice(problem.evaluation_samples)
        train = data.train_inputs, data.train_targets, owners_of(run, data), *start[:1]
        others = data.validation_inputs, data.validation_targets, data.validation_targets, *start[1:]
        found = _mean_over_samples(judge, *(array[here] for array in train))
        validation = _mean_over_samples(judge, *(array[here] for array in others))
        return {
            "class_weight": class_weight,
            "weighted_loss": found["weighted_loss"],
            "loss": found["loss"],
            "train_accuracy": found["accuracy"],
            "validation_accuracy": validation["accuracy"],
        }

    def advance(
        data: Data, run: Runs, state: State, items: Any
    ) -> tuple[State, dict[str, jax.Array], jax.Array]:
        beginning = items[0][0]
        arrays = data.train_inputs, data.train_targets, *state[4][:1]
        orders = None if problem.batch_size is None else orders_from(beginning, run)
        rule = problem.step_size

        def with_owners(run: Runs) -> tuple[Runs, jax.Array | None]:
            # With batches, the weights belong to classes, so the targets of the batch serve as owners.
            return run, None if problem.batch_size is not None else owners_of(run, data)

        own = with_owners(run)
        leading = with_owners(run.leading(rule)) if rule is not None and rule.replayed else own

        def slope(step: Step, here: Run, its: Any) -> Callable[[Parameters], tuple[Parameters, Any]]:
            """Return the function: parameters → (gradient, statistics of the network)."""
            batch, (run, owners) = batch_at(step, beginning, orders, arrays), its
            return lambda parameters: jax.grad(objective, has_aux=True)(
                parameters, here[2], batch, owners, step, run
            )

        def adjusted(step: Step, here: Run, its: Any) -> tuple[Float[jax.Array, ""], Parameters, Any]:
            """Return the learning rate of the rule, the gradient, and the statistics of the network."""
            assert rule is not None
            gradient, push, statistics = jax.linearize(slope(step, here, its), here[0], has_aux=True)
            factor = rule.factor(optax.tree.norm(gradient), optax.tree.norm(push(gradient)))
            return (learning_rate_at(step, run) * factor).astype(dtype), gradient, statistics

        def look(state: State, step: Step) -> dict[str, jax.Array]:
            found = record(state, step, run, data)
            if rule is not None:
                here = state[3] if rule.replayed else state[:3]
                found["learning_rate"], _, _ = adjusted(step, here, leading)
            return found

        def descended(here: Run, learning_rate: Any, gradient: Parameters, statistics: Any) -> Run:
            parameters, optimiser_state, _ = here
            optimiser = problem.optimiser(learning_rate)
            updates, optimiser_state = optimiser.update(gradient, optimiser_state, parameters)
            return optax.apply_updates(parameters, updates), optimiser_state, statistics

        def stepped(here: Run, rate: Float[jax.Array, ""], gradient: Parameters, statistics: Any) -> Run:
            # As in the code of the rule's authors: the gradient is scaled before the optimiser sees it, and
            # the optimiser's own learning rate is 1.
            scaled = jax.tree.map(lambda leaf: rate * leaf, gradient)
            return descended(here, 1.0, scaled, statistics)

        def update(step: Step, state: State) -> State:
            here, (leader, start) = state[:3], state[3:]
            if rule is not None and not rule.replayed:
                return *stepped(here, *adjusted(step, here, own)), leader, start
            gradient, statistics = slope(step, here, own)(here[0])
            if rule is None:
                return *descended(here, learning_rate_at(step, run), gradient, statistics), leader, start
            rate, *others = adjusted(step, leader, leading)
            return *stepped(here, rate, gradient, statistics), stepped(leader, rate, *others), start

        def to_stop(carry: Any, item: Any) -> Any:
            state, snapshots = carry
            start, stop, slot, recorded = item
            state = jax.lax.fori_loop(start, stop, update, state)
            flat, _ = ravel_pytree(problem.kept(*state[:2]))
            flat = flat.astype(dtype)
            snapshots = jax.lax.dynamic_update_index_in_dim(snapshots, flat, slot, 0)
            # Evaluating all samples may cost more than all steps of the stretch, so only records do it.
            nothing = jax.tree.map(
                lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(look, state, stop)
            )
            found = jax.lax.cond(recorded, look, lambda *_: nothing, state, stop)
            return (state, snapshots), found

        snapshots = jnp.zeros((slots, ravel_pytree(problem.kept(*state[:2]))[0].size), dtype)
        (state, snapshots), records = jax.lax.scan(to_stop, (state, snapshots), items)
        return state, records, snapshots

    return advance


def _mean_over_samples(
    judge: Callable[..., dict[str, jax.Array]], *arrays: Float[jax.Array, "sample ..."]
) -> dict[str, Float[jax.Array, ""]]:
    """Return the means over samples of the quantities that `judge` computes for each sample.

    At most `_EVALUATED` samples are evaluated at a time.

    Args:
        judge: function of the arrays → quantities by name, (sample,) each.
        *arrays: inputs, targets and other arrays, (sample, …) each.
    """
    count = len(arrays[0])
    if count <= _EVALUATED:
        return {name: jnp.mean(each) for name, each in judge(*arrays).items()}

    def part(first: Integer[jax.Array, ""]) -> dict[str, Num[jax.Array, ""]]:
        # All parts have the same size, so the last part overlaps with the part before it; it counts only the
        # samples that the other part did not count.
        start = jnp.minimum(first, count - _EVALUATED)
        here = (jax.lax.dynamic_slice_in_dim(array, start, _EVALUATED) for array in arrays)
        new = start + jnp.arange(_EVALUATED) >= first
        return {name: jnp.sum(each, where=new) for name, each in judge(*here).items()}

    sums = jax.lax.map(part, jnp.arange(0, count, _EVALUATED))
    return {name: jnp.sum(values) / count for name, values in sums.items()}
