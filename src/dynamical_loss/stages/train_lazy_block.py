"""Train networks of one width by gradient flow at several scales of their output (Fig. L1 to L5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from dynamical_loss.config import code
from dynamical_loss.config.lazy import LazySettings
from dynamical_loss.datasets import loading
from dynamical_loss.errors import UserError
from dynamical_loss.grid import LazyBlock
from dynamical_loss.models.network import Apply, Parameters, apply_function, initial_parameters
from dynamical_loss.probes.ntk import gram, kernel_change
from dynamical_loss.progress import report
from dynamical_loss.results import netcdf, recorded
from dynamical_loss.results.record import Inputs, Provenance
from dynamical_loss.training import margin_flow, states
from dynamical_loss.training.checkpoint import FileCheckpoint
from dynamical_loss.training.gradient_flow import Flow, State, Tolerance
from dynamical_loss.training.margin_flow import KernelConstants, NetworkConstants, Samples, Tilt

Array = npt.NDArray[Any]

_FIRST_STEP = 1.0  # length of the first step; each rejection of a step that is too long shortens it tenfold
_STRETCH = 1000  # gradient evaluations between two opportunities to save or stop …
_STRETCH_OPERATIONS = 2e11  # … or fewer if they would take longer than about ten seconds
_OUTPUTS = 4000  # number of samples that are evaluated at a time
_FIGURE = "arXiv 1906.08034"


class _Quantity(NamedTuple):
    """Quantity of a flow: description, dimensions after (scale, seed), place in the paper, and units."""

    words: str
    dimensions: tuple[str, ...]
    reference: str
    units: str = "1"


_OF_RUNS = {
    "test_error": _Quantity("fraction of test samples with F y ≤ 0", (), "Fig. 3"),
    "output": _Quantity("prediction F on the test samples at the end", ("test_sample",), "Eq. 15, 16"),
    "kernel_change": _Quantity("‖Θ(T) − Θ(0)‖/‖Θ(0)‖, on test samples", (), "Fig. 5a"),
    "weight_change": _Quantity("‖w − w₀‖/‖w₀‖ of all parameters", (), "Eq. 29, Fig. 9"),
    "layer_change": _Quantity("the same of each layer's kernel", ("layer",), "Fig. 9"),
    "half_time": _Quantity("time at which α²𝓛 first falls below half of its start", (), "Fig. 5c", "time"),
    "end_time": _Quantity("time at the end of the flow", (), "Fig. 5b", "time"),
    "steps": _Quantity("accepted steps", (), "Eq. 8, 9"),
    "evaluations": _Quantity("evaluations of the gradient", (), "Eq. 8, 9"),
    "converged": _Quantity("1 if the flow came to its end within max_steps", (), "section 2"),
    "margin": _Quantity("smallest margin F y of a training sample at the end", (), "section 2"),
    "loss": _Quantity("α²𝓛 at the end", (), "Eq. 3"),
    "record_time": _Quantity("time along the flow", ("record",), "Fig. 5b", "time"),
    "record_loss": _Quantity("α²𝓛 along the flow", ("record",), "Fig. 5b"),
    "record_output": _Quantity("root mean square of F along the flow, training", ("record",), "Fig. 10a"),
}
_OF_TILT = {
    "static_error": _Quantity("test error of the same flow without a tilt", (), "Fig. 3"),
    "static_distance": _Quantity(
        "distance of F from that of the same flow without a tilt over the length of the latter, test",
        (),
        "Fig. L6",
    ),
}
_OF_FROZEN = {
    "frozen_end_error": _Quantity(
        "test error of the kernel of the end of training, frozen", (), "Fig. 8, App. A"
    ),
    "frozen_start_error": _Quantity(
        "test error of the kernel of the start, frozen; it does not depend on the scale", (), "Fig. 8, App. A"
    ),
    "frozen_start_distance": _Quantity(
        "distance of F from that of the frozen kernel of the start over the length of the latter, test", (),
        "Fig. 3b",
    ),
    "frozen_converged": _Quantity("1 if both frozen kernels' flows came to their ends", (), "App. A"),
}  # fmt: skip


class _Programs(NamedTuple):
    """Functions that are compiled once for all flows of a block."""

    apply: Apply
    static: Flow
    network: Flow
    kernel: Flow
    outputs: Callable[[Parameters, jax.Array], Array]


class _Frozen(NamedTuple):
    """Result of a flow with a frozen kernel: F on the test samples, and whether the flow reached its end."""

    prediction: Array
    done: bool


def run(
    settings: LazySettings, block: LazyBlock, dataset: Path, output: Path, checkpoint_seconds: float
) -> None:
    """Train each scale and seed of a block to the end of its flow, and write the results.

    Args:
        settings: settings that all flows share.
        block: width, scales and initial seeds.
        dataset: file made by prepare-dataset, with the split of the block.
        output: file to write.
        checkpoint_seconds: shortest time between two checkpoints, seconds.

    Raises:
        Interrupted: if the process was asked to stop; the work done so far is kept.
        UserError: if the dataset cannot be read or does not have two classes, or if rounding errors would
            dominate at one of the scales.
    """
    inputs = Inputs()
    data = loading.load(dataset, inputs)
    _require_split(data, block, dataset)
    try:
        settings.require_possible(data.shape)
        for scale in block.scales:
            settings.require_resolved(block.width, scale)
    except ValueError as error:
        raise UserError(f"--settings: {error}") from None
    record = Provenance(
        code.flowing(),
        {**settings.model_dump(), "block": block.name},
        block.seeds,
        settings.precision,
        inputs,
    )
    checkpoint = FileCheckpoint(output, record, checkpoint_seconds)
    with jax.enable_x64(True), checkpoint.watch(), report(f"flowing {block.name}") as progress:
        found = _Block(settings, block, data, checkpoint, progress).results()
        variables = netcdf.Variables()
        place = f"{_FIGURE}, Fig. 3"
        variables.add("scale", ("scale",), block.scales, "√h·α, scale of the output", reference=place)
        variables.add("seed", ("seed",), block.seeds, "initial random seed", reference=place)
        for name, what in (_OF_RUNS | _OF_TILT | _OF_FROZEN).items():
            if name in found:
                dimensions = ("scale", "seed", *what.dimensions)
                reference = f"{_FIGURE}, {what.reference}"
                variables.add(
                    name, dimensions, found[name], what.words, units=what.units, reference=reference
                )
        labels = _signs(data.validation_labels)
        variables.add("test_label", ("test_sample",), labels, "labels of the test samples", reference=place)
        attributes = {
            "train_samples": len(data.train_inputs),
            "validation_samples": len(data.validation_inputs),
            **data.attributes,
            "width": block.width,
            "data_seed": block.data_seed,
        }
        record.write(variables.dataset().assign_attrs(attributes), output)
        checkpoint.remove()


def _require_split(data: loading.Data, block: LazyBlock, dataset: Path) -> None:
    """Refuse a dataset that was drawn from another seed than the seed in the name of the block.

    Raises:
        UserError: if the dataset records another seed.
    """
    if recorded.DATASET_SETTINGS not in data.attributes:
        return
    seed = recorded.recorded(data.attributes, recorded.DATASET_SETTINGS, dataset).get("sample_seed")
    if seed not in (None, block.data_seed):
        raise UserError(
            f"{dataset} was drawn from sample_seed {seed}, but --data-seed is {block.data_seed}; give the "
            "same seed, or another file"
        )


def _signs(labels: Array) -> Array:
    """Convert classes 0 and 1 to −1.0 and 1.0."""
    return 2.0 * labels.astype(np.float64) - 1.0


class _Block:
    """Flows of a block, which are computed one after another, and their results."""

    def __init__(
        self,
        settings: LazySettings,
        block: LazyBlock,
        data: loading.Data,
        checkpoint: FileCheckpoint,
        progress: Callable[[float], None],
    ) -> None:
        self.settings, self.block, self.checkpoint, self.progress = settings, block, checkpoint, progress
        real = np.dtype(settings.precision)
        self.train = Samples(
            jnp.asarray(data.train_inputs, real), jnp.asarray(_signs(data.train_labels), real)
        )
        self.test = jnp.asarray(data.validation_inputs, real)
        self.test_labels = _signs(data.validation_labels)
        model = settings.model(block.width).build(1)
        self.start = initial_parameters(model, data.train_inputs.shape[1:], list(block.seeds))
        self.programs = _programs(settings, apply_function(model), self.train.labels)
        count = sum(leaf.size for leaf in jax.tree.leaves(self.start)) // len(block.seeds)
        operations = 6.0 * count * len(data.train_inputs)
        self.stretch = int(np.clip(_STRETCH_OPERATIONS / operations, 1, _STRETCH))
        self.found: dict[str, Array] = {}
        self.frozen: dict[int, _Frozen] = {}

    def results(self) -> dict[str, Array]:
        """Compute all flows and return their quantities by name, each with the axes (scale, seed, …)."""
        kept = self.checkpoint.restore()
        unfinished: Mapping[str, Array] | None = None
        done = 0
        if kept is not None:
            done = int(kept["done"])
            self.found = {
                name.removeprefix("found_"): np.array(values)
                for name, values in kept.items()
                if name.startswith("found_")
            }
            unfinished = kept if "state_0" in kept else None
        cells = [
            (seed, scale) for seed in range(len(self.block.seeds)) for scale in range(len(self.block.scales))
        ]
        for number, (seed, scale) in enumerate(cells):
            if number < done:
                continue
            for name, value in self._one(seed, scale, number, unfinished).items():
                self._keep(name, value, (scale, seed))
            unfinished = None
            self.progress((number + 1) / len(cells))
        used = int(np.isfinite(self.found["record_time"]).sum(axis=-1).max())
        for name in [name for name in self.found if name.startswith("record_")]:
            self.found[name] = self.found[name][..., : max(used, 1)]
        return self.found

    def _keep(self, name: str, value: Any, place: tuple[int, int]) -> None:
        value = np.asarray(value, np.float64)
        shape = (len(self.block.scales), len(self.block.seeds), *value.shape)
        self.found.setdefault(name, np.full(shape, np.nan))[place] = value

    def _one(
        self, seed: int, scale: int, number: int, unfinished: Mapping[str, Array] | None
    ) -> dict[str, Any]:
        """Compute one flow and its frozen kernels, and return their quantities by name."""
        real = np.dtype(self.settings.precision)
        start = self._start(seed)
        alpha = self.block.scales[scale] / np.sqrt(self.block.width)
        outputs = self.programs.outputs
        constants = NetworkConstants(
            self.train,
            jnp.asarray(alpha, real),
            margin_flow.outputs_of(self.programs.apply, start, self.train.inputs),
        )
        static = None
        if self.settings.tilt is not None:
            static = self._followed(self.programs.static, constants, start, number, carried=unfinished)
            period = self.settings.tilt.period * static.half_time
            constants = constants._replace(tilt=Tilt(period, self.settings.tilt.amplitude))
        if static is not None and np.isnan(static.half_time):
            # The loss of the flow without a tilt did not halve, so there is no time unit for the period.
            state = static
        else:
            state = self._followed(self.programs.network, constants, start, number, unfinished)
        end = state.position
        prediction = alpha * (outputs(end, self.test) - outputs(start, self.test))
        part = self.test[: self.settings.kernel_samples]
        layers = [_relative(end[layer]["kernel"], start[layer]["kernel"]) for layer in start]
        found = {
            "test_error": self._error(prediction),
            "output": prediction,
            "kernel_change": kernel_change(self.programs.apply, start, end, part),
            "weight_change": _relative(_flat(end), _flat(start)),
            "layer_change": layers,
            "half_time": state.half_time,
            "end_time": state.time,
            "steps": state.steps,
            "evaluations": state.trials,
            "converged": state.done,
            "margin": jnp.min(state.outputs * self.train.labels),
            "loss": state.loss,
            "record_time": state.record_time,
            "record_loss": state.record_loss,
            "record_output": state.record_output,
        }
        if static is not None:
            untilted = alpha * (outputs(static.position, self.test) - outputs(start, self.test))
            found["static_error"] = self._error(untilted)
            found["static_distance"] = _relative(prediction, untilted)
            found["converged"] = state.done & static.done
        return found | (self._frozen(seed, end, prediction) if self.settings.frozen else {})

    def _followed(
        self,
        flow: Flow,
        constants: NetworkConstants,
        start: Parameters,
        number: int,
        unfinished: Mapping[str, Array] | None = None,
        carried: Mapping[str, Array] | None = None,
    ) -> State:
        """Follow a flow to its end or to the allowed number of evaluations, with checkpoints on the way.

        The flow without a tilt, which only serves as a reference for the tilted flow, has no checkpoint.  It
        is computed again when the work resumes.

        Args:
            flow: compiled functions of the flow.
            constants: constants of the flow.
            start: initial parameters.
            number: number of the flow in the block.
            unfinished: checkpoint of this flow from an earlier attempt; None starts from the beginning.
            carried: checkpoint of the tilted flow from an earlier attempt, which is kept while this flow
                without a tilt is computed.
        """
        state = flow.begin(constants, start, _FIRST_STEP)
        if unfinished is not None:
            state = states.from_arrays(state, unfinished)
        keeps_state = flow is self.programs.network
        most = self.settings.max_steps
        while not bool(state.done) and int(state.trials) < most:
            state = flow.advance(constants, state, min(int(state.trials) + self.stretch, most))

            def kept(here: State = state) -> dict[str, Array]:
                own = states.as_arrays(here) if keeps_state else {}
                others = {
                    name: values for name, values in (carried or {}).items() if name.startswith("state_")
                }
                return {
                    "done": np.array(number),
                    **{f"found_{name}": values for name, values in self.found.items()},
                    **others,
                    **{name: np.asarray(values) for name, values in own.items()},
                }

            self.checkpoint.offer(kept)
        return state

    def _frozen(self, seed: int, end: Parameters, prediction: Array) -> dict[str, Any]:
        """Train with the frozen kernels of the start and the end of the flow; see `margin_flow`."""
        first, last = self._of_start(seed), self._of_kernel(end)
        return {
            "frozen_start_error": self._error(first.prediction),
            "frozen_end_error": self._error(last.prediction),
            "frozen_start_distance": _relative(prediction, first.prediction),
            "frozen_converged": first.done and last.done,
        }

    def _of_start(self, seed: int) -> _Frozen:
        """Train with the frozen kernel of the start, once per seed: the result is the same for all scales."""
        if seed not in self.frozen:
            self.frozen = {seed: self._of_kernel(self._start(seed))}
        return self.frozen[seed]

    def _of_kernel(self, parameters: Parameters) -> _Frozen:
        apply, samples = self.programs.apply, self.train
        kernel = gram(apply, parameters, samples.inputs, samples.inputs)
        constants = KernelConstants(jnp.asarray(kernel), samples.labels)
        state = self.programs.kernel.begin(constants, jnp.zeros_like(samples.labels), _FIRST_STEP)
        state = self.programs.kernel.advance(constants, state, self.settings.max_steps)
        across = gram(apply, parameters, self.test, samples.inputs)
        return _Frozen(np.asarray(across @ state.position), bool(state.done))

    def _start(self, seed: int) -> Parameters:
        real = np.dtype(self.settings.precision)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf[seed], real), self.start)

    def _error(self, prediction: Array) -> float:
        return float(np.mean(np.asarray(prediction) * self.test_labels <= 0))


def _programs(settings: LazySettings, apply: Apply, labels: jax.Array) -> _Programs:
    tolerance = Tolerance(settings.velocity_tolerance, settings.output_tolerance)
    common = (labels, settings.loss, tolerance, settings.closeness)
    static = margin_flow.network_flow(apply, *common)
    some = jax.jit(lambda parameters, inputs: margin_flow.outputs_of(apply, parameters, inputs))

    def outputs(parameters: Parameters, inputs: jax.Array) -> Array:
        parts = range(0, len(inputs), _OUTPUTS)
        return np.concatenate([np.asarray(some(parameters, inputs[at : at + _OUTPUTS])) for at in parts])

    return _Programs(
        apply,
        static,
        margin_flow.network_flow(apply, *common, is_tilted=True) if settings.tilt is not None else static,
        margin_flow.kernel_flow(*common),
        outputs,
    )


def _flat(parameters: Parameters) -> jax.Array:
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(parameters)])


def _relative(after: Any, before: Any) -> float:
    """‖after − before‖/‖before‖."""
    return float(jnp.linalg.norm(jnp.ravel(after - before)) / jnp.linalg.norm(jnp.ravel(before)))
