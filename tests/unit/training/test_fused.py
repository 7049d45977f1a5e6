"""Compare the fused loop with its reference, the program that XLA compiles."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from dynamical_loss import losses
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.datasets.spiral import spiral
from dynamical_loss.losses.weights import Oscillation
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import initial_parameters
from dynamical_loss.models.network import network as network_of
from dynamical_loss.optimisers import optimiser
from dynamical_loss.training import fused_loop, fused_vectors
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Perceptron, Problem, Runs, Schedule

PRECISION = {"float32": 2e-4, "float64": 1e-11}


def problem(*, classes=3, samples=17, features=2, loss="cross_entropy", waveform="triangle", **model):
    settings = MLPSettings(**{"width": 13, **model})
    network = settings.build(classes)
    parts = {}
    for name, seed, points in (("train", 0, samples), ("validation", 1, samples - 4)):
        inputs, labels = spiral(classes=classes, points_per_class=points, turns=1, noise=0.2, seed=seed)
        extra = np.random.default_rng(seed).normal(size=(len(inputs), 8))
        inputs = np.concatenate([inputs, extra], axis=1)[:, :features]
        parts |= {f"{name}_inputs": inputs, f"{name}_targets": np.eye(classes)[labels]}
    return network, Problem(
        network=network_of(settings, network, (features,)),
        loss=losses.sample_loss(loss),
        oscillation=Oscillation(waveform),
        optimiser=optimiser("sgd", {}),
        perceptron=Perceptron(layer.width, loss, layer.bias) if (layer := settings.hidden_layer) else None,
        **parts,
    )


def runs(network, features, seeds=(3, 8), learning_rate=0.7):
    count = len(seeds)
    parameters = initial_parameters(network, (features,), seeds)
    return Runs(parameters, [20, 13], [8.0, 3.0], np.full(count, learning_rate), [80, 60])


def both(network, p, precision, schedule, features=2, **changes):
    arguments = (p, runs(network, features, **changes), schedule)
    return [train_ensemble(*arguments, precision=precision, engine=engine) for engine in ("fused", "xla")]


def assert_agree(ours, reference, tolerance):
    np.testing.assert_array_equal(ours.step, reference.step)
    for name in ("class_weight", "weighted_loss", "loss", "parameters"):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(reference, name), rtol=tolerance, atol=tolerance, err_msg=name
        )
    for name in ("train_accuracy", "validation_accuracy"):
        assert getattr(ours, name).dtype == getattr(reference, name).dtype
        np.testing.assert_allclose(getattr(ours, name), getattr(reference, name), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("precision", "loss", "initialisation"),
    [
        ("float32", "cross_entropy", "lecun"),
        ("float64", "cross_entropy", "glorot"),
        ("float64", "mse", "no_bias"),
    ],
)
def test_the_loop_is_the_reference(precision, loss, initialisation):
    """Losses, accuracies, Γ and snapshots agree over 100 steps up to rounding, which grows slowly here."""
    rate = 0.7 if loss == "cross_entropy" else 0.2
    network, p = problem(loss=loss, initialisation=initialisation)
    schedule = Schedule.regular(100, 7, 30, [(40, 50, 3)])
    ours, reference = both(network, p, precision, schedule, learning_rate=rate)
    assert (ours.engine, reference.engine) == ("fused", "xla")
    assert ours.loss[:, -1].max() < ours.loss[:, 0].min()  # training reduced the loss
    assert ours.parameters.dtype == reference.parameters.dtype == np.dtype(precision)
    assert_agree(ours, reference, PRECISION[precision])


@pytest.mark.parametrize(
    ("classes", "samples", "features", "width", "waveform"),
    [(2, 5, 1, 1, "sine"), (5, 33, 3, 31, "square"), (8, 8, 2, 4, "triangle")],
)
def test_any_shape_of_problem(classes, samples, features, width, waveform):
    network, p = problem(classes=classes, samples=samples, features=features, width=width, waveform=waveform)
    schedule = Schedule.regular(30, 10, 30)
    ours, reference = both(network, p, "float64", schedule, features, learning_rate=0.1)
    assert_agree(ours, reference, 1e-10)


def test_stretches_join_without_a_seam(monkeypatch):
    network, p = problem()
    schedule = Schedule.regular(100, 7, 15)
    whole, _ = both(network, p, "float32", schedule)
    monkeypatch.setattr("dynamical_loss.training.fused._STRETCH", 9)
    pieces, _ = both(network, p, "float32", schedule)
    np.testing.assert_array_equal(whole.parameters, pieces.parameters)
    np.testing.assert_array_equal(whole.weighted_loss, pieces.weighted_loss)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_large_logits_keep_their_loss(precision):
    """If logits differ by hundreds, exp underflows, but the loss must stay correct."""
    network, p = problem()
    parameters = jax.tree.map(lambda leaf: 40 * leaf, initial_parameters(network, (2,), [0]))
    arguments = (p, Runs(parameters, [10], [5.0], [1e-3], [100]), Schedule((0, 1), (0, 1)))
    ours, reference = (
        train_ensemble(*arguments, precision=precision, engine=engine) for engine in ("fused", "xla")
    )
    assert ours.loss[0, 0] > 100
    assert_agree(ours, reference, PRECISION[precision])


def test_divergence_is_seen_as_the_reference_sees_it():
    network, p = problem(loss="mse")
    ours, reference = both(network, p, "float32", Schedule.regular(60, 1), learning_rate=50.0)
    assert ours.diverged.tolist() == reference.diverged.tolist() == [True, True]
    assert np.abs(ours.divergence_step - reference.divergence_step).max() <= 1
    assert (ours.train_accuracy[:, -1] == 0).all()
    assert (ours.validation_accuracy[:, -1] == 0).all()


def test_inputs_that_are_not_numbers_are_not_hidden_by_the_rectifier():
    network, p = problem()
    p.train_inputs[3] = np.nan
    ours, reference = both(network, p, "float64", Schedule.regular(3, 1))
    assert np.isnan(ours.loss).all()
    assert np.isnan(reference.loss).all()
    np.testing.assert_allclose(ours.train_accuracy, reference.train_accuracy, rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "sample", "device"),
    [
        ({"model": {"depth": 2}}, (2,), "cpu"),
        ({"optimiser": {"kind": "adam"}}, (2,), "cpu"),
        ({"optimiser": {"arguments": {"momentum": 0.9}}}, (2,), "cpu"),
        ({"batch_size": 5}, (2,), "cpu"),
        ({}, (784,), "cpu"),
        ({}, (1, 2, 1), "cpu"),
        ({}, (2,), "gpu"),
    ],
)
def test_other_problems_are_left_to_xla(changed, sample, device):
    shape = Shape(30, 30, sample, 3)
    assert TrainingSettings().trained_by(shape._replace(sample=(2,))) == "fused"
    assert TrainingSettings(engine="xla").trained_by(shape) == "xla"
    assert TrainingSettings(**changed).trained_by(shape, device) == "xla"
    with pytest.raises(ValueError, match="engine: fused"):
        TrainingSettings(**changed, engine="fused").trained_by(shape, device)


def test_variants_are_kept_under_names_of_their_own():
    """Variants have the same source and argument types, so only the name distinguishes them in the cache."""
    names = {
        fused_loop._compiled(8, 8, 2, 3, "cross_entropy", bias, "float32", adjusted, scaled).name
        for bias in (True, False)
        for adjusted, scaled in ((True, False), (False, False), (False, True))
    }
    assert len(names) == 6


@pytest.mark.parametrize("most", [1, 2, 5, 6])
def test_blocks_hold_every_vector_once(most):
    for vectors in range(60):
        size, end, rest = fused_loop._blocks(vectors, most)
        assert 1 <= rest <= size <= most and 0 <= end <= vectors
        assert end % size == 0 and (vectors - end) % rest == 0
        assert end // size + (vectors - end) // rest == -(-vectors // most)


@pytest.mark.parametrize(
    ("width", "registers", "precision"),
    [
        (16, 16, "float64"),
        pytest.param(32, 16, "float64", marks=pytest.mark.long),
        (64, 32, "float32"),
    ],
)
def test_vectors_of_each_width_agree(width, registers, precision, tmp_path):
    """LLVM divides vectors that this processor does not have, so the code for others runs here.

    The program consists of one function: a call would pass all vectors of a block through memory.
    """
    if width == 32 and fused_vectors.BYTES < 32:
        pytest.skip("the comparison of AVX2 is an instruction that this processor lacks")
    program = f"""
