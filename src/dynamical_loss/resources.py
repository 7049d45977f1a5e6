"""Estimate the memory and time of a job from its settings, for the request to a cluster's scheduler.

Costs were measured on one CPU core of the machine that `benchmarks/README.md` describes; a job on a GPU needs
less.  If a request is too small, the scheduler kills the job; if it is far too large, the job waits longer in
the queue.
"""

from __future__ import annotations

import math
import os
import sys
from typing import NamedTuple, Protocol

from dynamical_loss.config.lazy import LazySettings
from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.study import Config
from dynamical_loss.config.training import OptimiserSettings, TrainingSettings, TrajectorySettings
from dynamical_loss.datasets.image_kind import ImageSettings
from dynamical_loss.datasets.kind import DatasetSettings, Precision, Shape
from dynamical_loss.errors import UserError
from dynamical_loss.grid import Block, LazyBlock
from dynamical_loss.models.kind import NetworkSize
from dynamical_loss.models.kinds.mlp import MLPSettings

_BYTES = {"float32": 4, "float64": 8}
_DOUBLE = _BYTES["float64"]

# Memory of a process in MB, without its results; compiling the probes needs the most (720).  It includes data
# and activations of up to _WITHIN_PROCESS_MB, which is enough for the spiral.  _WRAPPING_MB is for the two
# processes of Snakemake that the SLURM executor starts around a job (130 to 170 each).
_PROCESS_MB, _WITHIN_PROCESS_MB = 800, 20
_WRAPPING_MB = 400
# Number of arrays as large as the result that are in memory at one time: 2.3 for XLA, fewer for the fused
# engine and the probes.
_COPIES = 3
# Number of arrays as large as all activations of a batch that are in memory at one time.  Measured for
# Myrtle5 with 16 and 64 channels: 3.4 to 3.6 in a training step (batches of 512), and 4.5 in a product with
# the Hessian (500 images, see _PRODUCT_ARRAYS).  Wide ResNets had 2 and 3.
_STEP_ARRAYS = 4
# Cost of a training step relative to one at a constant learning rate.  The rules that follow the curvature
# need extra gradients: with them the XLA engine took 2.8 to 3.9 times as long (benchmarks/README.md).
_RULE_COST = {"constant": 1.0, "adjusts": 4.0, "replays": 5.0}
_PRODUCT_ARRAYS = 5
# Number of arrays as large as the widest layer when a network is only evaluated (Myrtle5: 1.3).
_EVALUATION_ARRAYS = 2
# Number of samples that are processed at a time: in records, and in products with the Hessian of a
# convolutional network.
_EVALUATED = 1000
_PROBED = 500
# Bytes of a block of rows of a Jacobian, of which two are in memory at a time; and number of operations per
# microsecond in products of two blocks.
_JACOBIAN_BYTES, _PRODUCT_RATE = 2**28, 5e3

# Evaluations of the gradient in a gradient flow (400 to 3300 were observed at a tolerance of 1e-4), and
# numbers that are recorded along the flow.
_FLOW_EVALUATIONS, _FLOW_RECORDS = 5_000, 640

# Factor by which another core may be slower, and time for starting and compiling on a busy file system.
_SLOWER = 3
_START_MINUTES = 10.0

# Preparing a dataset, which does not import JAX and may run on the same machine as Snakemake.
# Base cost of any dataset.
_PREPARING_MB, _PREPARING_MINUTES = 500, 5.0
# Largest memory that a login node can spare (CIFAR-10 needs more, Fashion-MNIST less).
_LIGHT_MB = 1000
# Number of arrays as large as all images of the source in bytes (the archive, its content, all images, the
# selected images), and milliseconds to read an image (0.15 for a JPEG).
_IMAGE_COPIES, _IMAGE_MS = 4, 0.2
# Whitening: number of matrices (feature, feature), operations for the eigenvectors divided by the cube of the
# number of features, and operations per microsecond.
_WHITENING_COPIES, _EIGENVECTORS, _WHITENING_RATE = 8, 25, 20e3


class Demand(NamedTuple):
    """Request of a job for memory and time.

    Attributes:
        mem_mb: peak memory, MB.
        runtime: wall time, minutes.
    """

    mem_mb: int
    runtime: int

    def at(self, attempt: int) -> Demand:
        """Return the request for an attempt; each attempt doubles it, as the last may have been too small."""
        factor = 2 ** (attempt - 1)
        return Demand(factor * self.mem_mb, factor * self.runtime)


