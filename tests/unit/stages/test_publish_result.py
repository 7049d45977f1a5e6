"""Published copies keep small learning curves and leave out large ones, and say so."""

import numpy as np
import pytest

from claim_results import narrow_as_in_the_paper, phase, stored
from dynamical_loss.results import netcdf, recorded
from dynamical_loss.stages import publish_result


@pytest.mark.parametrize(("seeds", "records", "kept"), [(10, 50, True), (100, 200, False)])
def test_curves_of_a_large_grid_are_left_out(tmp_path, seeds, records, kept):
    file = phase(narrow_as_in_the_paper, seeds=seeds)
    dimensions = ("period", "amplitude", "seed", "step")
    curve = np.zeros((*file["train_accuracy"].shape, records), np.float32)
    file = file.assign_coords(step=np.arange(records)).assign(train_accuracy_curve=(dimensions, curve))
    assert (curve.size <= publish_result._MOST_CURVE_VALUES) == kept
    source = stored(file, tmp_path / "whole.nc", "aggregate_phase")
    publish_result.run(source, tmp_path / "copy.nc")
    copy = netcdf.read(tmp_path / "copy.nc")
    assert ("train_accuracy_curve" in copy) == kept
    assert ("learning curves" in copy.attrs[recorded.PUBLISHED]) != kept
    np.testing.assert_allclose(copy["train_accuracy"], file["train_accuracy"], rtol=1e-4)


def test_residuals_of_eigenvalues_keep_one_digit_and_those_of_the_loss_all(tmp_path):
    """The change of the squared error's residual is drawn; that of an eigenvalue is only a bound."""
    values = np.linspace(1.2345, 2.2345, 7)
    variables = netcdf.Variables()
    variables.add("snapshot_step", ("snapshot_step",), np.arange(7), "step", reference="none")
    for name in ("residual_change", "hessian_residual", "hessian_residual_static"):
        variables.add(name, ("snapshot_step",), values, name, reference="none")
    source = stored(variables.dataset(), tmp_path / "whole.nc", "probe_spectrum")
    publish_result.run(source, tmp_path / "copy.nc")
    copy = netcdf.read(tmp_path / "copy.nc")
    np.testing.assert_allclose(copy["residual_change"], values, rtol=1e-4)
    for name in ("hessian_residual", "hessian_residual_static"):
        assert len(set(copy[name].values)) < 4