from dynamical_loss.training import fused_vectors
fused_vectors.BYTES, fused_vectors.REGISTERS = {width}, {registers}
import dataclasses, re
import test_fused as t
from dynamical_loss.training.compiled import Compiled
from dynamical_loss.training.step_size import DriftAdjusted
compiled = []
class Watched(Compiled):
    def _program(self, types):
        compiled.append((super()._program(types), types))
        return compiled[-1][0]
t.fused_loop.Compiled = Watched
network, p = t.problem(samples=43, width=100)
adjusted = dataclasses.replace(p, step_size=DriftAdjusted(0.75, 0.3, 0.4))
for each in (p, adjusted):
    found = t.both(network, each, "{precision}", t.Schedule.regular(60, 20))
    t.assert_agree(*found, {PRECISION[precision]})
assert len(compiled) == 2
name = re.compile(r"^_*Z\\w*dynamical_loss\\w*training\\d+(fused_[a-z]+)\\w*:", re.M)
for program, types in compiled:
    assert set(name.findall(program.inspect_asm(types))) == {{"fused_loop"}}
"""
    # Only a program that is not taken from disk shows its assembly code.
    own = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, check=True, env=own)


def test_the_loop_is_refused_where_it_does_not_apply():
    network, p = problem(depth=2)
    assert p.perceptron is None
    schedule = Schedule.regular(5, 5)
    assert train_ensemble(p, runs(network, 2), schedule, precision="float32").engine == "xla"
    with pytest.raises(ValueError, match="engine: fused trains only perceptrons"):
        train_ensemble(p, runs(network, 2), schedule, precision="float32", engine="fused")
