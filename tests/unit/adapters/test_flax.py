"""Steps of optimisers in Flax, for NNX and linen, over a whole cycle of the class weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from flax.training.train_state import TrainState

from adapter_reference import CYCLE, INPUTS, KERNEL, LABELS, LEARNING_RATE, SCHEDULE, descent
from dynamical_loss import api
from dynamical_loss.adapters.flax import optimiser_step

LOSS = api.dynamical(api.cross_entropy, SCHEDULE)


def test_linen_follows_the_reference_over_a_cycle():
    model = linen.Dense(3, use_bias=False)
    state = TrainState.create(
        apply_fn=model.apply, params={"params": {"kernel": jnp.asarray(KERNEL)}}, tx=optax.sgd(LEARNING_RATE)
    )

    @jax.jit
    def step(state):
        def loss(params):
            return jnp.mean(LOSS(state.apply_fn(params, INPUTS), LABELS, optimiser_step(state)))

        value, gradients = jax.value_and_grad(loss)(state.params)
        return state.apply_gradients(grads=gradients), value

    found = []
    for _ in range(CYCLE):
        state, value = step(state)
        found.append(float(value))
    np.testing.assert_allclose(found, descent(CYCLE)[0], rtol=1e-6)


@pytest.mark.parametrize("batches", [1, 3])
def test_nnx_follows_the_reference_also_with_accumulated_gradients(batches):
    model = nnx.Linear(4, 3, use_bias=False, rngs=nnx.Rngs(0))
    model.kernel[...] = jnp.asarray(KERNEL)
    plain = optax.sgd(LEARNING_RATE)
    tx = plain if batches == 1 else optax.MultiSteps(plain, every_k_schedule=batches)
    optimiser = nnx.Optimizer(model, tx, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimiser):
        def loss(model):
            return jnp.mean(LOSS(model(INPUTS), LABELS, optimiser_step(optimiser)))

        value, gradients = nnx.value_and_grad(loss)(model)
        optimiser.update(model, gradients)
        return value

    found = [float(step(model, optimiser)) for _ in range(CYCLE * batches)]
    np.testing.assert_allclose(found, descent(CYCLE, repeat=batches)[0], rtol=1e-6)


def test_what_has_no_step_is_named():
    with pytest.raises(TypeError, match=r"takes flax\.nnx\.Optimizer or a TrainState of linen, not dict"):
        optimiser_step({})
