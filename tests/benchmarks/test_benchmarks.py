"""The benchmark suite: equal computations, correct counts, tables from stored results.  Nothing is timed."""

import copy
import ctypes
import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import llvmlite.binding
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import contenders  # noqa: E402
import curvature  # noqa: E402
import floor  # noqa: E402
import gradient_flow  # noqa: E402
import growth  # noqa: E402
import image_training  # noqa: E402
import images  # noqa: E402
import machine  # noqa: E402
import roofline  # noqa: E402
import run  # noqa: E402
import table  # noqa: E402

from dynamical_loss.datasets.kind import Shape  # noqa: E402
from dynamical_loss.models.kinds.myrtle5 import Myrtle5Settings  # noqa: E402

needs_compiler = pytest.mark.skipif(floor.compiler() is None, reason="needs a C compiler")


@pytest.mark.long
@pytest.mark.parametrize(("width", "precision"), [(100, "float32"), (500, "float64")])
def test_contenders_do_the_same_computation(width, precision):
    case = contenders.Case(width, precision)
    with jax.enable_x64(precision == "float64"):
        trains = {
            name: contender.prepare(case, min(2, contender.seeds_at(width)))
            for name, contender in contenders.taking_part(width).items()
        }
        largest = contenders.check_agreement(case, trains)
        assert 0 < largest <= contenders.AGREEMENT[precision]
        assert largest <= {"float32": 2e-5, "float64": 1e-10}[precision]


def test_a_contender_that_computes_something_else_is_named():
    trains = {contenders.REFERENCE: lambda steps: np.ones(3), "another": lambda steps: np.array([1.0, 1.1])}
    case = contenders.Case(100, "float32")
    with pytest.raises(RuntimeError, match="another: after 10 steps at width 100 in float32"):
        contenders.check_agreement(case, trains)
    trains["another"] = lambda steps: np.array([np.nan])
    with pytest.raises(RuntimeError, match="another"):
        contenders.check_agreement(case, trains)


def test_a_flow_and_a_gradient_that_are_not_the_same_are_not_timed():
    with jax.enable_x64(True):
        runs = gradient_flow.contenders(8)
        assert runs.keys() == {"flow", "gradient"}
    with pytest.raises(RuntimeError, match="differ by"):
        gradient_flow.check_agreement([np.array([1.0, 2.0])], [np.array([-1.0, 2.0])])


def gradient_descent(inputs, labels, parameters, steps, period, amplitude, learning_rate):
    """Train by gradient descent in plain JAX, with Γ from the paper's formula; return loss and parameters."""

    def weights(t):
        raw = 1 + (amplitude - 1) * (1 - abs(2 * (t % period) / period - 1))
        gamma = np.ones(3)
        gamma[t // period % 3] = raw
        return 3 * gamma / gamma.sum()

    @jax.jit
    def loss(p, gamma):
        hidden = jax.nn.relu(inputs @ p["hidden_0"]["kernel"] + p["hidden_0"]["bias"])
        logits = hidden @ p["output"]["kernel"] + p["output"]["bias"]
        each = jax.nn.logsumexp(logits, axis=1) - logits[jnp.arange(len(labels)), labels]
        return jnp.mean(gamma[labels] * each)

    gradient = jax.jit(jax.grad(loss))
    for t in range(steps):
        slopes = gradient(parameters, weights(t))
        parameters = jax.tree.map(lambda p, g: p - learning_rate * g, parameters, slopes)
    return float(loss(parameters, weights(steps))), parameters


@pytest.fixture(params=["native", "portable"])
def instructions(request, monkeypatch):
    """The loop compiled for the widest vectors of this processor, and for 16-byte vectors."""
    floor.library.cache_clear()
    if request.param == "portable":
        if platform.machine() != "x86_64":
            pytest.skip("there is one version on this processor")
        monkeypatch.setenv("CC", " ".join([*floor.compiler(), "-mno-avx512f", "-mno-avx"]))
        assert ctypes.c_int.in_dll(floor.library("float32"), "vector_bytes").value == 16
    yield
    floor.library.cache_clear()


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("units", "samples"), [(1, 3), (9, 40), (100, 300), (131, 150)])
@pytest.mark.usefixtures("instructions")
def test_the_hand_written_loop_is_gradient_descent(units, samples, precision):
    generator = np.random.default_rng(units)
    inputs, labels = generator.normal(size=(samples, 2)), generator.integers(3, size=samples)
    parameters = {
        "hidden_0": {"kernel": generator.normal(size=(2, units)), "bias": generator.normal(size=units)},
        "output": {"kernel": generator.normal(size=(units, 3)), "bias": generator.normal(size=3)},
    }
    parameters["output"]["kernel"] /= math.sqrt(units)
    settings = {"steps": 25, "period": 8, "amplitude": 10.0, "learning_rate": 0.02}
    with jax.enable_x64(True):
        expected, final = gradient_descent(inputs, labels, parameters, **settings)
    before = jax.tree.map(np.copy, parameters)
    loss, found = floor.train(inputs, labels, parameters, precision=precision, **settings)
    tolerance = {"float32": 1e-4, "float64": 1e-11}[precision]
    assert loss == pytest.approx(expected, rel=tolerance)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=3 * tolerance), found, final)
    jax.tree.map(np.testing.assert_array_equal, parameters, before)


