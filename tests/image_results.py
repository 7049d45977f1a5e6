"""Made-up results of studies of images, in the form in which the stages store results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.training import PhaseSettings, TrajectorySettings
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Provenance

Array = npt.NDArray[Any]

CLASSES = 10

PROTOCOL: dict[str, Any] = {
    "dataset": "cifar10",
    "optimiser": {"kind": "sgd", "arguments": {"momentum": 0.9, "nesterov": True}},
    "learning_rate": 0.02,
    "learning_rate_schedule": [(0.0, 0.0), (0.4286, 1.0), (1.0, 0.1)],
    "oscillation_stop": 0.857,
    "batch_size": 512,
}
REFERENCE = "Fig. 1"


def data(
    *,
    dataset: str = "CIFAR-10",
    copies: str = "lossy",
    train_samples: int = 4_000,
    validation_samples: int = 1_000,
) -> dict[str, Any]:
    """Return the attributes with which a result describes its images, which are from no official archive."""
    title = f"{dataset} from JPEG copies (lossy, not checked)" if copies == "lossy" else dataset
    sizes = f"{train_samples:,} + {validation_samples:,} images".replace(",", " ")
    return {
        "dataset": dataset,
        "dataset_copies": copies,
        "dataset_description": f"{title}, {sizes}",
        "dataset_source_sha256": "0" * 64,
        "train_samples": train_samples,
        "validation_samples": validation_samples,
    }


def myrtle5(channels: int = 16) -> dict[str, Any]:
    """Return the settings of a Myrtle5 network."""
    return {"kind": "myrtle5", "channels": channels}


def wide_resnet(normalisation: str = "batch", *, widening: int = 2) -> dict[str, Any]:
    """Return the settings of a small Wide ResNet."""
    return {"kind": "wide_resnet", "depth": 10, "widening": widening, "normalisation": normalisation}


def written(
    variables: netcdf.Variables,
    settings: Mapping[str, Any],
    stage: str,
    path: Path,
    seeds: Sequence[int] = (0,),
    made_from: Iterable[Path] = (),
    **attributes: Any,
) -> xr.Dataset:
    """Write variables as a file of a stage, and return the dataset that is read from the file."""
    record = Provenance(f"dynamical_loss.stages.{stage}", settings, seeds, "float32")
    for source in made_from:
        record.inputs.read(source)
    record.write(variables.dataset().assign_attrs(attributes), path)
    return netcdf.read(path)


def phase(
    path: Path,
    *,
    model: Mapping[str, Any] | None = None,
    periods: Sequence[int] = (20, 100, 250),
    amplitudes: Sequence[float] = (1.0, 10.0, 50.0),
    seeds: int = 3,
    epochs: int = 30,
    records: int = 31,
    gain: float = 0.04,
    scatter: float = 0.01,
    train_samples: int = 4_000,
    curves: bool = True,
    diverging: Iterable[tuple[int, int, int]] = (),
) -> xr.Dataset:
    """Make a phase diagram with learning curves.

    With the dynamical loss training is slower, and the final validation accuracy is higher by up to `gain`.

    Args:
        path: file to write.
        model: settings of the network; None: Myrtle5.
        periods: periods T.
        amplitudes: amplitudes A.
        seeds: number of runs per cell.
        epochs: length of a run.
        records: number of records of a learning curve.
        gain: largest gain of validation accuracy over the static loss.
        scatter: standard deviation of the noise between seeds.
        train_samples: number of training images.
        curves: whether the learning curves are stored.
        diverging: indices (period, amplitude, seed) of runs that diverge at half of their length.
    """
    settings = PhaseSettings(
        **PROTOCOL,
        model=model or myrtle5(),
        epochs=epochs,
        periods=list(periods),
        amplitudes=list(amplitudes),
        seeds=seeds,
        learning_curves=curves,
    ).for_data(Shape(train_samples, 1_000, (32, 32, 3), CLASSES))
    shape = (len(periods), len(amplitudes), seeds)
    generator = np.random.default_rng(0)
    time = np.linspace(0, 1, records)
    dynamical = np.array(amplitudes)[None, :, None, None] > 1
    noise = scatter * generator.normal(size=(*shape, 1)) + 0.3 * scatter * generator.normal(
        size=(*shape, records)
    )
    best = np.where(dynamical, 0.73 + gain * generator.uniform(0.5, 1, (*shape[:2], 1, 1)), 0.73)
    validation = (
        0.1 + (best - 0.1) * (1 - np.exp(-time / np.where(dynamical, 0.25, 0.12))) + noise * (time > 0)
    )
    train = np.minimum(validation * (1 + 0.3 * time), 1.0)
    loss = -np.log(train)
    static = list(amplitudes).index(1.0) if 1.0 in amplitudes else None
    for values in (validation, train, loss):
        for place in diverging:
            values[place][records // 2 :] = np.nan
        if static is not None:
            values[:, static] = values[:1, static]
    flags = np.isnan(loss[..., -1])
    variables = netcdf.Variables()
    for name, values in (("period", periods), ("amplitude", amplitudes), ("seed", range(seeds))):
        variables.add(name, (name,), np.array(values), name, reference=REFERENCE)
    cells = ("period", "amplitude", "seed")
    for name, values in (("train_accuracy", train), ("validation_accuracy", validation), ("loss", loss)):
        variables.add(name, cells, values[..., -1], name, reference=REFERENCE)
        if curves:
            variables.add(f"{name}_curve", (*cells, "step"), values, name, reference="Fig. S4")
    if curves:
        steps = np.unique(np.round(time * settings.steps).astype(int))
        variables.add("step", ("step",), steps, "minimisation steps done", reference="Fig. S4")
    variables.add("diverged", cells, flags, "1 if the loss stopped being finite", reference=REFERENCE)
    stops = np.where(flags, settings.steps // 2, -1)
    variables.add("divergence_step", cells, stops, "first step that is not finite", reference=REFERENCE)
    return written(
        variables,
        settings.model_dump(mode="json"),
        "aggregate_phase",
        path,
        range(seeds),
        steps_per_epoch=settings.steps_per_epoch(train_samples),
        **data(train_samples=train_samples),
    )


def regime_study(
    cells: Mapping[tuple[int, float], float],
    *,
    early: Mapping[tuple[int, float], float] | Iterable[tuple[tuple[int, float], float]] = (),
    peak: float | None = None,
    seeds: int = 5,
    model: Mapping[str, Any] | None = None,
    draws: Sequence[int] | None = None,
    **changed: Any,
) -> xr.Dataset:
    """Make a study of the main result at a size for CPUs, in memory.

    Args:
        cells: final validation accuracy by (period, amplitude).
        early: validation accuracy in the first half of the run, for cells where it differs from the final
            accuracy.
        peak: highest validation accuracy of the static run, one record before the end; None: no peak.
        seeds: number of runs, at most five; the scatter between them is the same in every cell.
        model: settings of the network; None: Myrtle5 with 20 channels.
        draws: seed of each run's choice of images; None: as `seed`.
        changed: other settings, with ``__`` between a group and its key.
    """
    steps = changed.get("steps", 8575)
    periods, amplitudes = ([*dict.fromkeys(values)] for values in zip(*cells, strict=True))
    time = np.arange(0, steps + 1, steps // 49)
    values = np.zeros((len(periods), len(amplitudes), seeds, len(time)))
    for (period, amplitude), final in cells.items():
        place = periods.index(period), amplitudes.index(amplitude)
        values[place] = np.where(time < steps / 2, dict(early).get((period, amplitude), final), final)
        if peak is not None and amplitude == 1:
            values[place][..., -2] = peak
    values += np.array([0.01, -0.01, 0.0, 0.02, -0.02])[:seeds, None]
    dimensions = ("period", "amplitude", "seed")
    settings = PhaseSettings.model_validate(
        {
            **PROTOCOL,
            "model": model or myrtle5(20),
            "arithmetic": "bfloat16",
            "steps": steps,
            "periods": periods,
            "amplitudes": amplitudes,
            "seeds": seeds,
            "draws": "paired",
            "noise_seeds": draws or list(range(seeds)),
        }
    ).model_dump(mode="json")
    for name, value in changed.items():
        group, _, key = name.rpartition("__")
        (settings[group] if group else settings)[key] = value
    return xr.Dataset(
        {
            "train_accuracy": (dimensions, values[..., -1] + 0.4),
            "validation_accuracy": (dimensions, values[..., -1]),
            "validation_accuracy_curve": ((*dimensions, "step"), values),
            "train_accuracy_curve": ((*dimensions, "step"), values + 0.4),
        },
        coords={
            "period": periods,
            "amplitude": np.array(amplitudes, float),
            "seed": range(seeds),
            "step": time,
        },
        attrs={
            "settings": json.dumps(settings),
            "steps_per_epoch": 10,
            "dataset_settings": json.dumps({"kind": "cifar10", "sample_seed": draws or list(range(seeds))}),
            **data(train_samples=5_000, validation_samples=10_000),
        },
    )


QUESTION_DATA = {
    "dataset_settings": json.dumps({"kind": "cifar10", "reduction": 2}),
    **data(train_samples=10_000, validation_samples=10_000),
}


def question_study(
    gain: float,
    *,
    normalised: bool = True,
    decay: float = 0.0,
    batch: int = 64,
    seeds: int = 5,
    **changed: Any,
) -> xr.Dataset:
    """Make a study of the talk's questions, in memory.

    The validation accuracy is 0.5 with the static loss, and higher by `gain` at A = 10.
    """
    values = np.stack([np.full(seeds, 0.5), np.full(seeds, 0.5 + gain)])[None]
    values = values + np.array([0.01, -0.01, 0.0, 0.02, -0.02])[:seeds]
    settings = PhaseSettings.model_validate(
        {
            **PROTOCOL,
            "model": wide_resnet("batch" if normalised else "none", widening=1),
            "optimiser": {**PROTOCOL["optimiser"], "weight_decay": decay},
            "batch_size": batch,
            "steps": 2000,
            "periods": [20],
            "amplitudes": [1, 10],
            **changed,
        }
    ).model_dump(mode="json")
    dimensions = ("period", "amplitude", "seed")
    return xr.Dataset(
        {"validation_accuracy": (dimensions, values)},
        coords={"period": [20], "amplitude": [1.0, 10.0], "seed": range(seeds)},
        attrs={"settings": json.dumps(settings), "steps_per_epoch": 157, **QUESTION_DATA},
    )


def question_spectrum(
    ratio: float,
    *,
    normalised: bool = True,
    amplitude: float = 10.0,
    seed: int = 0,
    steps: int = 2000,
    batch: int = 64,
) -> xr.Dataset:
    """Make eigenvalues whose first is `ratio` times the fifth, and 10 `ratio` times in the static end."""
    places = np.append(np.arange(0, steps, 107), steps)
    settings = TrajectorySettings.model_validate(
        {
            **PROTOCOL,
            "model": wide_resnet("batch" if normalised else "none", widening=1),
            "precision": "float32",
            "batch_size": batch,
            "steps": steps,
            "period": 20,
            "amplitude": amplitude,
            "snapshots": {"every": 107},
        }
    ).model_dump(mode="json")
    ratios = np.where(places < settings["oscillation_stop"] * steps, ratio, 10 * ratio)
    values = ratios[:, None] ** np.linspace(1, 0, 5)
    return xr.Dataset(
        {
            "hessian_eigenvalue": (("snapshot_step", "mode"), values),
            "hessian_residual": (("snapshot_step", "mode"), 1e-4 * values),
        },
        coords={"snapshot_step": places, "mode": range(5)},
        attrs={"settings": json.dumps({"trajectory": {**settings, "seed": seed}}), **QUESTION_DATA},
    )


def run(
    folder: Path,
    *,
    epochs: int = 30,
    period: int = 24,
    every: int = 1,
    snapshots: int = 3,
    modes: int = 5,
    train_samples: int = 4_000,
    without: str | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Make a trajectory and its spectrum.

    Args:
        folder: folder for the two files.
        epochs: length of the run.
        period: period T, steps.
        every: number of steps between records.
        snapshots: number of steps between snapshots.
        modes: number of Hessian eigenvalues.
        train_samples: number of training images.
        without: name of a variable that the trajectory lacks; None: it has all variables.

    Returns:
        the trajectory and the spectrum, as they are read from their files.
    """
    settings = TrajectorySettings(
        **PROTOCOL,
        model=myrtle5(),
        precision="float32",
        epochs=epochs,
        period=period,
        amplitude=50.0,
        record_every=every,
        evaluation_samples=1_000,
    ).for_data(Shape(train_samples, 1_000, (32, 32, 3), CLASSES))
    step = np.unique(np.append(np.arange(0, settings.steps + 1, every), settings.steps))
    assert settings.oscillation_stop is not None  # `PROTOCOL` sets it
    end = round(settings.oscillation_stop * settings.steps)
    position = (step % period) / period
    raw = np.where(
        np.arange(CLASSES) == ((step // period) % CLASSES)[:, None],
        1 + 49 * (1 - np.abs(2 * position - 1))[:, None],
        1,
    )
    raw = np.where((step < end)[:, None], raw, 1)
    weight = CLASSES * raw / raw.sum(axis=1, keepdims=True)
    places, factors = np.transpose(settings.learning_rate_schedule)
    rate = settings.learning_rate * np.interp(step / settings.steps, places, factors)
    time = step / settings.steps
    generator = np.random.default_rng(1)
    variables = netcdf.Variables()
    quantities = {
        "weighted_loss": 2.3
        * np.exp(-3 * time)
        * (1 + 0.3 * weight[:, 0] * generator.uniform(size=step.size)),
        "loss": 2.3 * np.exp(-3 * time),
        "train_accuracy": 0.1 + 0.85 * (1 - np.exp(-4 * time)),
        "validation_accuracy": 0.1 + 0.6 * (1 - np.exp(-4 * time)),
        "learning_rate": rate,
    }
    variables.add("step", ("step",), step, "t", reference="Fig. S2")
    variables.add("class_weight", ("step", "class_index"), weight, "Γ", reference="Fig. S2")
    if without is not None:
        quantities.pop(without, None)
    for name, values in quantities.items():
        variables.add(name, ("step",), values, name, reference="Fig. S2")
    variables.add("oscillation_end", (), end, "first step of the static end", reference="Fig. S2")
    variables.add("diverged", (), False, "1 if it diverged", reference="Fig. S2")
    attributes = {
        **data(train_samples=train_samples),
        "steps_per_epoch": settings.steps_per_epoch(train_samples),
    }
    origin = {**settings.model_dump(mode="json"), "seed": 0}
    trajectory = written(variables, origin, "train_trajectory", folder / "trajectory.nc", **attributes)
    snapshot = np.arange(0, settings.steps + 1, snapshots)
    top = 30 + 400 * (snapshot / settings.steps) + 20 * np.sin(2 * np.pi * snapshot / period)
    eigenvalues = top[:, None] * 0.7 ** np.arange(modes) * generator.uniform(0.9, 1.1, (snapshot.size, modes))
    probes = netcdf.Variables()
    probes.add("snapshot_step", ("snapshot_step",), snapshot, "t", reference="Fig. S2")
    probes.add("mode", ("mode",), np.arange(modes), "rank", reference="Fig. S2")
    probes.add("hessian_eigenvalue", ("snapshot_step", "mode"), eigenvalues, "λ", reference="Fig. S2")
    residuals = 1e-6 * eigenvalues
    probes.add("hessian_residual", ("snapshot_step", "mode"), residuals, "|Hv − λv|", reference="Fig. S2")
    known = {**ProbeSettings().model_dump(mode="json"), "trajectory": origin}
    path = folder / "trajectory.nc"
    spectrum = written(
        probes, known, "probe_spectrum", folder / "spectrum.nc", made_from=[path], **attributes
    )
    return trajectory, spectrum