class Sized(Protocol):
    """A dataset, or the settings of a dataset: anything with known sizes."""

    @property
    def shape(self) -> Shape:
        """Sizes of the dataset."""

    @property
    def precision(self) -> Precision:
        """Floating-point precision of the inputs."""


def dataset(settings: DatasetSettings) -> Demand:
    """Return the memory and time that preparing a dataset needs, without the download."""
    if not isinstance(settings, ImageSettings):
        return Demand(_PREPARING_MB, math.ceil(_PREPARING_MINUTES))
    # All images are read, even if few of them are selected.
    whole = settings.whole
    images, features = whole.train_samples + whole.validation_samples, math.prod(whole.sample)
    copies = _IMAGE_COPIES
    if settings.split == "pooled" or settings.normalised_by_all:
        copies += 1  # one array with the images of both parts
    megabytes = _PREPARING_MB + copies * images * features / 1e6
    seconds = images * _IMAGE_MS / 1e3
    if settings.normalisation in ("zca", "pca"):
        megabytes += _WHITENING_COPIES * features**2 * _DOUBLE / 1e6
        looked_at = images if settings.normalised_by_all else settings.shape.train_samples
        operations = 2 * looked_at * features**2 + _EIGENVECTORS * features**3
        seconds += operations / _WHITENING_RATE / 1e6
    return Demand(math.ceil(megabytes), math.ceil(_PREPARING_MINUTES + _SLOWER * seconds / 60))


def is_light(settings: DatasetSettings) -> bool:
    """Return whether a dataset needs so little memory that a login node may prepare it."""
    return dataset(settings).mem_mb <= _LIGHT_MB


def phase_block(settings: TrainingSettings, dataset: Sized, block: Block) -> Demand:
    """Return the memory and time that training a block of a phase study needs.

    Args:
        settings: settings of the training, with the length of the run in `steps`.
        dataset: dataset that the block trains on.
        block: cells and seeds of the block.
    """
    runs = len(block.amplitudes) * len(block.seeds)
    shape = dataset.shape
    network = settings.model.size(shape)
    records = settings.steps // settings.record_every + 2
    state = network.parameters * (1 + _moments(settings.optimiser))
    state *= 2 if settings.learning_rate_rule.replays else 1
    at_once = runs if settings.batching == "parallel" else 1
    working = at_once * _step_bytes(settings, shape, network)
    microseconds = runs * _training_us(settings, shape, network, records)
    if settings.output_scale is not None:
        state += 2 * network.parameters
        rows = min(settings.kernel_samples, shape.train_samples) * shape.classes
        jacobian = rows * network.parameters * _DOUBLE
        # In memory are two blocks of rows, and both kernels with their difference.
        working = max(working, 2 * min(jacobian, _JACOBIAN_BYTES) + 3 * rows**2 * _DOUBLE)
        microseconds += runs * 4 * rows**2 * network.parameters / _PRODUCT_RATE
    return _demand(
        runs * (state + _record(shape) * records), _data_bytes(settings, dataset) + working, microseconds
    )


def trajectory(settings: TrajectorySettings, dataset: Sized) -> Demand:
    """Return the memory and time that training a trajectory needs; snapshots stay in memory until the end."""
    shape = dataset.shape
    network = settings.model.size(shape)
    kept = snapshots(settings)
    records = settings.steps // settings.record_every + kept
    moments = _moments(settings.optimiser)
    each = 1 + moments if settings.snapshots.optimiser_state else 1
    return _demand(
        (each * kept + moments) * network.parameters + _record(shape) * records,
        _data_bytes(settings, dataset) + _step_bytes(settings, shape, network),
        _training_us(settings, shape, network, records),
    )


