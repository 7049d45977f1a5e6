"""Compare Γ_i(t) with the paper's piecewise formula, and check its invariants."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamical_loss.losses.weights import WAVEFORMS, Oscillation, class_weights, raw_weight

STEPS = st.integers(0, 10**6)
PERIODS = st.integers(1, 20_000)
AMPLITUDES = st.floats(1, 500)
CLASSES = st.integers(2, 10)
WAVES = st.sampled_from(WAVEFORMS)


COMPILED = jax.jit(class_weights, static_argnums=(3, 4))


def weights(step, period, amplitude, classes, wave="triangle", *, seed=0, **oscillation):
    with jax.enable_x64(True):
        return np.asarray(COMPILED(step, period, amplitude, classes, Oscillation(wave, **oscillation), seed))


def paper(t, period, amplitude, classes):
    """Compute the weights by Eq. 2-5 as printed in the paper, in plain Python."""
    slope = 2 * (amplitude - 1) / period
    within = t % period
    raised = 1 + slope * within if within <= period / 2 else 2 * amplitude - slope * within - 1
    raw = [raised if index == (t // period) % classes else 1.0 for index in range(classes)]
    return np.array([classes * value / sum(raw) for value in raw])


@given(STEPS, PERIODS, AMPLITUDES, CLASSES)
@settings(max_examples=100)
def test_triangle_is_the_papers_formula(t, period, amplitude, classes):
    np.testing.assert_allclose(
        weights(t, period, amplitude, classes), paper(t, period, amplitude, classes), rtol=1e-12
    )


def notebook(steps, period, amplitude, classes):
    """Compute the weights as the authors' notebooks do: the next class follows when a clock has passed T."""
    clock, turn, found = 0, 0, []
    slope = 2 * (amplitude - 1) / period
    for _ in range(steps):
        raised = 1 + slope * clock if clock <= period / 2 else 2 * amplitude - slope * clock - 1
        raw = [raised if index == turn else 1.0 for index in range(classes)]
        found.append([classes * value / sum(raw) for value in raw])
        clock += 1
        if clock > period:
            clock, turn = 0, (turn + 1) % classes
    return np.array(found)


@pytest.mark.parametrize(("period", "amplitude", "classes"), [(7, 5.0, 3), (10, 70.0, 3), (1, 2.0, 2)])
def test_with_one_step_of_rest_the_weights_are_the_notebooks(period, amplitude, classes):
    steps = np.arange(4 * classes * (period + 1))
    with jax.enable_x64(True):
        found = [class_weights(step, period, amplitude, classes, Oscillation(rest=1)) for step in steps]
    np.testing.assert_allclose(found, notebook(len(steps), period, amplitude, classes), rtol=1e-12)


@pytest.mark.parametrize("rest", [0, 1, 6])
def test_while_it_rests_all_classes_weigh_alike(rest):
    period, classes = 8, 3
    for step in range(60):
        found = np.asarray(class_weights(step, period, 9.0, classes, Oscillation(rest=rest)))
        within = step % (period + rest)
        assert (within == 0 or within >= period) == bool(np.allclose(found, 1.0))
        if not np.allclose(found, 1.0):
            assert found.argmax() == step // (period + rest) % classes


@given(STEPS, PERIODS, AMPLITUDES, CLASSES, WAVES)
@settings(max_examples=100)
def test_weights_sum_to_the_number_of_classes_and_stay_below_their_bound(t, period, amplitude, classes, wave):
    found = weights(t, period, amplitude, classes, wave)
    assert found.sum() == pytest.approx(classes, rel=1e-12)
    assert found.min() > 0
    assert found.max() <= classes * amplitude / (amplitude + classes - 1) * (1 + 1e-12)


@given(st.integers(1, 1000), st.integers(1, 5000), AMPLITUDES, CLASSES, WAVES)
@settings(max_examples=60)
def test_mid_period_reaches_the_bound(cycle, half, amplitude, classes, wave):
    found = weights(cycle * 2 * half + half, 2 * half, amplitude, classes, wave)
    assert found.max() == pytest.approx(classes * amplitude / (amplitude + classes - 1), rel=1e-12)
    assert found.argmax() == cycle % classes or amplitude == 1