@needs_compiler
def test_the_hand_written_loop_refuses_other_problems():
    parameters = {
        "hidden_0": {"kernel": np.ones((3, 4)), "bias": np.ones(4)},
        "output": {"kernel": np.ones((4, 3)), "bias": np.ones(3)},
    }
    settings = {"steps": 1, "period": 2, "amplitude": 1.0, "learning_rate": 1.0, "precision": "float64"}
    with pytest.raises(ValueError, match="two features, three classes"):
        floor.train(np.ones((5, 3)), np.zeros(5, int), parameters, **settings)


def test_without_a_compiler_the_floor_is_a_null_entry(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "floor" not in contenders.taking_part(100)
    monkeypatch.setattr(contenders, "step_times", lambda *_: ({contenders.REFERENCE: [2.0, 4.0]}, 0.0))
    monkeypatch.setattr(contenders, "_of_fresh_process", lambda *_: [])
    found = contenders.measure([contenders.Case(1000, "float32")], 2, 1.0)
    time = table.first(found, quantity="time", contender="floor")
    assert time["median"] is None and "no C compiler" in time["note"]
    reference = {"contender": contenders.REFERENCE}
    assert table.median(found, quantity="time", **reference) == 3.0
    assert table.median(found, quantity="times faster than plain vmap", **reference) == 1.0
    assert table.median(found, quantity="times slower than the floor", **reference) is None


@pytest.mark.parametrize("width", [100, 1000])
def test_operation_counts_against_the_compiler(width):
    """Compare the formula with XLA's own count of a training step."""
    _, stacked = contenders.build(contenders.Case(width, "float32"), 1)
    parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf[0], jnp.float32), stacked)
    inputs, labels = jnp.asarray(contenders.data().train_inputs), contenders.data().train_labels

    def loss(p):
        hidden = jax.nn.relu(inputs @ p["hidden_0"]["kernel"] + p["hidden_0"]["bias"])
        logits = hidden @ p["output"]["kernel"] + p["output"]["bias"]
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - logits[jnp.arange(300), labels])

    def step(p):
        return jax.tree.map(lambda value, slope: value - slope, p, jax.grad(loss)(p))

    counted = jax.jit(step).lower(parameters).compile().cost_analysis()["flops"]
    formula = roofline.textbook_operations(roofline.Shape(300, 2, width, 3))
    assert formula == pytest.approx(counted, rel=0.2)  # XLA computes some quantities twice


