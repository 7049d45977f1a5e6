"""Gather all runs of a trajectory study at their snapshots into one small file."""

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
        trajectories: trajectories of one study, one for each seed.
        spectra: spectra of the same runs, in the same order.
        output: file to write.

    Raises:
        UserError: if a file cannot be read, if a spectrum was measured along another trajectory, if the runs
            differ in more than their seeds, or if a seed from 0 to n-1 is absent or given twice.
    """
    if len(trajectories) != len(spectra):
        raise UserError(
            f"{len(trajectories)} trajectories and {len(spectra)} spectra were given; give one each per run"
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
                f"{trajectory} belongs to another study than {first[0]}, or was probed with other settings; "
                "give runs of one study"
            )
        found[seed] = path, probes
    if first is None or sorted(found) != list(range(len(trajectories))):
        raise UserError("the given runs do not have the seeds 0 to n-1, each once; give all runs of a study")
    ordered = [found[seed] for seed in sorted(found)]
    precision = first[1]["trajectory"]["precision"]
    record = Provenance(__name__, first[1], sorted(found), precision, inputs)
    try:
        gathered = runs.gather([path for path, _ in ordered], [probes for _, probes in ordered])
    except ValueError as error:
        raise UserError(f"{first[0]} and other given runs have {error}; make them again") from None
    record.write(gathered.assign_attrs(recorded.of_data(*(path for path, _ in ordered))), output)
