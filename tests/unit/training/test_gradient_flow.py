"""Compare adaptive Euler steps with closed forms, and flows of networks with theory (arXiv 1906.08034)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.probes.ntk import gram
from dynamical_loss.training import margin_flow, states
from dynamical_loss.training.gradient_flow import GROWTH, REDUCTION, Rule, Tolerance, flow
from dynamical_loss.training.margin_flow import KernelConstants, NetworkConstants, Samples, Tilt

USUAL = Tolerance(1e-4, 0.1)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def samples(count=12, features=6, seed=0):
    random = np.random.RandomState(seed)
    inputs = random.normal(size=(count, features))
    inputs *= np.sqrt(features) / np.linalg.norm(inputs, axis=1, keepdims=True)
    return Samples(jnp.asarray(inputs), jnp.asarray(np.where(np.arange(count) % 2, 1.0, -1.0)))


@functools.cache
def model_of(width, depth, activation):
    settings = MLPSettings(
        width=width,
        depth=depth,
        activation=activation,
        initialisation="no_bias",
        kernel_distribution="normal",
        further_kernel_factor=2**0.5 if activation == "relu" else 1.0,
        parametrisation="neural_tangent",
    )
    model = settings.build(1)
    return model, apply_function(model)


def networks(seeds, width=16, depth=2, activation="softplus"):
    """Return the function of a network, and its initial parameters for `seeds` seeds."""
    model, apply = model_of(width, depth, activation)
    starts = initial_parameters(model, (6,), range(seeds))
    return apply, [jax.tree.map(lambda leaf, at=at: jnp.asarray(leaf[at]), starts) for at in range(seeds)]


def network(**settings):
    apply, starts = networks(1, **settings)
    return apply, starts[0]


def followed(apply, start, data, alpha, *, loss="soft_hinge", tolerance=USUAL, trials=20_000, **more):
    programs = margin_flow.network_flow(apply, data.labels, loss, tolerance, 1e-2, is_tilted="tilt" in more)
    constants = NetworkConstants(
        data, alpha, margin_flow.outputs_of(apply, start, data.inputs), more.get("tilt", margin_flow.STATIC)
    )
    state = programs.begin(constants, start, more.get("step", 1.0))
    return programs.advance(constants, state, trials)


def flat(parameters):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(parameters)])


def test_a_decay_is_followed_by_the_rule_written_out():
    """For ẋ = −x/10, with F = x, every step equals that of the same rule in plain Python."""
    rule = Rule(lambda outputs: outputs[0] ** 2, lambda outputs: outputs[0] < 0.5, 0.5)
    tolerance = Tolerance(1e-4, 0.02)
    programs = flow(lambda constants, x, time: (-constants * x, x), rule, tolerance)
    state = programs.begin(0.1, jnp.array([1.0]), 50.0)
    x, t, dt, steps, trials, half = 1.0, 0.0, 50.0, 0, 1, None
    while x >= 0.5:
        new = x - dt * 0.1 * x
        change, moved = (new - x) ** 2 / abs(new * x), abs(new - x)
        trials += 1
        if change < 1e-4 and moved < 0.02:
            if x**2 >= 0.5 > new**2:
                half = t + dt * (x**2 - 0.5) / (x**2 - new**2)
            x, t, steps = new, t + dt, steps + 1
            dt *= GROWTH if change < 0.5e-4 and moved < 0.01 else 1.0
        else:
            dt /= REDUCTION
    state = programs.advance(0.1, state, 10_000)
    assert bool(state.done) and int(state.steps) == steps and int(state.trials) == trials
    np.testing.assert_allclose(
        [state.position[0], state.time, state.step_size, state.half_time], [x, t, dt, half], rtol=1e-12
    )
    # The exact flow is x = e^(−t/10); Euler steps follow it to first order in the step size.
    assert float(state.position[0]) == pytest.approx(np.exp(-0.1 * t), rel=0.01)
    known = int(state.record_count)
    times = np.asarray(state.record_time[:known])
    assert np.all(np.diff(times) > 0) and times[-1] == float(state.time)
    np.testing.assert_allclose(state.record_loss[:known], state.record_output[:known] ** 2)
    assert np.isnan(state.record_time[known:]).all()


def test_a_step_is_the_gradient_of_the_loss_written_out():
    apply, start = network()
    data, alpha = samples(), 0.3
    f0 = apply(start, data.inputs)[:, 0]

    def loss(parameters):
        margins = alpha * (apply(parameters, data.inputs)[:, 0] - f0) * data.labels
        return jnp.mean(jnp.log1p(jnp.exp(20 * (1 - margins))) / 20) / alpha**2

    state = followed(apply, start, data, alpha, trials=2, step=1e-3)
    expected = jax.tree.map(lambda leaf, slope: leaf - 1e-3 * slope, start, jax.grad(loss)(start))
    np.testing.assert_allclose(flat(state.position), flat(expected), rtol=1e-12)
    np.testing.assert_allclose(flat(state.velocity), -flat(jax.grad(loss)(expected)), rtol=1e-8)
    assert float(state.loss) == pytest.approx(alpha**2 * float(loss(expected)), rel=1e-9)


def test_the_prediction_is_zero_at_the_start_and_the_loss_never_rises():
    apply, start = network()
    for alpha in (1e-3, 1.0, 1e6):
        first = followed(apply, start, samples(), alpha, trials=1)
        assert np.all(np.asarray(first.outputs) == 0.0)
        assert float(first.loss) == pytest.approx(1.0, abs=1e-9)
        programs = margin_flow.network_flow(apply, samples().labels, "soft_hinge", USUAL, 1e-2)
        constants = NetworkConstants(samples(), alpha, margin_flow.outputs_of(apply, start, samples().inputs))
        state, losses = programs.begin(constants, start, 1.0), [float(first.loss)]
        # Advance by one evaluation at a time, so that every step is seen.
        while not bool(state.done):
            state = programs.advance(constants, state, int(state.trials) + 1)
            losses.append(float(state.loss))
        assert len(losses) == int(state.trials) > 200 and np.all(np.diff(losses) <= 0)
        assert float(jnp.min(state.outputs * samples().labels)) >= 1.0


def test_the_numbers_do_not_depend_on_the_stretches():
    apply, start = network()
    data = samples()
    whole = followed(apply, start, data, 0.1)
    programs = margin_flow.network_flow(apply, data.labels, "soft_hinge", USUAL, 1e-2)
    constants = NetworkConstants(data, 0.1, margin_flow.outputs_of(apply, start, data.inputs))
    state = programs.begin(constants, start, 1.0)
    trials = 0
    while not bool(state.done):
        trials += 37
        state = programs.advance(constants, state, trials)
        state = states.from_arrays(state, states.as_arrays(state))
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_flow_that_may_not_go_on_is_not_done():
    apply, start = network()
    state = followed(apply, start, samples(), 0.1, trials=50)
    assert not bool(state.done) and int(state.trials) == 50


def test_the_kernel_moves_half_as_much_at_twice_the_scale():
    apply, start = network(width=32)
    data = samples()
    changes, lengths = [], []
    for alpha in (300.0, 600.0):
        end = followed(apply, start, data, alpha, tolerance=Tolerance(1e-6, 0.01)).position
        first, last = (gram(apply, point, data.inputs, data.inputs) for point in (start, end))
        changes.append(np.linalg.norm(last - first) / np.linalg.norm(first))
        lengths.append(np.linalg.norm(flat(end) - flat(start)))
    assert changes[0] / changes[1] == pytest.approx(2.0, rel=0.01)
    assert lengths[0] / lengths[1] == pytest.approx(2.0, rel=0.01)


def test_a_linear_model_has_a_kernel_that_stays_and_no_scale():
    """Without a hidden layer, f = w·x/√d, and the motion of α(f − f₀) does not depend on α."""
    data = samples()

    def apply(parameters, inputs):
        return (inputs @ parameters / np.sqrt(inputs.shape[1]))[:, None]

    start = jnp.asarray(np.random.RandomState(1).normal(size=6))
    first, second = (followed(apply, start, data, alpha) for alpha in (0.01, 100.0))
    assert int(first.trials) == int(second.trials)
    np.testing.assert_allclose(first.outputs, second.outputs, rtol=1e-9)
    np.testing.assert_array_equal(
        gram(apply, first.position, data.inputs, data.inputs), gram(apply, start, data.inputs, data.inputs)
    )


def test_a_frozen_kernel_with_the_squared_error_has_the_exponential_solution():
    """F(t) = (1 − e^(−Θt/P)) y on the training set, and Θ_test,train Θ⁻¹ F(t) on the test set."""
    apply, start = network(width=64)
    data, other = samples(), samples(seed=5).inputs
    kernel = np.asarray(gram(apply, start, data.inputs, data.inputs))
    across = np.asarray(gram(apply, start, other, data.inputs))
    programs = margin_flow.kernel_flow(data.labels, "mse", Tolerance(1e-8, 1e-3), 1e-4)
    constants = KernelConstants(jnp.asarray(kernel), data.labels)
    state = programs.begin(constants, jnp.zeros(12), 1e-3)
    state = programs.advance(constants, state, 4000)
    values, vectors = np.linalg.eigh(kernel)
    grown = (
        vectors @ np.diag(1 - np.exp(-values * float(state.time) / 12)) @ vectors.T @ np.asarray(data.labels)
    )
    np.testing.assert_allclose(state.outputs, grown, atol=2e-4)
    np.testing.assert_allclose(across @ state.position, across @ np.linalg.solve(kernel, grown), atol=2e-3)


def test_a_network_of_large_scale_follows_its_frozen_kernel():
    apply, start = network(width=64)
    data = samples()
    kernel = jnp.asarray(gram(apply, start, data.inputs, data.inputs))
    fine = Tolerance(1e-6, 0.01)
    programs = margin_flow.kernel_flow(data.labels, "soft_hinge", fine, 1e-2)
    constants = KernelConstants(kernel, data.labels)
    frozen = programs.advance(constants, programs.begin(constants, jnp.zeros(12), 1.0), 10_000)
    distances = []
    for alpha in (10.0, 100.0):
        state = followed(apply, start, data, alpha, tolerance=fine)
        distances.append(np.linalg.norm(state.outputs - frozen.outputs) / np.linalg.norm(frozen.outputs))
    assert distances[1] < 1e-3 and distances[0] / distances[1] > 4


def test_any_tilt_ends_in_the_same_interpolant_where_the_kernel_stays():
    data = samples()
    apply, start = network(width=64)
    kernel = jnp.asarray(gram(apply, start, data.inputs, data.inputs))
    ends = []
    for tilt in (margin_flow.STATIC, Tilt(3.0, 10.0), Tilt(17.0, 2.0)):
        programs = margin_flow.kernel_flow(data.labels, "mse", USUAL, 1e-7, is_tilted=True)
        constants = KernelConstants(kernel, data.labels, tilt)
        state = programs.advance(constants, programs.begin(constants, jnp.zeros(12), 1e-2), 200_000)
        assert bool(state.done)
        ends.append(np.asarray(state.position))
    exact = np.linalg.solve(np.asarray(kernel), np.asarray(data.labels))
    for end in ends:
        np.testing.assert_allclose(end, exact, rtol=1e-4)


def test_the_tilt_weighs_the_classes_in_turn():
    """Halfway through the first period, the class y = −1 has weight 2A/(A + 1), and y = 1 has 2/(A + 1)."""
    apply, start = network()
    data, alpha = samples(), 1.0
    programs = margin_flow.network_flow(apply, data.labels, "mse", Tolerance(0.9, 9.0), 1e-9, is_tilted=True)
    f0 = margin_flow.outputs_of(apply, start, data.inputs)
    constants = NetworkConstants(data, alpha, f0, Tilt(0.02, 9.0))
    state = programs.begin(constants, start, 1.0)
    # The step size is limited to a fiftieth of a period.
    assert float(state.step_size) == pytest.approx(0.02 / 50)
    state = programs.advance(constants, state, 26)
    assert float(state.time) == pytest.approx(0.01)
    weight = np.where(np.asarray(data.labels) < 0, 1.8, 0.2)

    def loss(parameters):
        outputs = apply(parameters, data.inputs)[:, 0] - f0
        return jnp.mean(weight * 0.5 * (outputs - data.labels) ** 2)

    np.testing.assert_allclose(flat(state.velocity), -flat(jax.grad(loss)(state.position)), rtol=1e-9)


def test_relu_has_the_rescaling_symmetry():
    """(α, λw₀, dt) and (αλ^(L+1), w₀, λ^(2L) dt) give w_A = λ w_B step by step."""
    apply, start = network(activation="relu")
    data, factor, depth = samples(), 1.7, 2
    larger = jax.tree.map(lambda leaf: factor * leaf, start)
    fixed = Tolerance(1e9, 1e9)
    one = followed(apply, larger, data, 0.2, tolerance=fixed, trials=30, step=1e-4 / GROWTH)
    other = followed(
        apply,
        start,
        data,
        0.2 * factor ** (depth + 1),
        tolerance=fixed,
        trials=30,
        step=factor ** (2 * depth) * 1e-4 / GROWTH,
    )
    np.testing.assert_allclose(flat(one.position), factor * flat(other.position), rtol=1e-12)


def test_layers_of_relu_keep_the_difference_of_their_norms_but_for_the_step():
    apply, start = network(activation="relu")
    data = samples()

    def drift(step):
        # With these tolerances, the step is never rejected.
        state = followed(apply, start, data, 0.05, tolerance=Tolerance(1e9, 1e9), trials=2, step=step)
        norms = [
            [float(jnp.sum(point[layer]["kernel"] ** 2)) for layer in ("hidden_0", "hidden_1", "output")]
            for point in (start, state.position)
        ]
        return np.diff(norms[1]) - np.diff(norms[0])

    # One Euler step violates the conservation law by dt² times the norms of the gradients, so half the step
    # size gives a quarter of the violation.
    np.testing.assert_allclose(drift(1e-4) / drift(5e-5), 4.0, rtol=1e-3)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_wide_kernel_has_its_closed_form_on_the_diagonal(depth):
    """Θ∞(x, x) = Σ_k D^k with D = E[σ'²] = 0.8379387 for softplus, and L + 1 for ReLU; E f₀² = 1."""
    inputs = samples(count=1).inputs
    for activation, slope in (("softplus", 0.8379386542), ("relu", 1.0)):
        found, outputs = [], []
        apply, starts = networks(40, width=512, depth=depth, activation=activation)
        for start in starts:
            found.append(float(gram(apply, start, inputs, inputs)[0, 0]))
            outputs.append(float(apply(start, inputs)[0, 0]))
        expected = sum(slope**power for power in range(depth + 1))
        error = np.std(found) / np.sqrt(40)
        assert np.mean(found) == pytest.approx(expected, abs=max(4 * error, 0.02 * expected))
        assert np.mean(np.square(outputs)) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 40))


