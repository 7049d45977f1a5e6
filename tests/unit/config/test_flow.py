"""Stretches that a flow may follow: they must not cross a kink or a jump of the class weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from dynamical_loss.config import flow
from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.losses.weights import raw_weight


def pieces(steps=4000, period=400, **changes):
    run = TrajectorySettings(steps=steps, period=period, amplitude=10, **changes)
    return [flow._piece(run, 3, step) for step in range(steps)]


@pytest.mark.parametrize("waveform", ["triangle", "square", "sine"])
def test_pieces_end_where_the_weights_have_a_kink_or_a_jump(waveform):
    found = pieces(loss={"waveform": waveform})[:400]
    raw = np.asarray(raw_weight(jnp.arange(-1, 401) % 400 / 400, 10.0, waveform))
    # In a smooth piece the second difference is that of the sine or less.
    kinks = np.flatnonzero(np.abs(np.diff(raw, 2)) > 0.01)[1:]
    ends = [step for step in range(1, 400) if found[step] != found[step - 1]]
    assert len(ends) == {"triangle": 1, "square": 2, "sine": 0}[waveform]
    assert all(np.min(np.abs(kinks - end)) <= 1 for end in ends)


def test_rests_and_the_static_end_are_pieces_of_their_own():
    found = pieces(loss={"rest_steps": 10})
    assert found[399] != found[400] == found[409] != found[410]
    assert set(pieces()[3600:]) == {None} and None not in pieces()[:3600]
    once = pieces(loss={"cycles": 1})
    assert set(once[1200:]) == {None} and None not in once[:1200]