@given(STEPS, PERIODS, CLASSES, WAVES)
@settings(max_examples=60)
def test_amplitude_one_is_the_static_loss(t, period, classes, wave):
    np.testing.assert_array_equal(weights(t, period, 1.0, classes, wave), np.ones(classes))


@given(st.integers(0, 50), PERIODS, AMPLITUDES, CLASSES, WAVES)
@settings(max_examples=60)
def test_every_period_boundary_is_static(cycle, period, amplitude, classes, wave):
    np.testing.assert_allclose(weights(cycle * period, period, amplitude, classes, wave), 1.0, rtol=1e-12)


@given(st.integers(0, 10**5), st.integers(1, 3000), AMPLITUDES, CLASSES, WAVES)
@settings(max_examples=60)
def test_repeats_after_every_class_had_its_turn(t, period, amplitude, classes, wave):
    np.testing.assert_allclose(
        weights(t, period, amplitude, classes, wave),
        weights(t + classes * period, period, amplitude, classes, wave),
        rtol=1e-12,
    )


@pytest.mark.parametrize("wave", ["triangle", "sine"])
def test_continuous_waveforms_change_at_most_by_their_slope(wave):
    period, amplitude = 400, 50.0
    found = np.array([weights(t, period, amplitude, 3, wave) for t in range(3 * period + 1)])
    # |dg/dt| <= π(A−1)/T for the sine and 2(A−1)/T for the triangle, and |dΓ/dg| <= C(C−1)/(C)^2 < 1
    assert np.abs(np.diff(found, axis=0)).max() <= np.pi * (amplitude - 1) / period


def test_float32_does_not_drift_at_late_times():
    late = np.asarray(class_weights(69_999, 5000, 70.0, 3))
    np.testing.assert_allclose(late, paper(69_999, 5000, 70.0, 3), rtol=1e-5)


def test_unknown_waveform_is_refused():
    with pytest.raises(ValueError, match="triangle, sine, square"):
        raw_weight(0.5, 2.0, "sawtooth")


# Variants ------------------------------------------------------------------------------------------


def along(steps, *arguments, **oscillation):
    return np.array([weights(step, *arguments, **oscillation) for step in range(steps)])


@pytest.mark.parametrize("wave", WAVEFORMS)
@pytest.mark.parametrize(("period", "rest"), [(1, 0), (2, 0), (7, 0), (10, 1), (15, 3)])
@pytest.mark.parametrize("emphasis", ["class", "all"])
def test_normalised_over_a_cycle_the_weights_are_1_on_average_over_steps_and_classes(
    wave, period, rest, emphasis
):
    found = along(
        3 * (period + rest), period, 9.0, 3, wave, rest=rest, emphasis=emphasis, normalisation="cycle"
    )
    assert found.mean() == pytest.approx(1.0, rel=1e-12)
    # These weights are the raw weights times a constant factor; by Eq. 5 the factor would change with the
    # step.
    raw = found / found.min()
    assert raw.max() <= 9.0 + 1e-9
    if wave == "triangle" and period == 10:
        assert raw.max() == pytest.approx(9.0)


def test_all_classes_at_once_weigh_alike():
    found = along(40, 10, 9.0, 3, emphasis="all", normalisation="cycle")
    assert np.ptp(found, axis=1) == pytest.approx(0.0)
    assert found[:, 0].max() / found[:, 0].min() == pytest.approx(9.0)


def test_in_random_order_every_class_has_one_turn_a_cycle():
    period, classes, cycles = 4, 5, 12
    found = along(period * classes * cycles, period, 9.0, classes, emphasis="random_class", seed=3)
    turns = found[period // 2 :: period].argmax(axis=1).reshape(cycles, classes)
    assert (np.sort(turns, axis=1) == np.arange(classes)).all()
    assert len({tuple(order) for order in turns.tolist()}) > 6
    # In its period, an emphasised class has the same weights as in the fixed order.
    in_order = along(period, period, 9.0, classes)
    np.testing.assert_allclose(found[:period, turns[0, 0]], in_order[:, 0])
    other = along(period * classes * cycles, period, 9.0, classes, emphasis="random_class", seed=4)
    assert not np.array_equal(other, found)
    np.testing.assert_allclose(found.sum(axis=1), classes)
