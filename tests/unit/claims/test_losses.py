"""Claims about other losses and waveforms, on made-up accuracies."""

from __future__ import annotations

import numpy as np
import pytest

from claim_results import changed, phase
from dynamical_loss import claims
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.config.analysis import BootstrapSettings


def study(gain, width, *, amplitudes=(1, 5), seeds=20, **loss):
    """Return a study whose validation accuracy is 0.45 at A = 1, and larger by `gain` at larger A."""
    item = phase(
        lambda _, amplitude: 0.5 if amplitude == 1 else 0.5 + gain,
        width=width,
        amplitudes=amplitudes,
        seeds=seeds,
    )
    return changed(item, loss=loss)


def rows(*items):
    found = claims.evaluate({"losses": list(items)}, BootstrapSettings(resamples=500), given_only=True)
    return {row.id: row for row in found}


def test_the_gain_is_averaged_over_the_widths():
    gains = {20: 0.3, 100: 0.1, 1000: -0.1}
    row = rows(*(study(gain, width) for width, gain in gains.items()))["several_sizes_cross_entropy_sample"]
    assert row.measured_value == pytest.approx(np.mean(list(gains.values())), abs=1e-9)
    assert (row.verdict, row.n) == (Verdict.REPRODUCED, 10)
    worse = rows(*(study(-gain, width) for width, gain in gains.items()))
    assert worse["several_sizes_cross_entropy_sample"].verdict is Verdict.CONTRADICTED


def test_two_studies_of_one_width_are_not_mixed():
    row = rows(*(study(0.1, width) for width in (20, 100, 1000, 100)))["several_sizes_cross_entropy_sample"]
    assert row.verdict is Verdict.NOT_TESTED
    assert "have width 100" in row.rule


def test_every_loss_and_waveform_has_rows_of_its_own():
    output = {"kind": "mse", "weighting": "output"}
    found = rows(
        *(study(0.2, width, kind="mse") for width in (20, 100, 300)),
        *(study(-0.2, width, **output) for width in (20, 100, 300)),
        study(0.1, 100, kind="mse", waveform="sine"),
        study(-0.1, 100, waveform="square", **output),
    )
    assert found["several_sizes_mse_sample"].measured_value == pytest.approx(0.2)
    assert found["several_sizes_mse_output"].measured_value == pytest.approx(-0.2)
    assert found["waveform_sine_mse_sample"].measured_value == pytest.approx(0.1)
    assert found["waveform_square_mse_output"].verdict is Verdict.CONTRADICTED
    assert found["waveform_sine_mse_output"].verdict is Verdict.NOT_TESTED
    assert "there are studies of 0 widths; 3 are needed" in found["several_sizes_cross_entropy_sample"].rule


def test_learning_rates_are_the_study_s_own_and_its_steps_are_not():
    slow = [changed(study(0.2, width, kind="mse"), learning_rate=0.5) for width in (20, 100, 300)]
    assert rows(*slow)["several_sizes_mse_sample"].verdict is Verdict.REPRODUCED
    short = [changed(item, steps=1000) for item in slow]
    assert "steps is 1000" in rows(*short)["several_sizes_mse_sample"].rule


def test_a_variant_of_the_weights_is_not_taken():
    items = [study(0.2, width, cycles=1) for width in (20, 100, 300)]
    assert "loss.cycles is 1" in rows(*items)["several_sizes_cross_entropy_sample"].rule


def test_a_study_that_differs_in_more_is_not_taken():
    row = rows(*(study(0.2, width, rest_steps=0) for width in (20, 100)), other())[
        "several_sizes_cross_entropy_sample"
    ]
    assert row.verdict is Verdict.NOT_TESTED
    assert "batch_size is 10" in row.rule


def other():
    return changed(study(0.2, 300), batch_size=10)
