"""Gather the blocks of a phase study into one file over (period, amplitude, seed)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamical_loss.analysis.phase import PhaseDiagram, wanted
from dynamical_loss.config.training import PhaseSettings, TrainingSettings
from dynamical_loss.errors import ResultError, UserError
from dynamical_loss.grid import Block
from dynamical_loss.notation import exact
from dynamical_loss.results import recorded
from dynamical_loss.results.record import Inputs, Provenance


def run(settings: PhaseSettings, blocks: Sequence[Path], output: Path) -> None:
    """Write the phase diagram.

    Raises:
        UserError: if a file is no block, cannot be read, was made with other settings, or was trained on
            other data than the first block; or if a run that the settings ask for is missing.
    """
    inputs = Inputs()
    settings = _resolved(settings, blocks[0], inputs)
    record = Provenance(__name__, settings.model_dump(), settings.all_seeds, settings.precision, inputs)
    diagram = PhaseDiagram(settings)
    engines, devices, computed = set(), set(), set()
    for path in blocks:
        try:
            block = Block.from_name(path.stem)
        except ValueError as error:
            raise UserError(f"{path}: {error}; give files made by train-phase-block") from None
        stored = record.inputs.read(path, wanted(settings), made_by="train_phase_block")
        if not _made_with(settings.training, block, recorded.settings_of(stored)):
            raise UserError(
                f"{path} was made with other settings than those given; make it again with these settings"
            )
        if record.inputs.origins(path) != record.inputs.origins(blocks[0]):
            raise ResultError(f"{path} was trained on another dataset than {blocks[0]}", path)
        engines.add(str(stored.attrs["engine"]))
        devices.add(str(stored.attrs["device"]))
        computed.update([stored.attrs["computed_by"]] if "computed_by" in stored.attrs else [])
        of_data = recorded.of_data(stored)
        diagram.add(block, stored)
    if missing := diagram.missing():
        period, amplitude, seed = missing
        raise UserError(
            f"no given block holds T = {period}, A = {exact(amplitude)}, seed {seed}; make {output} with "
            "snakemake, which passes all blocks"
        )
    trained = {"engine": ", ".join(sorted(engines)), "trained_on": ", ".join(sorted(devices)), **of_data}
    if computed:
        trained["computed_by"] = ", ".join(sorted(computed))
    record.write(diagram.dataset().assign_attrs(trained), output)


def _resolved(settings: PhaseSettings, block: Path, inputs: Inputs) -> PhaseSettings:
    """Return the settings with the length of a run in steps, which follows from the first block.

    Raises:
        UserError: if the block does not record the number of its training samples, or if the settings are not
            valid with this length.
    """
    if settings.is_resolved:
        return settings
    data = recorded.of_data(inputs.read(block, made_by="train_phase_block"))
    if "train_samples" not in data:
        raise UserError(f"{block} does not record the length of an epoch; make it again, or set `steps` too")
    try:
        return settings.with_length(int(data["train_samples"]))
    except ValueError as error:
        raise UserError(f"{block}: {error}") from None


def _made_with(training: TrainingSettings, block: Block, stated: Mapping[str, Any]) -> bool:
    """Return whether a block records these settings; an absent key stands for its default."""
    values = {name: value for name, value in stated.items() if name != "block"}
    try:
        return stated.get("block") == block.name and TrainingSettings.model_validate(values) == training
    except ValueError:
        return False
