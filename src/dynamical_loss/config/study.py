"""The whole configuration: the model behind ``config.yaml`` and its JSON schema."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from dynamical_loss.config.analysis import BootstrapSettings, InstabilitySettings
from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.training import LearningRate, PhaseSettings, TrajectorySettings
from dynamical_loss.datasets.kinds import NAMES, AnyDataset
from dynamical_loss.settings import Count, Settings, require_plain, validate

# Short, as a cluster's logs have folders named after study and block together.
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]


def _usable(folder: str) -> str:
    """A folder's name as Snakemake wants it, without ``./`` or double slashes.

    Raises:
        ValueError: if Snakemake or a command would take it for something else.
    """
    require_plain(folder)
    normal = posixpath.normpath(folder)
    if normal == "." or normal.startswith("-"):
        raise ValueError("must name a folder, and not begin with '-'; choose another")
    return normal


Folder = Annotated[str, AfterValidator(_usable)]


class TrajectoryStudy(TrajectorySettings):
    """A trajectory, repeated over seeds, with its probes."""

    seeds: Count = Field(1, description="runs, seeds 0 … n-1")
    probes: ProbeSettings = Field(ProbeSettings(), description="what is measured at the snapshots")

    @property
    def training(self) -> TrajectorySettings:
        """The settings that training depends on: changing the others never retrains."""
        return self._only(TrajectorySettings)


class ThresholdWidth(Settings):
    """The learning rates tried at one width."""

    learning_rates: Annotated[list[LearningRate], Field(min_length=1)] = Field(
        [1.0], description="η; T, the number of steps and the snapshot spacing scale with 1/η"
    )
    seeds: Count = Field(1, description="runs per learning rate, seeds 0 … n-1")


class ThresholdSettings(Settings):
    """The threshold of instability against learning rate (Fig. 5a)."""

    trajectory: TrajectorySettings = Field(
        TrajectorySettings(), description="the run at η = 1 and its protocol"
    )
    probes: ProbeSettings = Field(ProbeSettings(), description="what is measured at the snapshots")
    widths: dict[Count, ThresholdWidth] = Field(
        {100: ThresholdWidth()}, min_length=1, description="learning rates and seeds, by width"
    )


class FigureSettings(Settings):
    """Which studies the figures show."""

    folder: Folder = Field("paper_figures", description="where figures go")
    dataset: str = Field("spiral", description="Fig. 2: a key of `datasets`")
    phase_narrow: str = Field("spiral_w100", description="Fig. 3a,b: a key of `phase`")
    phase_wide: str = Field("spiral_w1000", description="Fig. 3c,d: a key of `phase`")
    trajectory: str = Field("cascade", description="Fig. 4, S1: a key of `trajectories`, seed 0")
    trajectory_zoom: tuple[int, int] = Field((8_000, 10_500), description="Fig. 4g-l: steps")
    static_narrow: str = Field("static_w100", description="Fig. 5b: a key of `trajectories`")
    static_wide: str = Field("static_w1000", description="Fig. 5c: a key of `trajectories`")
    initialisations: Annotated[list[str], Field(min_length=1)] = Field(
        ["initialisation_lecun", "initialisation_glorot", "initialisation_no_bias"],
        description="Fig. S0: keys of `phase`",
    )
    phase_images: str | None = Field(
        None, description="Fig. 1: a key of `phase`, of a study of images; null: no such figure"
    )
    learning_curves: str | None = Field(
        None, description="Fig. S4: a key of `phase` that keeps learning curves; null: no such figure"
    )
    learning_curves_cell: tuple[int, float] = Field(
        (100, 50.0), description="Fig. S4: T and A of the cell that is held against the static loss"
    )
    trajectory_images: str | None = Field(
        None, description="Fig. S2: a key of `trajectories`, seed 0; null: no such figure"
    )
    wide_resnet: list[str] = Field(
        default_factory=list,
        description="Fig. S3: keys of `phase` that keep learning curves; none: no such figure",
    )


class DeviceSettings(Settings):
    """What kind of device computes; one that is not there is refused by the job."""

    training: Literal["cpu", "gpu"] = Field("cpu", description="of all training jobs: cpu or gpu")
    probes: Literal["cpu", "gpu"] = Field("cpu", description="of all curvature probes: cpu or gpu")


class Config(Settings):
    """Everything that decides what is computed; how it runs is the profile's business."""

    scale: Name = Field("laptop", description="results go to results/<scale>/")
    published: bool = Field(
        False, description="render figures from the results kept in paper_figures/data, computing nothing"
    )
    devices: DeviceSettings = Field(DeviceSettings(), description="what kind of device computes")
    datasets: dict[Name, AnyDataset] = Field(
        min_length=1, description=f"datasets, by name of your choice, each of the kind {NAMES}"
    )
    phase: dict[Name, PhaseSettings] = Field(min_length=1, description="phase-diagram studies, by name")
    trajectories: dict[Name, TrajectoryStudy] = Field(min_length=1, description="trajectory studies, by name")
    threshold: ThresholdSettings = Field(description="the threshold study of Fig. 5a")
    instabilities: InstabilitySettings = Field(InstabilitySettings(), description="analysis of instabilities")
    bootstrap: BootstrapSettings = Field(BootstrapSettings(), description="95 % intervals")
    figures: FigureSettings = Field(FigureSettings(), description="which studies figures show")

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        _require(self.figures.dataset, self.datasets, "figures.dataset", "datasets")
        if self.datasets[self.figures.dataset].kind != "spiral":
            raise ValueError("figures.dataset: Fig. 2 shows a spiral; name one")
        for where, runs in (
            ("threshold.trajectory", self.threshold.trajectory),
            *((f"phase.{name}", study) for name, study in self.phase.items()),
            *((f"trajectories.{name}", study) for name, study in self.trajectories.items()),
        ):
            _require(runs.dataset, self.datasets, f"{where}.dataset", "datasets")
            try:
                runs.for_data(self.datasets[runs.dataset].shape)
            except ValueError as error:
                raise ValueError(f"{where}.{error}") from None
        for name, probed in self.trajectories.items():
            parameters = probed.model.size(self.datasets[probed.dataset].shape).parameters
            if probed.probes.hessian.modes > parameters:
                raise ValueError(
                    f"trajectories.{name}.probes.hessian.modes: the network has no more than {parameters} "
                    "parameters; take fewer"
                )
        figures = self.figures
        _require(figures.phase_narrow, self.phase, "figures.phase_narrow", "phase")
        _require(figures.phase_wide, self.phase, "figures.phase_wide", "phase")
        for name in figures.initialisations:
            _require(name, self.phase, "figures.initialisations", "phase")
        for key in ("trajectory", "static_narrow", "static_wide"):
            _require(getattr(figures, key), self.trajectories, f"figures.{key}", "trajectories")
        for key in ("phase_narrow", "phase_wide"):
            if max(self.phase[getattr(figures, key)].amplitudes) == 1.0:
                raise ValueError(
                    f"phase.{getattr(figures, key)}.amplitudes: Fig. 3 needs one above 1; add it"
                )
        for name in figures.initialisations:
            if 1.0 not in self.phase[name].amplitudes:
                raise ValueError(f"phase.{name}.amplitudes: Fig. S0 needs the static loss; add 1")
        shown = [("phase_images", figures.phase_images), ("learning_curves", figures.learning_curves)]
        for key, study in (*shown, *(("wide_resnet", name) for name in figures.wide_resnet)):
            if study is not None:
                _require(study, self.phase, f"figures.{key}", "phase")
                self._can_be_shown(key, study)
        if figures.trajectory_images is not None:
            _require(
                figures.trajectory_images, self.trajectories, "figures.trajectory_images", "trajectories"
            )
            self._cascade_can_be_shown(figures.trajectory_images)
        cascade = self.trajectories[figures.trajectory]
        for where, run, probes in (
            (f"trajectories.{figures.trajectory}", cascade, cascade.probes),
            ("threshold.trajectory", self.threshold.trajectory, self.threshold.probes),
        ):
            if run.record_every != 1:
                raise ValueError(f"{where}.record_every: instabilities show from step to step; set it to 1")
            if "weighted" not in probes.hessian.losses:
                raise ValueError(f"{where}: instabilities need the weighted loss; add it to hessian.losses")
        if "width" not in type(self.threshold.trajectory.model).model_fields:
            raise ValueError("threshold.trajectory.model: this kind has no width; take one that has, as mlp")
        clash = sorted(name for name in self.trajectories if name.startswith("threshold_"))
        if clash:
            raise ValueError(f"trajectories.{clash[0]}: names must not begin with 'threshold_'")
        return self

    def _cascade_can_be_shown(self, name: str) -> None:
        """Refuse a trajectory that lacks what Fig. S2 shows."""
        run = self.trajectories[name]
        if run.record_every % 2 == 0:
            raise ValueError(
                f"trajectories.{name}.record_every: {run.record_every} hides the alternation of the loss in "
                "Fig. S2; take 1 or another odd number"
            )
        if "weighted" not in run.probes.hessian.losses:
            raise ValueError(
                f"trajectories.{name}: Fig. S2 needs the weighted loss; add it to hessian.losses"
            )

    def _can_be_shown(self, key: str, name: str) -> None:
        """Refuse a study of images that lacks what the figure behind `key` shows."""
        study = self.phase[name]
        if 1.0 not in study.amplitudes or max(study.amplitudes) == 1.0:
            raise ValueError(f"phase.{name}.amplitudes: figures.{key} needs 1 and one above 1; add them")
        if key == "phase_images":
            return
        if not study.learning_curves:
            raise ValueError(f"phase.{name}.learning_curves: figures.{key} shows them; set it to true")
        period, amplitude = self.figures.learning_curves_cell
        if key == "learning_curves" and (period not in study.periods or amplitude not in study.amplitudes):
            raise ValueError(
                f"figures.learning_curves_cell: T = {period}, A = {amplitude:g} is no cell of phase.{name}; "
                "name one"
            )

    def for_data(self) -> Config:
        """The same with every length of a run in steps, as stages take it."""

        def resolved(study: Any) -> Any:
            return study.for_data(self.datasets[study.dataset].shape)

        return self.model_copy(
            update={
                "phase": {name: resolved(study) for name, study in self.phase.items()},
                "trajectories": {name: resolved(study) for name, study in self.trajectories.items()},
                "threshold": self.threshold.model_copy(
                    update={"trajectory": resolved(self.threshold.trajectory)}
                ),
            }
        )


def _require(name: str, known: Mapping[str, Any], where: str, section: str) -> None:
    if name not in known:
        raise ValueError(f"{where}: no '{name}' under `{section}`; there is {', '.join(known)}")


def load(values: Any, source: str = "the configuration") -> Config:
    """Check a merged configuration.

    Args:
        values: nested dictionaries, as YAML gives them.
        source: what to call it in an error.

    Raises:
        UserError: one line that names the first offending key.
    """
    return validate(Config, values, source)
