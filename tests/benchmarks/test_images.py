"""The benchmark of training on images: equal computations, correct counts and ratios.  Nothing is timed."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import image_training  # noqa: E402
import images  # noqa: E402
import pytorch  # noqa: E402
import run  # noqa: E402
import table  # noqa: E402

from dynamical_loss.datasets.kind import Shape  # noqa: E402
from dynamical_loss.models.kinds.myrtle5 import Myrtle5Settings  # noqa: E402

TOY = images.TOY


@pytest.fixture(scope="module")
def plain():
    return image_training.Plain(TOY, image_training.build(TOY)[1])


def test_engine_and_plain_program_do_the_same_computation(plain):
    assert image_training.check_agreement(TOY, plain) <= 1e-5
    # The loss must fall by more than the permitted difference, as otherwise agreement would mean little.
    before, after = plain.loss(plain.state), plain.loss(plain.steps_alone(image_training.AGREEMENT_STEPS))
    assert after < before * (1 - 10 * image_training.AGREEMENT["full"])


def test_a_loop_makes_the_same_steps(plain):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        plain.steps_in_a_loop(7),
        plain.steps_alone(7),
    )


def test_an_engine_that_computes_something_else_is_named(plain, monkeypatch):
    for loss in (2.0, np.nan):
        monkeypatch.setattr(image_training, "engine_loss", lambda *_, loss=loss: loss)
        with pytest.raises(RuntimeError, match="engine: after 5 steps of 4 channels in full"):
            image_training.check_agreement(TOY, plain)


@pytest.mark.parametrize(("channels", "side"), [(16, 32), (64, 32), (4, 8)])
def test_layers_are_those_of_the_network(channels, side):
    case = image_training.Case(channels, 10, side=side)
    shape = Shape(5, 5, case.image, image_training.CLASSES)
    size = Myrtle5Settings(kind="myrtle5", channels=channels).size(shape)
    convolutions = sum(layer.products for layer in image_training.layers(case))
    assert convolutions + channels * image_training.CLASSES == size.products


def test_operation_count_against_the_compiler():
    """Compare the formula with XLA's own count, which leaves out zeros of the padding."""
    case = image_training.Case(16, 4, samples=4)
    plain = image_training.Plain(case, image_training.build(case)[1])
    counted = plain._step.lower(plain.state, plain.images, plain.labels).cost_analysis()["flops"]
    assert image_training.operations(case) * case.batch == pytest.approx(counted, rel=0.15)


def test_the_convolutions_alone_are_those_of_a_step():
    """Compare each form with the gradients of a convolution written as a sum over shifts."""

    def by_shifts(pictures, kernel):
        side = pictures.shape[1]
        padded = jnp.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifted = [
            (padded[:, row : row + side, column : column + side], kernel[row, column])
            for row in range(3)
            for column in range(3)
        ]
        return sum(jnp.einsum("nhwi,io->nhwo", part, tap, precision="highest") for part, tap in shifted)

    found = image_training.convolutions(TOY)
    assert len(found) == 4 + 4 + 3  # no step needs the gradient of the first layer's images
    for index in range(1, 4):
        operands = found[f"{index} image gradient"][0].args
        pictures, kernel, cotangent = operands
        expected, pull_back = jax.vjp(by_shifts, pictures, kernel)
        of_images, of_kernel = pull_back(cotangent)
        close = {"rtol": 1e-4, "atol": 1e-3}
        for form in found[f"{index} forward"]:
            np.testing.assert_allclose(form(), expected, **close)
        for form in found[f"{index} image gradient"]:
            np.testing.assert_allclose(form(), of_images, **close)
        directly, swapped, own = found[f"{index} kernel gradient"]
        np.testing.assert_allclose(directly(), of_kernel, **close)
        np.testing.assert_allclose(own(), of_kernel, **close)
        np.testing.assert_allclose(swapped().transpose(1, 2, 0, 3), of_kernel, **close)


