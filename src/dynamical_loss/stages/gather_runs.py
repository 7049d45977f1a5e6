"""Gather all runs of a trajectory study, at their snapshots, into one small file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynamical_loss.analysis import runs
from dynamical_loss.errors import UserError
from dynamical_loss.results import recorded
from dynamical_loss.results.record import Inputs, Provenance

_VARIABLES = [*runs.ALONG, "diverged", "oscillation_end", "snapshot_step"]


def run(trajectories: Sequence[Path], spectra: Sequence[Path], output: Path) -> None:
    """Write losses, accuracies and λ_max of every seed.

    Args:
        trajectories: one a seed, of one study.
        spectra: of the same runs, in the same order.
        output: the file to write.

    Raises:
        UserError: if a file cannot be read, if a spectrum is that of another trajectory, if the runs differ
            in more than their seeds, or if a seed from 0 to n-1 is absent or given twice.
    """
    if len(trajectories) != len(spectra):
        raise UserError(
            f"{len(trajectories)} trajectories and {len(spectra)} spectra were given; give one of each a run"
        )
    inputs = Inputs()
    found = {}
    first: tuple[Path, dict[str, Any]] | None = None
    for trajectory, spectrum in zip(trajectories, spectra, strict=True):
        path = inputs.read(trajectory, _VARIABLES, made_by="train_trajectory")
        probes = inputs.read(spectrum, ["hessian_eigenvalue", "hessian_residual"], made_by="probe_spectrum")
        inputs.require_made_from(spectrum, trajectory)
        settings = recorded.settings_of(path)
        seed = settings.pop("seed")
        measured = {key: value for key, value in recorded.settings_of(probes).items() if key != "trajectory"}
        settings = {"trajectory": settings, "probes": measured}
        first = first or (trajectory, settings)
        if settings != first[1]:
            raise UserError(
                f"{trajectory} is of another study than {first[0]}, or probed in another way; give runs of "
                "one"
            )
        found[seed] = path, probes
    if first is None or sorted(found) != list(range(len(trajectories))):
        raise UserError("the runs given are not those of seeds 0 to n-1, each once; give all of a study")
    ordered = [found[seed] for seed in sorted(found)]
    precision = first[1]["trajectory"]["precision"]
    record = Provenance(__name__, first[1], sorted(found), precision, inputs)
    try:
        gathered = runs.gather([path for path, _ in ordered], [probes for _, probes in ordered])
    except ValueError as error:
        raise UserError(f"{first[0]} and other runs given have {error}; make them anew") from None
    record.write(gathered.assign_attrs(recorded.of_data(*(path for path, _ in ordered))), output)