def test_operation_counts_by_hand():
    # One sample, one feature, one unit, two classes.  Forward: w·x + b takes 2, the rectifier 1, two logits
    # with their biases 4.  Backward: two output gradients take 4, the unit's error 3, its mask 1, w and b 3.
    # Softmax and error take 1 + 2 + 2 + 1 + 1 + 2 + 2 + 2.  Updates of six parameters take 2 each.
    shape = roofline.Shape(1, 1, 1, 2)
    assert shape.parameters == 6
    assert roofline.textbook_operations(shape) == (2 + 1 + 4) + (4 + 3 + 1 + 3) + 13 + 12
    # Forward: 3, and 2 for the only difference of logits.  Backward: two masked sums; softmax and a product
    # x·e; 4 for the hidden gradients and 4 for the output gradients.  Then the update.
    assert roofline.fewest_operations(shape) == (3 + 2) + 2 + (13 + 1) + 8 + 12
    for width in (100, 1000):
        wide = roofline.Shape(300, 2, width, 3)
        assert roofline.fewest_operations(wide) < roofline.textbook_operations(wide)


def test_the_smallest_sufficient_order_is_found(monkeypatch):
    def probe(kind, width, order):
        residual = 4.0 * 10.0 ** -np.array([[order, order - 3], [order, order]])
        return lambda snapshots: SimpleNamespace(
            residual=residual, eigenvalue=np.array([[-4.0, 4.0], [4, 4]])
        )

    monkeypatch.setattr(curvature, "probe", probe)
    assert curvature.smallest_order("hessian", 10, None, (8, 40)) == 9
    assert curvature.smallest_order("hessian", 10, None, (3, 9)) == 9
    assert curvature.smallest_order("hessian", 10, None, (2, 7)) == 7  # no order is sufficient


def test_slope_of_a_power_law():
    sizes = np.array([1, 2, 8, 50])
    assert growth.slope(sizes, 3 * sizes**1.7) == pytest.approx(1.7)


def test_peak_memory_grows_with_what_is_held():
    before = machine.peak_memory()
    assert before > 10
    # This array is larger than the peak so far, so that the peak must rise whatever earlier tests have used.
    held = np.ones(round((before + 100) * 1e6 / 8))
    assert machine.peak_memory() >= before + 100
    assert held[-1] == 1


def test_the_machine_has_a_file_name():
    assert machine.label() == machine.label().lower().strip("-")
    assert machine.label().endswith(("-cores", "-core")) and " " not in machine.label()


def test_designs_of_one_name_are_told_apart(monkeypatch):
    """Processors of several designs call themselves AMD EPYC; their numbers must not replace each other."""
    names = set()
    for design in ("znver4", "znver5"):
        monkeypatch.setattr(llvmlite.binding, "get_host_cpu_name", lambda design=design: design)
        monkeypatch.setattr(machine.processor, "name", lambda: "AMD EPYC")
        names.add((machine.label(), table._name(machine.description()["machine"])))
    assert len({label for label, _ in names}) == len({name for _, name in names}) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (2.849, "2.85"),
        (-1.5, "−1.50"),
        (125.4, "125"),
        (345_678.0, "346\N{NARROW NO-BREAK SPACE}000"),
        (2282, "2\N{NARROW NO-BREAK SPACE}282"),
        (1.26e-7, "1.3 · 10⁻⁷"),
    ],
)
def test_numbers_in_tables(value, text):
    assert table.number(value) == text


def test_the_readme_shows_the_stored_results():
    for path, marker in ((table.README, "<!-- table -->"), (table.FRONT, "<!-- speed -->")):
        readme = path.read_text(encoding="utf-8")
        assert marker in readme
        assert table.updated(readme) == readme, "run python benchmarks/table.py"
    for result in table.stored():
        assert not result["quick"]
        assert result["machine"]["label"] in {path.stem for path in table.RESULTS.glob("*.json")}


@pytest.mark.parametrize("option", [["--quick"], ["--only", "steps"]])
def test_partial_runs_do_not_replace_the_stored_results(option, capsys):
    with pytest.raises(SystemExit):
        run.parse(option)
    assert "name an --output" in capsys.readouterr().err


