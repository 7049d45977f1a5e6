"""Requests of jobs cover the measured memory and time, and grow with the size of the jobs."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamical_loss import resources
from dynamical_loss.config import document
from dynamical_loss.config.lazy import LazySettings, TiltSettings
from dynamical_loss.config.probes import BatchSettings, HessianSettings, NTKSettings, ProbeSettings
from dynamical_loss.config.training import (
    OptimiserSettings,
    SnapshotSettings,
    TrainingSettings,
    TrajectorySettings,
)
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.datasets.kinds.cifar10 import Cifar10Settings
from dynamical_loss.datasets.kinds.digits import DigitsSettings
from dynamical_loss.datasets.kinds.fashion_mnist import FashionMnistSettings
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.figures.registry import FIGURES
from dynamical_loss.grid import Block, LazyBlock
from dynamical_loss.models import native
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.kinds.myrtle5 import Myrtle5Settings
from dynamical_loss.models.kinds.wide_resnet import WideResNetSettings
from dynamical_loss.models.network import apply_function
from dynamical_loss.probes import ntk, spectra
from dynamical_loss.training import xla
from dynamical_loss.training.types import Schedule

CONFIG = document.read(Path(__file__).parents[2] / "config.yaml", FIGURES)
SPIRAL = CONFIG.datasets["spiral"]
THRESHOLD = CONFIG.threshold["scaling"].trajectory
CASCADE = CONFIG.trajectories["cascade"]
RUNS = {
    "cascade": CASCADE,
    "wide_cascade": CASCADE.model_copy(
        update={
            "model": MLPSettings(width=1000),
            "steps": 20_000,
            "snapshots": SnapshotSettings(every=CASCADE.snapshots.every),
        }
    ),
    "static_w1000": CONFIG.trajectories["static_w1000"],
    "threshold_w100_lr0.25": THRESHOLD.at_learning_rate(0.25, 100),
    "threshold_w1000": THRESHOLD.at_learning_rate(1.0, 1000),
    "threshold_w1000_xla": THRESHOLD.at_learning_rate(1.0, 1000).model_copy(
        update={"engine": "xla", "steps": 20_000}
    ),
}


@pytest.mark.parametrize("initialisation", ["lecun", "glorot", "no_bias"])
@pytest.mark.parametrize(("width", "depth", "classes"), [(100, 1, 3), (7, 3, 5)])
def test_parameters_are_counted_as_the_network_has_them(initialisation, width, depth, classes):
    settings = MLPSettings(width=width, depth=depth, initialisation=initialisation)
    network = settings.build(classes)
    leaves = jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 2))))
    size = settings.size(Shape(1, 1, (2,), classes))
    assert size.parameters == size.products == sum(leaf.size for leaf in leaves)
    assert size.activations == depth * width + classes
    assert size.widest == max(width, classes)


@pytest.mark.parametrize("name", RUNS)
def test_snapshots_are_counted_as_the_schedule_has_them(name):
    run = RUNS[name]
    windows = [(window.start, window.stop, window.every) for window in run.snapshots.windows]
    kept = Schedule.regular(run.steps, run.record_every, run.snapshots.every, windows).snapshot_steps
    repeated = sum((stop - start) // every + 1 for start, stop, every in windows)
    assert len(kept) <= resources.snapshots(run) <= len(kept) + repeated + 2


# Peak memory and wall time of a single job on one core, by /usr/bin/time: (training: MB, s; probing: MB, s).
MEASURED = {
    "cascade": (620, 16, 722, 76),
    "wide_cascade": (538, 9, 804, 263),  # processor time for the probes; other processes ran at the same time
    "static_w1000": (515, 11, 394, 18),
    "threshold_w100_lr0.25": (542, 9, 397, 12),
    "threshold_w1000": (699, 17, 648, 134),
    "threshold_w1000_xla": (537, 28, 414, 37),
}


@pytest.mark.parametrize("name", MEASURED)
def test_a_trajectory_gets_what_it_was_seen_to_take_and_not_ten_times_more(name):
    run = RUNS[name]
    probes = getattr(run, "probes", CONFIG.threshold["scaling"].probes)
    demands = (resources.trajectory(run, SPIRAL), resources.probe(probes, run, SPIRAL))
    for demand, (memory, seconds) in zip(demands, (MEASURED[name][:2], MEASURED[name][2:]), strict=True):
        snakemake = 2 * 130  # MB, for the two processes of Snakemake around the job
        assert memory + snakemake < demand.mem_mb < 3 * (memory + snakemake)
        assert 2 * seconds / 60 < demand.runtime < 15 + 10 * seconds / 60


BLOCK = Block(200, (10.0,), 0, 9)


@given(st.integers(1, 10), st.integers(1, 10), st.integers(1, 10))
def test_a_block_asks_for_more_the_more_it_trains(steps, width, seeds):
    def demand(steps, width, seeds):
        settings = TrainingSettings(steps=1_000_000 * steps, model=MLPSettings(width=100 * width))
        return resources.phase_block(settings, SPIRAL, Block(200, (10.0,), 0, 10 * seeds - 1))

    base = demand(steps, width, seeds)
    for larger in (
        demand(steps + 1, width, seeds),
        demand(steps, width + 1, seeds),
        demand(steps, width, seeds + 1),
    ):
        assert larger.runtime > base.runtime
        assert larger.mem_mb >= base.mem_mb


def test_more_samples_take_more_time():
    settings = TrainingSettings(model=MLPSettings(width=1000))
    larger = SpiralSettings(points_per_class=1000)
    assert (
        resources.phase_block(settings, larger, BLOCK).runtime
        > resources.phase_block(settings, SPIRAL, BLOCK).runtime
    )


def test_a_wide_trajectory_asks_for_its_snapshots():
    """2801 snapshots of 6003 parameters take 134 MB in double precision."""
    narrow = resources.trajectory(THRESHOLD.at_learning_rate(1.0, 100), SPIRAL)
    wide = resources.trajectory(THRESHOLD.at_learning_rate(1.0, 1000), SPIRAL)
    assert wide.mem_mb - narrow.mem_mb > 134


def test_another_attempt_may_take_twice_as_much():
    demand = resources.phase_block(TrainingSettings(), SPIRAL, BLOCK)
    assert demand.at(1) == demand
    assert demand.at(2) == (2 * demand.mem_mb, 2 * demand.runtime)
    assert demand.at(3) == demand.at(2).at(2)


# Images -------------------------------------------------------------------------------------------

CIFAR10 = Cifar10Settings(kind="cifar10")
SUBSET = Cifar10Settings(kind="cifar10", train_samples=5_000, validation_samples=1_000)


def myrtle5(channels=64):
    return Myrtle5Settings(kind="myrtle5", channels=channels)


def wide_resnet(depth, widening, normalisation="batch"):
    return WideResNetSettings(kind="wide_resnet", depth=depth, widening=widening, normalisation=normalisation)


NESTEROV = OptimiserSettings(arguments={"momentum": 0.9, "nesterov": True})


def image_training(model=None, **changed):
    """Settings for Myrtle5 on batches, for one epoch of all of CIFAR-10."""
    values = {"steps": 98, "batch_size": 512, "record_every": 98, "optimiser": NESTEROV, **changed}
    return TrainingSettings(dataset="images", model=model or myrtle5(), **values)


@pytest.mark.parametrize(
    ("model", "dataset", "parameters"),
    [
        (myrtle5(64), CIFAR10, 112_960),
        (myrtle5(16), CIFAR10, 9 * 3 * 16 + 3 * 9 * 16 * 16 + 10 * 16),
        (myrtle5(8), FashionMnistSettings(kind="fashion_mnist"), 9 * 8 + 3 * 9 * 64 + 80),
        # Published numbers for PyTorch's networks of this design with ten classes.
        (wide_resnet(16, 4), CIFAR10, 2_748_890),
        (wide_resnet(16, 8), CIFAR10, 10_961_370),
        (wide_resnet(28, 10), CIFAR10, 36_479_194),
        (MLPSettings(width=7), DigitsSettings(kind="digits"), 65 * 7 + 8 * 10),
    ],
)
def test_networks_of_images_have_as_many_parameters_as_is_known(model, dataset, parameters):
    assert model.size(dataset.shape).parameters == parameters


def test_without_batch_norm_scales_and_biases_are_missing():
    """WRN-10-1 normalises layers of 16, 16 | 16, 32 | 32, 64 | 64 channels."""
    with_norm, without = (
        wide_resnet(10, 1, kind).size(CIFAR10.shape).parameters for kind in ("batch", "none")
    )
    assert with_norm - without == 2 * (16 + 16 + 16 + 32 + 32 + 64 + 64)


def test_products_of_myrtle5_are_counted_pixel_by_pixel():
    size = myrtle5(64).size(CIFAR10.shape)
    assert size.products == 32**2 * 9 * (3 + 64) * 64 + (16**2 + 8**2) * 9 * 64 * 64 + 640
    assert size.activations == 64 * (2 * 32**2 + 16**2 + 8**2) + 10
    assert size.widest == 64 * 32**2
    odd = myrtle5(8).size(Shape(1, 1, (7, 7, 1), 10))
    assert odd.products == 49 * 9 * (1 + 8) * 8 + (9 + 1) * 9 * 64 + 80


def test_products_of_a_wide_resnet_are_the_published_ones():
    """WRN-28-10 needs 5.2 billion multiply-adds for a 32×32 image."""
    assert wide_resnet(28, 10).size(CIFAR10.shape).products == pytest.approx(5.24e9, rel=0.01)


@pytest.mark.parametrize("channels", [4, 16])
def test_products_and_the_cost_of_a_record_are_what_xla_counts(channels):
    """XLA counts a tenth fewer products, without the zeros of the padding.

    A record is a forward pass; a step also computes gradients.
    """
    settings, shape = myrtle5(channels), Shape(1, 1, (16, 16, 3), 10)
    model = settings.build(shape.classes)
    images = jax.ShapeDtypeStruct((8, *shape.sample), jnp.float32)
    weights = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    apply = apply_function(model)

    def operations(function):
        return jax.jit(function).lower(weights, images).cost_analysis()["flops"]

    with native.xla_alone():  # XLA does not count operations in compiled C code
        forward = operations(apply)
        step = operations(jax.grad(lambda weights, images: jnp.sum(apply(weights, images) ** 2)))
    assert 0.85 < forward / (2 * 8 * settings.size(shape).products) < 1
    assert settings.cost.record == pytest.approx(forward / step, rel=0.15)


def test_samples_at_a_time_are_those_of_training_and_probes():
    assert resources._EVALUATED == xla._EVALUATED
    assert resources._PROBED == spectra._SAMPLES
    assert resources._JACOBIAN_BYTES == ntk._BLOCK_BYTES


@pytest.mark.parametrize("width", [100, 20_000])
def test_a_scaled_run_gets_what_its_kernels_take(width):
    """In addition to the process, there are two blocks of 900 rows of the Jacobian and three kernels."""
    plain, scaled = (
        resources.phase_block(
            TrainingSettings(model=MLPSettings(width=width), steps=10, output_scale=scale), SPIRAL, BLOCK
        )
        for scale in (None, 2.0)
    )
    jacobian = min(900 * (6 * width + 3) * 8, resources._JACOBIAN_BYTES)
    beyond = (2 * jacobian + 3 * 900**2 * 8) / 1e6 - resources._WITHIN_PROCESS_MB
    assert scaled.mem_mb - plain.mem_mb == pytest.approx(beyond, rel=0.1)
    assert (scaled.runtime == plain.runtime) == (width == 100)


def slowest(channels):
    """Return how many images XLA trained per second on one core, on the slowest machine that was measured."""
    return min(
        entry["median"]
        for path in (Path(__file__).parents[2] / "benchmarks" / "results").glob("*.json")
        for entry in json.loads(path.read_text(encoding="utf-8"))["measurements"]
        if (entry["section"], entry["quantity"]) == ("images", "throughput")
        and (entry["contender"], entry["arithmetic"]) == ("plain xla", "full")
        and (entry["channels"], entry["device"]) == (channels, "one core")
    )


# A product with the Hessian takes 3.8 times as long as training.
IMAGES_A_SECOND = {channels: slowest(channels) for channels in (16, 64)}
# Peak memory in MB, by number of channels: training on batches of 512, and a product with the Hessian on 500
# images; the dataset itself is tiny.
PEAK_MB = {16: (606, 675), 64: (1370, 1684)}


@pytest.mark.parametrize("channels", IMAGES_A_SECOND)
def test_training_on_images_gets_what_it_was_seen_to_take(channels):
    """It gets the time that was measured, times three for slower cores; hardly any records are made."""
    few, many = (
        resources.phase_block(
            image_training(myrtle5(channels), steps=98 * epochs, record_every=98 * 200), CIFAR10, BLOCK
        ).runtime
        for epochs in (100, 200)
    )
    minutes_an_epoch = 50_000 / IMAGES_A_SECOND[channels] / 60
    assert (many - few) / (100 * 10) == pytest.approx(3 * minutes_an_epoch, rel=0.05)
    little = Cifar10Settings(kind="cifar10", train_samples=512, validation_samples=10)
    memory = resources.phase_block(image_training(myrtle5(channels)), little, BLOCK).mem_mb
    assert PEAK_MB[channels][0] + 2 * 130 < memory < 3 * (PEAK_MB[channels][0] + 2 * 130)


@pytest.mark.parametrize("channels", IMAGES_A_SECOND)
def test_probing_on_images_gets_what_it_was_seen_to_take(channels):
    run = TrajectorySettings(
        model=myrtle5(channels),
        precision="float32",
        batch_size=512,
        steps=1000,
        period=100,
        evaluation_samples=1000,
        snapshots=SnapshotSettings(every=99),
    )
    demand = resources.probe(ProbeSettings(hessian=HessianSettings(order=20)), run, SUBSET)
    seconds = 12 * 20 * 1000 * 3.8 / IMAGES_A_SECOND[channels]
    assert 2 * seconds / 60 < demand.runtime < 15 + 20 * seconds / 60
    assert PEAK_MB[channels][1] + 2 * 130 < demand.mem_mb < 3 * (PEAK_MB[channels][1] + 2 * 130)


def test_probing_along_batches_takes_a_product_for_each_vector_and_two_for_each_batch():
    run = TrajectorySettings(
        model=myrtle5(16),
        precision="float32",
        batch_size=512,
        steps=10_000,
        period=100,
        evaluation_samples=1000,
        snapshots=SnapshotSettings(every=99),
    )
    along = BatchSettings(count=20, vectors=30, order=10)
    plain, more = (
        resources.probe(
            ProbeSettings(hessian=HessianSettings(order=20), batches=batches), run, SUBSET
        ).runtime
        for batches in (None, along)
    )
    begin = 10
    assert (more - begin) / (plain - begin) == pytest.approx((20 + 10 + 30 + 2 * 20) / 20, rel=0.02)


def larger(**changed):
    return resources.phase_block(image_training(**changed), CIFAR10, BLOCK)


@pytest.mark.parametrize(
    "changed",
    [
        {"steps": 196},
        {"batch_size": 1024},
        {"record_every": 1},
        {"model": myrtle5(128)},
        {"model": wide_resnet(16, 4)},
        {"precision": "float64"},
    ],
)
def test_what_a_training_on_images_takes_longer_for(changed):
    assert larger(**changed).runtime > larger().runtime


@pytest.mark.parametrize(
    ("changed", "megabytes"),
    [
        # In this order: four arrays of activations of 512 more images; for double precision, the same again
        # and the data; nine more runs at a time; a second moment for ten runs.
        ({"batch_size": 1024}, 4 * 512 * 151_562 * 4 / 1e6),
        ({"precision": "float64"}, (4 * 512 * 151_562 * 4 + 60_000 * 3072 * 4) / 1e6),
        ({"batching": "parallel"}, 9 * 4 * 512 * 151_562 * 4 / 1e6),
        ({"optimiser": OptimiserSettings(kind="adam")}, 10 * 3 * 112_960 * 8 / 1e6),
        ({"optimiser": OptimiserSettings()}, -10 * 3 * 112_960 * 8 / 1e6),
    ],
)
def test_what_a_training_on_images_takes_more_memory_for(changed, megabytes):
    assert larger(**changed).mem_mb - larger().mem_mb == pytest.approx(megabytes, abs=1)


def test_the_data_are_held_as_bytes_and_twice_as_numbers():
    whole, few = (resources.phase_block(image_training(), data, BLOCK) for data in (CIFAR10, SUBSET))
    assert whole.mem_mb - few.mem_mb == pytest.approx(54_000 * 3072 * 9 / 1e6, abs=1)


def test_a_tiny_batch_takes_what_looking_at_a_thousand_images_does():
    small, tiny = (larger(batch_size=size).mem_mb for size in (2, 1))
    assert small == tiny
    looking = resources.phase_block(image_training(batch_size=1, evaluation_samples=1), CIFAR10, BLOCK)
    assert tiny - looking.mem_mb == pytest.approx((2 * 1000 * 65_536 - 4 * 151_562) * 4 / 1e6, abs=1)


def test_records_take_time_for_every_image_that_they_look_at():
    """Records are evaluated on 6 000 of the 60 000 images of both sets: a tenth."""
    often = image_training(steps=98_000, record_every=98)
    few = often.model_copy(update={"evaluation_samples": 3_000})
    rare = often.model_copy(update={"record_every": 98_000, "evaluation_samples": 1})
    alone, all_images, part = (
        resources.phase_block(item, CIFAR10, BLOCK).runtime for item in (rare, often, few)
    )
    assert (part - alone) / (all_images - alone) == pytest.approx(0.1, rel=0.01)


def test_the_kernel_of_images_takes_all_of_them_at_a_time():
    run = TrajectorySettings(
        model=myrtle5(), precision="float32", steps=1000, period=100, evaluation_samples=2_000
    )
    hessian = ProbeSettings(hessian=HessianSettings(order=2, modes=1))
    kernel = hessian.model_copy(update={"ntk": NTKSettings(order=3)})
    few, many = (resources.probe(probes, run, SUBSET).mem_mb for probes in (hessian, kernel))
    assert many - few == pytest.approx(5 * 1500 * 151_562 * 4 / 1e6, abs=1)


# Peak memory in MB and seconds for preparing CIFAR-10 from 60 000 JPEG files in a tar archive, on one core.
PREPARED = {"standard": (519, 10), "zca": (912, 28)}


@pytest.mark.parametrize("normalisation", PREPARED)
@pytest.mark.parametrize("settings", [CIFAR10, SUBSET])
def test_preparing_images_gets_what_it_was_seen_to_take(settings, normalisation):
    memory, seconds = PREPARED[normalisation]
    demand = resources.dataset(settings.model_copy(update={"normalisation": normalisation}))
    assert 1.2 * memory < demand.mem_mb < 4 * memory
    assert 2 * seconds / 60 < demand.runtime < 15 + 10 * seconds / 60


def test_statistics_of_all_images_take_more_than_those_of_a_part():
    def preparing(**changed):
        return resources.dataset(SUBSET.model_copy(update=changed))

    assert preparing(normalisation="pca").runtime > preparing(normalisation="zca").runtime
    assert preparing(normalisation="pca").mem_mb > preparing(normalisation="sphere").mem_mb
    assert preparing(normalisation="sphere").mem_mb > preparing().mem_mb < preparing(split="pooled").mem_mb
    single, double = (
        resources.phase_block(image_training(), CIFAR10.model_copy(update=changed), BLOCK).mem_mb
        for changed in ({}, {"normalisation": "sphere"})
    )
    assert double - single == pytest.approx(4 * 60_000 * 32 * 32 * 3 / 1e6, abs=1)


def test_preparing_other_datasets_takes_little():
    assert resources.dataset(SPIRAL) == (500, 5)
    assert resources.dataset(DigitsSettings(kind="digits")).mem_mb < 510
    fashion = resources.dataset(FashionMnistSettings(kind="fashion_mnist"))
    assert 500 < fashion.mem_mb < resources.dataset(CIFAR10).mem_mb


@pytest.mark.parametrize("dataset", [SPIRAL, DigitsSettings(kind="digits"), CIFAR10])
def test_all_of_a_set_may_be_named_by_its_size_or_not(dataset):
    """A batch size or a number of evaluation samples of null means all samples."""
    size = dataset.shape.train_samples
    null = TrainingSettings(model=MLPSettings(width=10), steps=1000)
    named = null.model_copy(update={"batch_size": size, "evaluation_samples": 10 * size})
    assert resources.phase_block(null, dataset, BLOCK) == resources.phase_block(named, dataset, BLOCK)


# Gradient flows ------------------------------------------------------------------------------------


def flows(width=64, scales=(0.01, 1.0, 100.0), seeds=2, dataset="digits_parity", **settings):
    block = LazyBlock(width, scales, 0, 0, seeds - 1)
    return resources.lazy_block(LazySettings(**settings), CONFIG.datasets[dataset], block)


def test_gradient_flows_ask_for_what_makes_them_longer():
    # The flows are long, so that the time for starting is negligible.
    usual = flows(width=1024, seeds=100).runtime
    assert flows(width=1024, seeds=200).runtime == pytest.approx(2 * usual, rel=0.1)
    tilt = TiltSettings(period=1, amplitude=10)
    assert usual < flows(width=1024, seeds=100, tilt=tilt).runtime <= 2 * usual
    assert flows(width=1024, seeds=100, depth=3).runtime > usual
    assert flows(width=1024, seeds=100, max_steps=100).runtime < usual
    assert flows(width=1024, seeds=100, frozen=True).runtime > usual
    # Memory for two kernels (train, train + test) and their copies, in double precision.
    entries = 2 * 200 * (200 + 1540) * 8 / 1e6
    assert flows(frozen=True).mem_mb - flows().mem_mb == pytest.approx(entries, abs=1)


def test_a_flow_of_a_measured_length_gets_its_time():
    """Sixty flows with h = 128 on the digits took 94 s to 332 s while other work ran on the machine."""
    assert 60 * flows(width=128, scales=tuple(range(1, 11)), seeds=6, frozen=True).runtime > 3 * 332


def test_only_light_datasets_are_prepared_on_a_login_node():
    assert all(resources.is_light(settings) for settings in CONFIG.datasets.values())
    assert not resources.is_light(CIFAR10)