def test_the_wide_kernel_has_its_closed_form_between_two_samples():
    """For one hidden layer: ReLU by the arc-cosine kernels, softplus by quadrature."""
    data = np.asarray(samples(count=2).inputs)
    rho = float(data[0] @ data[1] / 6)
    arc = np.arccos(rho)
    relu = (np.sqrt(1 - rho**2) + rho * (np.pi - arc)) / np.pi + rho * (np.pi - arc) / np.pi
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    first = nodes[:, None]
    second = rho * nodes[:, None] + np.sqrt(1 - rho**2) * nodes[None, :]
    c = 1.4043833476318723

    def sigma(z):
        return c / 5 * np.logaddexp(0.0, 5 * z)

    def slope(z):
        return c / (1 + np.exp(-5 * z))

    both = weights[:, None] * weights[None, :]
    softplus = (both * sigma(first) * sigma(second)).sum() + rho * (both * slope(first) * slope(second)).sum()
    for activation, expected in (("relu", relu), ("softplus", softplus)):
        apply, starts = networks(24, width=2048, depth=1, activation=activation)
        found = [gram(apply, start, jnp.asarray(data), jnp.asarray(data))[0, 1] for start in starts]
        assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(24))


def test_softplus_has_mean_square_one():
    from dynamical_loss.models.mlp import softplus

    z = np.linspace(-12, 12, 200_001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    assert np.trapezoid(np.asarray(softplus(jnp.asarray(z))) ** 2 * density, z) == pytest.approx(
        1.0, abs=1e-9
    )
