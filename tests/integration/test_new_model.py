"""A new kind of network is one file: it may keep state, and is trained, probed, sized and rendered."""

import numpy as np
import pytest

from dynamical_loss.models.kind import ModelSettings
from dynamical_loss.models.network import network
from project import numbers

# A linear network that counts, among its variables, the batches it was trained on.
COUNTING = '''
"""A linear network that counts its batches."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from dynamical_loss.datasets.kind import Shape
from dynamical_loss.models.kind import Arithmetic, Cost, ModelSettings, NetworkSize, dense, size_of


class CountingSettings(ModelSettings):
    """A linear network that counts its batches."""

    has_state = True
    cost = Cost(1.0e-4, 0.0, 2.5, 1.0, {"float32": 10.0, "float64": 4.0})

    kind: Literal["counting"] = Field(description="kind of network")
    weight: float = Field(1.0, description="weight of a batch in the count")

    def size(self, shape: Shape) -> NetworkSize:
        return size_of([dense(math.prod(shape.sample), shape.classes, bias=True)])

    def build(self, classes: int, arithmetic: Arithmetic = "full"):
        import flax.linen as nn
        import jax.numpy as jnp

        class Counting(nn.Module):
            weight: float

            @nn.compact
            def __call__(self, inputs, training=True, present=None):
                count = self.variable("counts", "batches", lambda: jnp.zeros(()))
                if training and not self.is_initializing():
                    count.value += self.weight
                # In evaluation the state shifts the logit of the first class, so that the test can see it.
                shift = 0.0 if training else count.value
                logits = nn.Dense(classes, param_dtype=inputs.dtype)(inputs.reshape(len(inputs), -1))
                return logits.at[:, 0].add(shift)

        return Counting(self.weight)

    @property
    def label(self) -> str:
        return "linear network that counts"
'''
OVERLAY = """
scale: smoke
phase:
  myrtle5: {epochs: 2, record_every: 15, periods: [2], amplitudes: [1, 10], seeds: 2, seeds_per_block: 2}
trajectories:
  cascade_images: {epochs: 2, period: 2, amplitude: 10, probes: {hessian: {modes: 2, order: 30}}}
figures: {folder: results/smoke/figures, learning_curves_cell: [2, 10]}
"""
FIGURES = ("fig1_phase_cifar10", "figS2_cascade_cifar10", "figS4_learning_curves")


def test_one_module_is_a_kind_of_network(empty):
    (empty.folder / "src/dynamical_loss/models/kinds/counting.py").write_text(COUNTING, encoding="utf-8")
    config = empty.settings("config.yaml")
    config["phase"]["myrtle5"]["model"] = {"kind": "counting", "weight": 100.0}
    config["trajectories"]["cascade_images"] |= {"model": {"kind": "counting", "weight": 0.0}}
    config["trajectories"]["cascade_images"]["precision"] = "float64"
    empty.write("config.yaml", config)
    targets = [f"results/smoke/figures/{name}.png" for name in FIGURES]
    empty.snakemake(*targets, config=(), overlay=empty.overlay(OVERLAY))
    phase = numbers(empty.result("phase/myrtle5.nc"))
    # Each batch counts a hundredfold, so only the first class is ever predicted if the state is kept.
    np.testing.assert_allclose(phase["validation_accuracy"], 0.1, atol=0.002)
    assert phase["loss"].min() > 1000
    trajectory = numbers(empty.result("trajectory/cascade_images_seed0.nc"))
    assert trajectory.sizes["parameter"] == 8 * 8 * 10 + 10
    # The loss of a linear network is convex.
    spectrum = numbers(empty.result("spectrum/cascade_images_seed0.nc"))
    assert (spectrum["hessian_eigenvalue"].isel(mode=0) > 0.01).all()
    assert (spectrum["hessian_min_eigenvalue"] > -1e-9).all()
    assert all((empty.folder / target).exists() for target in targets)


def test_a_network_whose_state_its_kind_does_not_know_is_refused():
    import flax.linen as nn

    class Forgetful(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            self.variable("counts", "batches", lambda: np.zeros(()))
            return nn.Dense(3)(inputs)

    class Stateless(ModelSettings):
        kind: str = "forgetful"
        convolutional = False

        def size(self, shape):
            raise NotImplementedError

        def build(self, classes, arithmetic="full"):
            return Forgetful()

        @property
        def label(self):
            return "forgetful"

    settings = Stateless()
    with pytest.raises(TypeError, match="Forgetful keeps counts, but its kind does not set has_state"):
        network(settings, settings.build(3), (2,))