def test_ratios_are_formed_repetition_by_repetition():
    times = {
        "engine": [2.0, 4.0, 3.0],
        "plain xla": [1.0, 4.0, 6.0],
        "plain xla in a loop": [30.0],
        "convolutions alone": [1.0, 1.0, 1.0],
    }
    case = image_training.Case(16, 100)
    found = images.of_case(case, times, 100.0, device="one core")
    engine = {"contender": "engine", **case.keys, "device": "one core"}
    speed = table.first(found, quantity="throughput", **engine)
    assert (speed["median"], speed["minimum"], speed["maximum"]) == (100 / 3, 25.0, 50.0)
    ratio = table.first(found, quantity="of plain xla", **engine)
    assert (ratio["median"], ratio["minimum"], ratio["maximum"]) == (1.0, 0.5, 2.0)
    assert table.median(found, quantity="of the convolutions alone", **engine) == pytest.approx(1 / 3)
    share = table.median(found, quantity="of the matrix product", **engine)
    assert share == pytest.approx(100 / 3 * image_training.operations(case) / 100e9)
    alone = {**engine, "contender": "plain xla"}
    assert table.median(found, quantity="of plain xla", **alone) == 1.0
    # A contender that was timed once is compared with the first repetition of the others.
    loop = table.first(found, quantity="of plain xla", **{**engine, "contender": images.IN_A_LOOP})
    assert (loop["median"], loop["repetitions"]) == (1 / 30, 1)
    # The peak of products in bfloat16 is different and is not measured.
    lower = images.of_case(case._replace(arithmetic="bfloat16"), times, 100.0)
    assert {entry["median"] for entry in table.select(lower, quantity="of the matrix product")} == {None}


def test_accuracies_are_compared_seed_by_seed():
    found = images.of_accuracies({"full": [0.5, 0.7, 0.9], "bfloat16": [0.6, 0.7, 1.1]}, amplitude=1.0)
    lower = {"arithmetic": "bfloat16", "amplitude": 1.0}
    # Differences 0.1, 0 and 0.2: mean 0.1, standard error 0.1 / √3; Student's quantile for 2 degrees of
    # freedom is 4.302653.
    assert table.median(found, quantity="mean difference of accuracy", **lower) == pytest.approx(0.1)
    half = table.median(found, quantity="half its 95 % interval", **lower)
    assert half == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-6)
    assert table.first(found, quantity="accuracy", arithmetic="full")["maximum"] == 0.9
    assert table.first(found, quantity="mean difference of accuracy", arithmetic="full") is None


@pytest.mark.skipif(not run.pytorch_is_there(), reason="needs PyTorch, which no lock file has")
@pytest.mark.parametrize("arithmetic", ["full", "bfloat16"])
def test_pytorch_does_the_same_computation(plain, arithmetic):
    case = TOY._replace(arithmetic=arithmetic)
    torch = pytorch.Torch(case, image_training.build(TOY)[1])
    before = torch.loss()
    torch.steps(image_training.AGREEMENT_STEPS)
    assert image_training.disagreement(case, "pytorch", torch.loss(), plain) <= 1e-2
    assert torch.loss() < before
    torch.steps(0)
    assert torch.loss() == before


def test_pytorch_is_asked_for_in_vain_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(run, "pytorch_is_there", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        run.parse(["--quick", "--output", "x.json", "--pytorch"])
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("--pytorch: PyTorch is not installed; pip install torch==2.13.0, or leave --pytorch out")
    )


def test_nothing_moves_between_host_and_device_within_a_stretch():
    """Data are arguments on the device, and JAX refuses implicit transfers to the device."""
    steps = 12  # three epochs
    program, (samples, run, state, stops) = images.stretch_program(TOY, steps)
    # These arguments are moved at the start of a stretch; it does not use the initial parameters, which stay.
    placed = run._replace(
        **{name: jax.device_put(getattr(run, name)) for name in run._fields if name != "parameters"}
    )
    stops = jax.device_put(stops)
    with jax.transfer_guard("disallow"):
        (parameters, *_), _, _ = program(samples, placed, state, stops)
        with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
            program(samples, run, state, stops)
    moves = [np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (parameters, state[0])), strict=True)]
    assert min(moves) > 1e-4
    # Data are not constants of the program either.  Besides data and state its arguments are only three
    # pairs of numbers and two truth values for stops, and period, amplitude, η, end and seed.
    ends = images.moved(TOY, steps)
    assert ends.to_device == (3 * 2 + 5) * 4 + 2
    records = 2 * (image_training.CLASSES + 4)
    snapshot = sum(leaf.size for leaf in jax.tree.leaves(state[0]))
    assert 0 <= ends.to_host - (records + snapshot) * 4 <= 200  # the rest are addresses of the parts
