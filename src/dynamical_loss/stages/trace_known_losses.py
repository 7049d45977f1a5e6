"""Compare flows with gradient descent on losses that are known in closed form (Fig. F1)."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from dynamical_loss.config import code
from dynamical_loss.config.flow import FlowSettings
from dynamical_loss.flows import known
from dynamical_loss.flows.names import KINDS
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Inputs, Provenance


def run(settings: FlowSettings, output: Path) -> None:
    """Write paths on a quadratic loss, and single steps on two losses with varying curvature.

    Args:
        settings: settings of the numerical integration.
        output: file to write.
    """
    record = Provenance(code.known_losses(), settings.model_dump(), [], "float64", Inputs())
    how = settings.tolerance, settings.evaluations
    with jax.enable_x64(True):
        paths = known.paths(*how)
        coefficients = np.array([known.coefficient(kind) for kind in KINDS])
        sweeps = {name: known.sweep(loss, *how) for name, loss in known.CURVED.items()}
    figure = "Fig. F1"
    variables = netcdf.Variables()
    variables.add("flow", ("flow",), list(KINDS), "kind of flow", reference=figure)
    variables.add("loss", ("loss",), list(sweeps), "curved loss", reference=figure)
    for name, dimension, values, words in (
        ("path_sharpness", "path", known.PATH_SHARPNESS, "hλ_max of a path on the quadratic"),
        ("sharpness", "sharpness", known.SWEEP_SHARPNESS, "hλ_max where the single step starts"),
        ("curvature", "curvature", known.CURVATURES, "hλ along an eigenvector"),
    ):
        variables.add(name, (dimension,), values, words, reference=figure)
    for name, part in (("real", coefficients.real), ("imaginary", coefficients.imag)):
        variables.add(
            f"coefficient_{name}",
            ("flow", "curvature"),
            part,
            f"{name} part of what a flow multiplies the gradient with",
            reference=figure,
        )
    variables.add(
        "path_descent",
        ("path", "step", "coordinate"),
        paths.descent,
        "places of gradient descent on the quadratic",
        reference=figure,
    )
    for name, part in (("real", paths.flows.real), ("imaginary", paths.flows.imag)):
        variables.add(
            f"path_{name}",
            ("flow", "path", "step", "coordinate"),
            part,
            f"{name} parts of a flow's places on the quadratic",
            reference=figure,
        )
    # Stored separately, because it may be far below the rounding of the positions in published copies.
    variables.add(
        "path_error",
        ("flow", "path", "step"),
        np.linalg.norm(paths.flows.real - paths.descent, axis=-1),
        "distance of a flow from gradient descent on the quadratic",
        reference=figure,
    )
    dimensions = ("loss", "flow", "sharpness")
    for name, words in (
        ("error", "distance of a flow from gradient descent after one step"),
        ("imaginary", "length of a flow's imaginary part after one step"),
        ("evaluations", "evaluations of a flow's field in the step"),
        ("stuck", "1 if the step could not be integrated within its evaluations"),
    ):
        found = np.array([getattr(sweep, name) for sweep in sweeps.values()])
        kind = {"evaluations": np.int64, "stuck": bool}.get(name, np.float64)
        variables.add(name, dimensions, found.astype(kind), words, reference=figure)
    record.write(variables.dataset(), output)