def the_study_without_training(entries):
    """Verify a study of 2 periods × 3 amplitudes and the static cell, with 2 amplitudes per job and 1."""
    scale = table.select(entries, section="scale")
    assert all(entry["minimum"] > 0 for entry in scale)
    plans = table.select(scale, quantity="plan")
    # Jobs: blocks of each period, the static block, the dataset, the aggregation.
    jobs = {entry["amplitudes_per_block"]: entry["jobs"] for entry in plans}
    assert jobs == {2: 2 * 2 + 1 + 2, 1: 2 * 3 + 1 + 2}
    assert {entry["cells"] for entry in scale} == {2 * 3 + 1}
    found = {entry["quantity"]: entry for entry in scale}
    command, overhead = found["command of a training job"], found["overhead a job"]
    assert command["repetitions"] == command["jobs"] == overhead["jobs"] == 5
    wall = found["study without training"]["median"]
    assert overhead["median"] == pytest.approx(overhead["cores"] * wall / 5)
    assert wall > command["maximum"]
    busy = found["overhead a job in processor time"]["median"]
    assert busy < machine.cores() * wall / 5 + 0.1  # the clocks have different resolutions


def the_images(entries):
    here = table.select(entries, device="one core")
    assert {e["contender"] for e in table.select(here, quantity="throughput")} == set(images.CONTENDERS)
    for quantity in ("throughput", "of plain xla", "of the convolutions alone", "of the matrix product"):
        for entry in table.select(here, quantity=quantity):
            assert 0 < entry["minimum"] <= entry["median"] <= entry["maximum"]
            assert entry["repetitions"] == 1
    assert table.median(here, quantity="disagreement") <= image_training.AGREEMENT["full"]
    assert {e["arithmetic"] for e in table.select(entries, quantity="accuracy")} == {"full", "bfloat16"}


def test_overhead_in_the_table():
    study = {"periods": 100, "amplitudes": 100, "cells": 10_001, "seeds": 50, "steps": 1000}
    entries = [
        machine.measurement("scale", "overhead a job", "core·s", 2.0, **study),
        machine.measurement("scale", "training step", "µs", 4.0),
    ]
    # 10 001 cells of 50 runs of 1000 steps at 4 µs are 2000.2 s; 201 jobs at 2 s are 402.
    rows = [line.split(" | ") for line in table.overhead(entries).strip().splitlines()[2:]]
    narrow = "\N{NARROW NO-BREAK SPACE}"
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("| 50", "201", "20.10 % |"),
        ("| 20", "501", "50.09 % |"),
        ("| 1", f"10{narrow}001", "1000.00 % |"),
    ]
    assert table.overhead(entries[:1]) == table.overhead(entries[1:]) == ""


def test_the_cost_of_the_wide_study_follows_from_the_time_of_a_step():
    own = {"contender": "fused engine", "width": 1000, "precision": "float32", "seeds": 8}
    entries = [machine.measurement("step", "time", "µs", [90.0, 100.0, 110.0], **own)]
    # 9 periods × 8 amplitudes and the static loss, 50 seeds and 35 000 steps at 100 µs are 12 775 s.
    assert "73 cells, 50 seeds" in table._steps(entries)
    assert "takes 3.55 core-hours" in table._steps(entries)
    assert "core-hours" not in table._steps([entries[0] | {"precision": "float64"}])


def test_an_update_replaces_its_own_sections_alone():
    def entry(section, value):
        return machine.measurement(section, "time", "s", value)

    origin = {"git_commit": "c" * 40, "git_state": "clean", "wall_seconds": 1}
    before = {"date": "2001-01-01", "measurements": [entry("step", 1), entry("scale", 2)], **origin}
    found = {"date": "2002-02-02", "measurements": [entry("scale", 3)], **origin}
    after = run.merged(before, found)
    assert after["measurements"] == [entry("step", 1), entry("scale", 3)]
    assert (after["date"], after["updates"]["scale"]["date"]) == ("2001-01-01", "2002-02-02")
    assert list(after["updates"]) == ["scale"]
    assert before["measurements"][1] == entry("scale", 2)


