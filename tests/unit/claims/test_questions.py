"""Claims about the talk's open questions, on made-up results."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr

from dynamical_loss import claims
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.config.analysis import BootstrapSettings
from image_results import question_spectrum, question_study, wide_resnet


def rows(**inputs):
    found = claims.evaluate(inputs, BootstrapSettings(resamples=500), given_only=True)
    return {row.id: row for row in found}


def gain(normalised, decay, batch):
    return 0.1 - 0.05 * normalised - (0.02 if decay else 0.0) + (0.01 if batch == 512 else 0.0)


def test_each_condition_is_compared_with_all_others_held():
    studies = [
        question_study(gain(*condition), normalised=condition[0], decay=condition[1], batch=condition[2])
        for condition in itertools.product((True, False), (0.0, 5e-4), (64, 512))
    ]
    found = rows(questions=studies)
    for name, expected in (("batch_norm", 0.05), ("regularisation", 0.02), ("batch", 0.01)):
        row = found[f"question_{name}"]
        assert row.measured_value == pytest.approx(expected)
        assert (row.verdict, row.n) == (Verdict.REPRODUCED, 5)
    mean = found["question_gain"]
    assert mean.measured_value == pytest.approx(0.1 - 0.05 / 2 - 0.02 / 2 + 0.01 / 2)
    assert (mean.verdict, mean.n) == (Verdict.REPRODUCED, 5)


@pytest.mark.parametrize(("without", "with_norm"), [(-0.10, -0.02), (-0.02, -0.10)])
def test_a_gain_that_does_not_exist_cannot_be_reduced(without, with_norm):
    found = rows(questions=[question_study(without, normalised=False), question_study(with_norm)])
    row = found["question_batch_norm"]
    assert row.verdict is Verdict.NOT_TESTED
    assert "the mean gain over these studies is -0.0600" in row.rule
    assert row.measured_value == pytest.approx(without - with_norm)
    assert found["question_gain"].verdict is Verdict.CONTRADICTED


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"periods": [100]}, "periods"),
        ({"amplitudes": [1, 50]}, "amplitudes"),
        ({"learning_rate": 0.2}, "learning_rate"),
        ({"model": wide_resnet(widening=2)}, "model.widening"),
    ],
)
def test_studies_that_differ_in_more_than_the_conditions_are_refused(changed, key):
    row = rows(questions=[question_study(0.1), question_study(0.2, batch=512, **changed)])["question_batch"]
    assert row.verdict is Verdict.NOT_TESTED
    assert f"{key} is" in row.rule


def test_a_condition_without_its_counterpart_is_left_out():
    found = rows(questions=[question_study(0.1, normalised=False), question_study(0.2, batch=512),
                            question_study(0.3)])  # fmt: skip
    assert found["question_batch_norm"].measured_value == pytest.approx(-0.2)
    assert found["question_batch"].measured_value == pytest.approx(-0.1)
    assert "no two studies differ in decayed alone" in found["question_regularisation"].rule
    twice = rows(questions=[question_study(0.1), question_study(0.2)])
    assert "two studies have the same conditions" in twice["question_batch"].rule
    short = rows(questions=[question_study(0.1, steps=1000), question_study(0.2, batch=512, steps=1000)])
    assert "steps is 1000" in short["question_batch"].rule


def test_conditioning_is_that_before_the_static_end_paired_by_seed():
    spectra = [
        question_spectrum(ratio, normalised=normalised, amplitude=amplitude, seed=seed)
        for normalised, amplitude, ratio in (
            (True, 1.0, 10.0), (True, 10.0, 5.0), (False, 1.0, 20.0), (False, 10.0, 5.0),
        )
        for seed in range(4)
    ]  # fmt: skip
    row = rows(conditioning=spectra)["question_conditioning"]
    assert row.measured_value == pytest.approx((np.log(5 / 10) + np.log(5 / 20)) / 2)
    assert (row.verdict, row.n) == (Verdict.REPRODUCED, 4)
    lacking = rows(conditioning=spectra[:8])["question_conditioning"]
    assert "have no seed in common" in lacking.rule
    assert "lossy copies" in row.statement
    twice = rows(conditioning=[*spectra, question_spectrum(3.0, seed=2)])["question_conditioning"]
    assert "two runs have the same conditions and the seed 2" in twice.rule
    large = rows(conditioning=[*spectra, question_spectrum(3.0, seed=9, batch=512)])["question_conditioning"]
    assert "batch_size is 512" in large.rule
    # Only the seeds that all four kinds of runs have are compared: seeds 2 and 3 without the first two.
    some = rows(conditioning=[spectra[n] for n in range(16) if n not in (0, 13)])["question_conditioning"]
    assert (some.n, some.measured_value) == (2, pytest.approx(row.measured_value))


def test_gains_are_compared_on_the_seeds_that_studies_share():
    """The gain grows with the seed; studies of other seeds would differ by position alone."""
    one, other = question_study(0.1), question_study(0.1, batch=512)
    rising = xr.DataArray([0.0, 0.1, 0.2, 0.3, 0.4], dims="seed")

    def seeds_from(item, first):
        better = rising.assign_coords(seed=np.arange(5)) + 0.1 * first
        found = item.assign_coords(seed=np.arange(first, first + 5))
        better = better.assign_coords(seed=found["seed"])
        accuracy = found["validation_accuracy"] + better * (found["amplitude"] > 1)
        return found.assign(validation_accuracy=accuracy.transpose(*item["validation_accuracy"].dims))

    row = rows(questions=[seeds_from(one, 0), seeds_from(other, 2)])["question_batch"]
    assert (row.n, row.measured_value) == (3, pytest.approx(0.0, abs=1e-12))
    apart = rows(questions=[seeds_from(one, 0), seeds_from(other, 5)])["question_batch"]
    assert "no seed in common" in apart.rule


def test_eigenvalues_that_have_not_converged_do_not_count():
    """Where λ₅ has not converged, its Ritz value is too small and the ratio too large."""
    spectra = [
        question_spectrum(5.0, normalised=normalised, amplitude=amplitude, seed=seed)
        for normalised, amplitude in itertools.product((True, False), (1.0, 10.0))
        for seed in range(4)
    ]
    wrong = spectra[0].copy(deep=True)
    wrong["hessian_eigenvalue"][3, 4] /= 100
    wrong["hessian_residual"][3, 4] = 0.1
    row = rows(conditioning=[wrong, *spectra[1:]])["question_conditioning"]
    assert row.measured_value == pytest.approx(0.0, abs=1e-12)
    nowhere = wrong.assign(hessian_residual=10 * abs(wrong["hessian_eigenvalue"]))
    row = rows(conditioning=[nowhere, *spectra[1:]])["question_conditioning"]
    assert "Lanczos has not converged" in row.rule