def probe(settings: ProbeSettings, run: TrajectorySettings, dataset: Sized) -> Demand:
    """Return the memory and time that probing all snapshots of a trajectory needs."""
    shape = dataset.shape
    network, kept = run.model.size(shape), snapshots(run)
    order = settings.hessian.order
    products = kept * order * len(settings.hessian.losses)
    if settings.ntk is not None:
        # The kernel of the notebook needs the gradient of each logit of each of its samples.
        notebook = shape.classes * (settings.ntk.notebook_samples or 0)
        products += kept * (settings.ntk.order + notebook)
    if settings.residual is not None:
        products += kept * (2 * settings.residual.order + settings.residual.modes + 4)
    if (again := settings.small_steps) is not None:
        places = 1 + again.steps // again.every
        # Gradients, each a third of the cost of a product with the Hessian, and Lanczos steps for two losses.
        products += again.steps * (1 + again.divide) // 3 + 4 * places * again.order
        # The Lanczos vectors and the parameters at every measured step of one descent are in memory.
        order = max(order, places + again.order)
    if settings.density is not None:
        order = max(order, settings.density.order)
        products += len(settings.density.steps) * settings.density.order * settings.density.probes
    if settings.alignment:
        # One gradient for each class, and two dozen forward passes, each half the cost of a product.
        products += kept * (shape.classes + 12)
    if settings.batches is not None:
        # For each batch: one product with the Hessian of all samples, and a cheaper one for the batch alone.
        along = settings.batches
        products += kept * (along.order + along.vectors + 2 * along.count)
        order = max(order, along.order)
    if settings.optimiser is not None:
        products += kept * 2 * settings.optimiser.order
        order = max(order, settings.optimiser.order)
    remembered = _moments(run.optimiser) if settings.optimiser is not None else 0
    # With alignment, the first eigenvector is kept at every snapshot in addition to the parameters.
    beside = remembered + (1 if settings.alignment else 0)
    values = (kept + order) * (1 + beside) * network.parameters + shape.classes * (
        run.steps // run.record_every + kept
    )
    samples = run.looked_at(shape.train_samples)
    # The kernel couples all samples.  The Hessian of a convolutional network is averaged over subsets.
    whole = not run.model.convolutional or settings.ntk is not None or settings.residual is not None
    at_once = samples if whole else min(samples, _PROBED)
    activations = _PRODUCT_ARRAYS * at_once * network.activations * _BYTES[run.precision]
    return _demand(
        values,
        _data_bytes(run, dataset) + activations,
        products * samples * _step_us(run, network) * run.model.cost.probe[run.precision],
    )


def lazy_block(settings: LazySettings, dataset: Sized, block: LazyBlock) -> Demand:
    """Return the memory and time that a block of gradient flows needs."""
    shape = dataset.shape
    network = settings.model(block.width).size(shape._replace(classes=1))
    flows = len(block.scales) * len(block.seeds) * (1 if settings.tilt is None else 2)
    cost = MLPSettings.cost
    sample_us = network.products * cost.product + network.activations * cost.activation
    evaluation_us = shape.train_samples * sample_us * cost.double
    values = flows * (shape.validation_samples + 3 * _FLOW_RECORDS)
    train, test, probed = shape.train_samples, shape.validation_samples, settings.kernel_samples
    # The kernels on test samples, and the kernels of frozen flows with their copies on the device.
    entries = 3 * probed**2 + (2 * train * (train + test) if settings.frozen else 0)
    working = 2 * _JACOBIAN_BYTES + _DOUBLE * (3 * train * network.activations + entries)
    microseconds = flows * min(settings.max_steps, _FLOW_EVALUATIONS) * evaluation_us
    products = 2 * probed**2 + (train * (train + test) if settings.frozen else 0)
    microseconds += flows * 2 * products * network.parameters / _PRODUCT_RATE
    return _demand(values, working, microseconds)


def require_within_limits(config: Config) -> None:
    """Refuse a study if a job would exceed the limits that the configuration sets.

    Args:
        config: configuration with all lengths of runs in steps, see `Config.for_data`.

    Raises:
        UserError: one line that names the study, its demand, and the limit.
    """
    for name, study in config.phase.items():
        where, data = f"phase.{name}", config.datasets[study.dataset]
        _require_steps(where, study, config)
        # Blocks of a study differ in their demand only through their number of runs.
        widest = max(study.blocks, key=lambda block: len(block.amplitudes) * len(block.seeds))
        advice = "fewer seeds_per_block or amplitudes_per_block"
        _require_memory(f"{where}: a training job", phase_block(study, data, widest), config, advice)
    for where, _, probes, run in config.probed_runs():
        data = config.datasets[run.dataset]
        _require_steps(where, run, config)
        advice = "fewer snapshots or records"
        _require_memory(f"{where}: a training job", trajectory(run, data), config, advice)
        _require_memory(f"{where}: a probing job", probe(probes, run, data), config, advice)
    for name, flows in config.lazy.items():
        largest = max(flows.blocks, key=lambda block: (block.width, len(block.scales) * len(block.seeds)))
        demand = lazy_block(flows, config.datasets[flows.dataset], largest)
        advice = "fewer seeds_per_block or scales_per_block"
        _require_memory(f"lazy.{name}: a training job", demand, config, advice)
    for name, settings in config.datasets.items():
        demand = dataset(settings)
        _require_memory(f"datasets.{name}: preparing it", demand, config, "another normalisation")