@pytest.mark.parametrize(
    "options", [[], ["--quick", "--only", "scale"], ["--only", "scale", "--output", "x"]]
)
def test_an_update_is_of_some_parts_at_full_size(options, capsys):
    with pytest.raises(SystemExit):
        run.parse(["--update", *options])
    assert "--update goes with --only" in capsys.readouterr().err


@pytest.mark.long
def test_quick_run(tmp_path):
    readme, output = table.README.read_bytes(), tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/run.py"), "--quick", "--output", str(output)],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")},
    )
    assert done.returncode == 0, done.stderr
    assert table.README.read_bytes() == readme
    assert output.with_suffix(".png").stat().st_size > 1000
    result = json.loads(output.read_text(encoding="utf-8"), parse_constant=pytest.fail)  # NaN is no JSON
    assert result["quick"] and result["machine"]["cores"] >= 1 and len(result["git_commit"]) in (7, 40)
    entries = result["measurements"]
    identities = [json.dumps({k: e[k] for k in sorted(e.keys() - machine.SPREAD)}) for e in entries]
    assert len(set(identities)) == len(identities)
    for entry in entries:
        assert {"section", "quantity", "unit"} | machine.SPREAD <= set(entry)
        if entry["median"] is not None:
            assert entry["minimum"] <= entry["median"] <= entry["maximum"]
            assert entry["repetitions"] >= 1
    sections = {entry["section"] for entry in entries}
    assert sections >= {
        "agreement",
        "step",
        "process",
        "roofline",
        "probe",
        "growth",
        "start",
        "compiler",
        "scale",
    }
    assert sections >= {"images", "overhead"}
    assert {e["contender"] for e in table.select(entries, section="step")} == set(contenders.CONTENDERS)
    assert {e["varied"] for e in table.select(entries, quantity="exponent")} == set(growth.RANGES)
    jobs = table.first(entries, quantity="snakemake -n at the paper's sizes")["jobs"]
    assert jobs > 1000
    the_study_without_training(entries)
    the_images(table.select(entries, section="images"))
    assert table.render([result]).strip() in done.stdout
    assert "| one core | 4, 10, full | engine |" in done.stdout


def test_what_a_scheduler_is_told_follows_from_the_stored_results():
    assert json.loads(table.COSTS.read_text(encoding="utf-8")) == table.costs(table.stored()), (
        "run python benchmarks/table.py"
    )


def test_costs_are_those_of_the_slowest_machine_and_explain_what_was_measured():
    result = next(each for each in table.stored() if table.select(each["measurements"], section="images"))
    slower = copy.deepcopy(result)
    for entry in table.select(slower["measurements"], section="images", quantity="throughput"):
        entry["median"] /= 2
    found = table.costs([result, slower])["convolutional"]
    shape = Shape(1, 1, (32, 32, 3), 10)
    for channels in (16, 64):
        size = Myrtle5Settings(kind="myrtle5", channels=channels).size(shape)
        own = {"contender": "plain xla", "channels": channels, "arithmetic": "full", "device": "one core"}
        speed = table.median(slower["measurements"], section="images", quantity="throughput", **own)
        reckoned = size.products * found["product"] + size.activations * found["activation"]
        assert reckoned == pytest.approx(1e6 / speed, rel=0.01)


def test_a_disturbed_pair_of_trainings_is_measured_again(monkeypatch):
    clock = iter([0.0, 3.0, 4.0, 10.0, 11.0, 17.0])  # the first pair took 3 and 1 s, the second 1 and 6 s
    monkeypatch.setattr(contenders.time, "process_time", lambda: next(clock))
    assert contenders.step_time(lambda _: None, (10, 60), 2) == pytest.approx(5.0 / (50 * 2) * 1e6)
    monkeypatch.setattr(contenders.time, "process_time", lambda: 0.0)
    with pytest.raises(RuntimeError, match="60 steps took no longer than 10 in 10 pairs"):
        contenders.step_time(lambda _: None, (10, 60), 2)
