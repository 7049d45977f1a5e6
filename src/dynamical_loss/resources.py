"""How much memory and time a job may take, from its settings: what a cluster's scheduler is told.

Costs were measured on one core of the machine that `benchmarks/README.md` describes, and are those of a
CPU; a GPU job takes less.  A request that is too small kills a job, and one that is far too large keeps it
waiting.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from dynamical_loss.config.datasets import SpiralSettings
from dynamical_loss.config.models import ModelSettings
from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.training import TrainingSettings, TrajectorySettings
from dynamical_loss.grid import Block

_FEATURES = 2  # of the spiral
_DOUBLE = 8  # bytes

# Memory of a process beside its data (compiling probes takes the most: 720), and of the two runs of
# Snakemake that the SLURM executor wraps around a job (130 to 170 each).
_PROCESS_MB = 800
_WRAPPING_MB = 400
# Arrays as large as the result that are held at one time: XLA 2.3, the fused engine and the probes fewer.
_COPIES = 3

# Microseconds, for each parameter and sample, of a training step (of the XLA engine; the fused one takes a
# quarter of it), and of a product with the Hessian or the NTK.
_STEP_US = {"float32": 1.0e-4, "float64": 2.5e-4}
_PRODUCT_US = 1e-3
_RECORD_STEPS = 2  # what a record of loss and accuracies costs, in training steps
# How much slower a core may be, and how long starting and compiling may take on a busy file system.
_SLOWER = 3
_START_MINUTES = 10.0


class Demand(NamedTuple):
    """What a job may take.

    Attributes:
        mem_mb: peak memory, MB.
        runtime: wall time, minutes.
    """

    mem_mb: int
    runtime: int

    def at(self, attempt: int) -> Demand:
        """Twice as much with each attempt after the first, as a job may have failed for want of it."""
        factor = 2 ** (attempt - 1)
        return Demand(factor * self.mem_mb, factor * self.runtime)


def parameters(model: ModelSettings, classes: int) -> int:
    """Number of parameters of a network for the spiral."""
    sizes = [_FEATURES, *[model.width] * model.depth, classes]
    bias = 0 if model.initialisation == "no_bias" else 1
    return sum((size + bias) * after for size, after in itertools.pairwise(sizes))


def phase_block(settings: TrainingSettings, dataset: SpiralSettings, block: Block) -> Demand:
    """What training a block of a phase study takes."""
    runs = len(block.amplitudes) * len(block.seeds)
    size = parameters(settings.model, dataset.classes)
    records = settings.steps // settings.record_every + 2
    work = (settings.steps + _RECORD_STEPS * records) * runs * size * _samples(dataset)
    return _demand(runs * (size + _record(dataset) * records), work * _STEP_US[settings.precision])


def trajectory(settings: TrajectorySettings, dataset: SpiralSettings) -> Demand:
    """What training a trajectory takes; its snapshots are held in memory until it ends."""
    size = parameters(settings.model, dataset.classes)
    kept = snapshots(settings)
    records = settings.steps // settings.record_every + kept
    work = (settings.steps + _RECORD_STEPS * records) * size * _samples(dataset)
    return _demand(kept * size + _record(dataset) * records, work * _STEP_US[settings.precision])


def probe(settings: ProbeSettings, run: TrajectorySettings, dataset: SpiralSettings) -> Demand:
    """What probing all snapshots of a trajectory takes."""
    size, kept = parameters(run.model, dataset.classes), snapshots(run)
    order = settings.hessian.order
    products = kept * order * len(settings.hessian.losses)
    if settings.ntk is not None:
        # The notebook's kernel takes the gradient of each logit of each of its samples.
        notebook = dataset.classes * (settings.ntk.notebook_samples or 0)
        products += kept * (settings.ntk.order + notebook)
    if settings.density is not None:
        order = max(order, settings.density.order)
        products += len(settings.density.steps) * settings.density.order * settings.density.probes
    values = (kept + order) * size + dataset.classes * (run.steps // run.record_every + kept)
    return _demand(values, products * size * _samples(dataset) * _PRODUCT_US)


def snapshots(settings: TrajectorySettings) -> int:
    """How many snapshots a trajectory keeps, at most: those of windows may fall on others."""
    windows = settings.snapshots.windows
    return (
        settings.steps // settings.snapshots.every
        + 2
        + sum((window.stop - window.start) // window.every + 1 for window in windows)
    )


def _samples(dataset: SpiralSettings) -> int:
    return dataset.classes * dataset.points_per_class


def _record(dataset: SpiralSettings) -> int:
    """Numbers in a record: the step, two losses, two accuracies, and Γ of each class."""
    return 5 + dataset.classes


def _demand(values: int, microseconds: float) -> Demand:
    """The request for a job that keeps so many numbers and computes for so long."""
    data = _COPIES * values * _DOUBLE / 1e6
    minutes = _START_MINUTES + _SLOWER * microseconds / 60e6
    return Demand(math.ceil(_PROCESS_MB + _WRAPPING_MB + data), math.ceil(minutes))