def _require_steps(where: str, settings: TrainingSettings, config: Config) -> None:
    if settings.steps > config.limits.steps:
        raise UserError(
            f"{where}: a run would have {settings.steps} steps, and limits.steps is {config.limits.steps}; "
            "take fewer steps, or raise the limit"
        )


def _require_memory(what: str, demand: Demand, config: Config, advice: str) -> None:
    if demand.mem_mb > config.limits.memory_mb:
        raise UserError(
            f"{what} would need about {demand.mem_mb} MB, and limits.memory_mb is {config.limits.memory_mb}; "
            f"take {advice}, or raise the limit"
        )


def warn_of_memory(demand: Demand) -> None:
    """Print a warning if a job may need more memory than the machine has; the system may then kill the job.

    This is for commands that are called by hand; within a study, `require_within_limits` refuses such a job.
    """
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    if demand.mem_mb > present:
        print(
            f"this command may need {demand.mem_mb} MB of memory, and the machine has {present:.0f} MB; if "
            "it is killed, take fewer steps, snapshots or seeds",
            file=sys.stderr,
            flush=True,
        )


def snapshots(settings: TrajectorySettings) -> int:
    """Return the largest possible number of snapshots of a trajectory; snapshots of windows may coincide."""
    windows = settings.snapshots.windows
    return (
        settings.steps // settings.snapshots.every
        + 2
        + sum((window.stop - window.start) // window.every + 1 for window in windows)
    )


def _training_us(settings: TrainingSettings, shape: Shape, network: NetworkSize, records: int) -> float:
    """Return the training time of one run in microseconds."""
    cost = settings.model.cost
    evaluated = settings.looked_at(shape.train_samples) + settings.looked_at(shape.validation_samples)
    trained = _RULE_COST[_rule(settings)] * settings.steps * (settings.batch_size or shape.train_samples)
    samples = trained + cost.record * records * evaluated
    return samples * _step_us(settings, network)


def _rule(settings: TrainingSettings) -> str:
    rule = settings.learning_rate_rule
    return "replays" if rule.replays else "adjusts" if rule.adjusts else "constant"


def _step_us(settings: TrainingSettings, network: NetworkSize) -> float:
    """Return the time of a training step per sample, in microseconds."""
    cost = settings.model.cost
    single = network.products * cost.product + network.activations * cost.activation
    return single * (cost.double if settings.precision == "float64" else 1.0)


def _data_bytes(settings: TrainingSettings, dataset: Sized) -> float:
    """Return the bytes of both sets: as stored (one byte per intensity), as inputs, and on the device."""
    shape = dataset.shape
    values = (shape.train_samples + shape.validation_samples) * math.prod(shape.sample)
    return values * (1 + _BYTES[dataset.precision] + _BYTES[settings.precision])


def _step_bytes(settings: TrainingSettings, shape: Shape, network: NetworkSize) -> float:
    """Return the bytes that one run needs in a training step or in a record, whichever is larger."""
    arrays = _PRODUCT_ARRAYS if settings.learning_rate_rule.adjusts else _STEP_ARRAYS
    step = arrays * (settings.batch_size or shape.train_samples) * network.activations
    samples = max(shape.train_samples, shape.validation_samples)
    evaluated = min(settings.looked_at(samples), _EVALUATED)
    return max(step, _EVALUATION_ARRAYS * evaluated * network.widest) * _BYTES[settings.precision]


def _moments(optimiser: OptimiserSettings) -> int:
    """Return the largest number of arrays as large as the parameters in the state of an optimiser."""
    if optimiser.kind == "sgd":
        return 1 if optimiser.arguments else 0
    return 2


def _record(shape: Shape) -> int:
    """Return the number of values in a record: the step, two losses, two accuracies, and Γ of each class."""
    return 5 + shape.classes


def _demand(values: int, working_bytes: float, microseconds: float) -> Demand:
    """Return the request of a job from its number of stored values, working memory and computing time."""
    results = _COPIES * values * _DOUBLE / 1e6
    process = _PROCESS_MB + max(0.0, working_bytes / 1e6 - _WITHIN_PROCESS_MB)
    minutes = _START_MINUTES + _SLOWER * microseconds / 60e6
    return Demand(math.ceil(process + _WRAPPING_MB + results), math.ceil(minutes))
