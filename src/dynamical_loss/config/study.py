"""The whole configuration: the model behind ``config.yaml`` and its JSON schema."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, create_model, model_validator

from dynamical_loss import grid
from dynamical_loss.config.analysis import BootstrapSettings, InstabilitySettings, require_analysable
from dynamical_loss.config.figures import (
    FigureDeclaration,
    FigureSettings,
    require_figures,
    require_name,
    settings_model,
)
from dynamical_loss.config.flow import FlowSettings, FlowStudy
from dynamical_loss.config.lazy import LazyStudy
from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.protocols import ProtocolSettings
from dynamical_loss.config.training import LearningRate, PhaseSettings, TrajectorySettings, require_cycles
from dynamical_loss.datasets.kinds import NAMES, AnyDataset
from dynamical_loss.errors import UserError
from dynamical_loss.notation import exact
from dynamical_loss.settings import Count, Settings, validate

# Short, as a cluster's logs have folders named after study and block together.
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]


FollowedRuns = Annotated[int, Field(ge=1, le=10_000)]


class TrajectoryStudy(TrajectorySettings):
    """A trajectory, repeated over seeds, with its probes."""

    seeds: FollowedRuns = Field(1, description="runs, seeds 0 … n-1")
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
    seeds: FollowedRuns = Field(1, description="runs per learning rate, seeds 0 … n-1")


class ThresholdSettings(Settings):
    """The threshold of instability against learning rate (Fig. 5a): one study."""

    trajectory: TrajectorySettings = Field(
        TrajectorySettings(), description="the run at η = 1 and its protocol"
    )
    probes: ProbeSettings = Field(ProbeSettings(), description="what is measured at the snapshots")
    snapshot_spacing: Literal["scaled", "fixed"] = Field(
        "scaled",
        description="at other learning rates; scaled: with 1/η, as all times; fixed: as many steps as at "
        "η = 1",
    )
    widths: dict[Count, ThresholdWidth] = Field(
        {100: ThresholdWidth()}, min_length=1, description="learning rates and seeds, by width"
    )

    def run(self, width: int, learning_rate: float) -> TrajectorySettings:
        """The run at one width and learning rate.

        Raises:
            ValidationError: if the learning rate leaves no run.
        """
        scaled = self.snapshot_spacing == "scaled"
        return self.trajectory.at_learning_rate(learning_rate, width, scaled_spacing=scaled)


class DeviceSettings(Settings):
    """What kind of device computes; one that is not there is refused by the job."""

    training: Literal["cpu", "gpu"] = Field("cpu", description="of all training jobs: cpu or gpu")
    probes: Literal["cpu", "gpu"] = Field("cpu", description="of all curvature probes: cpu or gpu")


class LimitSettings(Settings):
    """What a job may take at most; a study that would take more is refused before any work starts."""

    steps: Count = Field(100_000_000, description="minimisation steps of a run; the paper has up to 700 000")
    memory_mb: Count = Field(32_000, description="memory of a job, MB, as it is reckoned from the settings")


class Config(Settings):
    """Everything that decides what is computed; how it runs is the profile's business."""

    scale: Name = Field("laptop", description="results go to results/<scale>/")
    published: bool = Field(
        False, description="render figures from the results kept in paper_figures/data, computing nothing"
    )
    devices: DeviceSettings = Field(DeviceSettings(), description="what kind of device computes")
    limits: LimitSettings = Field(LimitSettings(), description="what a job may take at most")
    datasets: dict[Name, AnyDataset] = Field(
        min_length=1, description=f"datasets, by name of your choice, each of the kind {NAMES}"
    )
    phase: dict[Name, PhaseSettings] = Field(min_length=1, description="phase-diagram studies, by name")
    trajectories: dict[Name, TrajectoryStudy] = Field(min_length=1, description="trajectory studies, by name")
    threshold: dict[Name, ThresholdSettings] = Field(
        min_length=1, description="threshold studies, as that of Fig. 5a, by name"
    )
    instabilities: InstabilitySettings = Field(InstabilitySettings(), description="analysis of instabilities")
    readings: dict[Name, InstabilitySettings] = Field(
        default_factory=dict, description="other readings of the paper's rule, for protocols, by name"
    )
    protocols: dict[Name, ProtocolSettings] = Field(
        default_factory=dict,
        description="what the paper may have done where it is silent, by name; docs/choices.md",
    )
    flow: FlowSettings = Field(FlowSettings(), description="flows in continuous time, Fig. F1")
    flows: dict[Name, FlowStudy] = Field(
        default_factory=dict, description="flows along training runs, Fig. F4, by name"
    )
    lazy: dict[Name, LazyStudy] = Field(
        default_factory=dict, description="gradient flows between feature and lazy training, Fig. L1, by name"
    )
    bootstrap: BootstrapSettings = Field(BootstrapSettings(), description="95 % intervals")
    figures: FigureSettings = Field(FigureSettings(), description="which studies figures show")

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        for where, runs in (
            *((f"threshold.{name}.trajectory", study.trajectory) for name, study in self.threshold.items()),
            *((f"phase.{name}", study) for name, study in self.phase.items()),
            *((f"trajectories.{name}", study) for name, study in self.trajectories.items()),
        ):
            require_name(runs.dataset, self.datasets, f"{where}.dataset", "datasets")
            try:
                shape = self.datasets[runs.dataset].shape
                resolved = runs.for_data(shape)
                resolved.trained_by(shape, self.devices.training)
                if resolved.loss.cycles is not None:
                    periods = getattr(resolved, "periods", None) or [getattr(resolved, "period", 1)]
                    require_cycles(resolved.loss, periods, shape.classes, resolved.steps, "loss.cycles")
            except ValueError as error:
                raise ValueError(f"{where}.{error}") from None
        for name, threshold in self.threshold.items():
            where, run = f"threshold.{name}.trajectory", threshold.trajectory
            require_analysable(where, run, threshold.probes.hessian.losses)
            if "width" not in type(run.model).model_fields:
                raise ValueError(f"{where}.model: this kind has no width; take one that has, as mlp")
        for _, where, probes, run in self.probed_runs():
            shape = self.datasets[run.dataset].shape
            try:
                probes.require_possible(
                    run.probed(shape, remembers=run.snapshots.optimiser_state or not run.optimiser.remembers)
                )
            except ValueError as error:
                raise ValueError(f"{where}.{error}") from None
        clash = sorted(name for name in self.trajectories if name.startswith("threshold_"))
        if clash:
            raise ValueError(f"trajectories.{clash[0]}: names must not begin with 'threshold_'")
        self._require_draws()
        self._require_protocols()
        self._require_flows()
        self._require_lazy()
        return self

    def probed_runs(self) -> Iterator[tuple[str, str, ProbeSettings, TrajectorySettings]]:
        """Every kind of run that is probed: where it is set, where its probes are, these, and the run.

        Raises:
            ValueError: one line that names the key, if a learning rate leaves no run.
        """
        for name, study in self.trajectories.items():
            yield f"trajectories.{name}", f"trajectories.{name}.probes", study.probes, study
        for name, threshold in self.threshold.items():
            for width, runs in threshold.widths.items():
                for rate in runs.learning_rates:
                    where = f"threshold.{name}.widths.{width}.learning_rates: η = {exact(rate)}"
                    try:
                        run = threshold.run(width, rate)
                    except ValidationError as error:
                        raise ValueError(
                            f"{where} leaves no run, as steps and T scale with 1/η "
                            f"({error.errors()[0]['msg']}); take another"
                        ) from None
                    yield where, f"threshold.{name}.probes", threshold.probes, run

    def _require_draws(self) -> None:
        """Refuse studies whose data cannot be drawn anew, or whose draws have names that are taken."""
        for name, study in self.phase.items():
            for seed in study.noise_seeds:
                self._require_draw("phase", name, study.dataset, seed, "noise_seeds")
                if (taken := grid.draw(name, seed)) in self.phase:
                    raise ValueError(
                        f"phase.{name}.noise_seeds: phase.{taken} has the name of a draw; rename it"
                    )

    def _require_protocols(self) -> None:
        """Refuse protocols that name what does not exist, or is not what a claim can look at."""
        sections = {
            "phase_narrow": "phase",
            "phase_wide": "phase",
            "trajectory": "trajectories",
            "threshold": "threshold",
            "static_narrow": "trajectories",
            "static_wide": "trajectories",
            "reading": "readings",
        }
        for name, protocol in self.protocols.items():
            for key, section in sections.items():
                value = getattr(protocol, key)
                if value is not None:
                    require_name(value, getattr(self, section), f"protocols.{name}.{key}", section)
            if not protocol.evidence(self.trajectories):
                raise ValueError(f"protocols.{name}: names no study; name one, or leave the protocol out")
            if (protocol.static_narrow or protocol.static_wide) and protocol.threshold is None:
                raise ValueError(
                    f"protocols.{name}: static runs are held against a threshold; name a study of it too"
                )
            if protocol.reading and protocol.threshold is None and protocol.trajectory is None:
                raise ValueError(
                    f"protocols.{name}.reading: there is nothing to read; name a trajectory or a threshold"
                )
            self._require_spiral(name, protocol)
            if protocol.trajectory is not None:
                run = self.trajectories[protocol.trajectory]
                where = f"trajectories.{protocol.trajectory}"
                require_analysable(where, run, run.probes.hessian.losses)

    def _require_flows(self) -> None:
        """Refuse flows along runs that do not exist, or that no flow can follow."""
        for name, study in self.flows.items():
            require_name(study.trajectory, self.trajectories, f"flows.{name}.trajectory", "trajectories")
            run = self.trajectories[study.trajectory]
            try:
                study.require_possible(run.for_data(self.datasets[run.dataset].shape))
            except ValueError as error:
                raise ValueError(f"flows.{name}.{error}") from None

    def _require_lazy(self) -> None:
        """Refuse gradient flows on data that do not exist, have not two classes, or cannot be split anew."""
        for name, study in self.lazy.items():
            require_name(study.dataset, self.datasets, f"lazy.{name}.dataset", "datasets")
            try:
                study.require_possible(self.datasets[study.dataset].shape)
            except ValueError as error:
                raise ValueError(f"lazy.{name}.{error}") from None
            for seed in study.data_seeds:
                self._require_draw("lazy", name, study.dataset, seed, "data_seeds")

    def _require_draw(self, section: str, name: str, dataset: str, seed: int, key: str) -> None:
        """Refuse data that cannot be drawn from a seed, or whose draw has a name that is taken."""
        where = f"{section}.{name}.{key}"
        try:
            drawn = self.datasets[dataset].redrawn(seed)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        taken = grid.draw(dataset, seed)
        if self.datasets.get(taken, drawn) != drawn:
            raise ValueError(f"{where}: datasets.{taken} has the name of a draw; rename it")

    def _require_spiral(self, name: str, protocol: ProtocolSettings) -> None:
        """Refuse studies of other data in a protocol: its claims are about the spiral."""
        runs: dict[str, Any] = {
            key: self.phase[study]
            for key in ("phase_narrow", "phase_wide")
            if (study := getattr(protocol, key)) is not None
        }
        runs |= {
            key: self.trajectories[study]
            for key in ("trajectory", "static_narrow", "static_wide")
            if (study := getattr(protocol, key)) is not None
        }
        for key, run in runs.items():
            if self.datasets[run.dataset].kind != "spiral":
                raise ValueError(
                    f"protocols.{name}.{key}: its claims are about the spiral, and this study is of "
                    f"{self.datasets[run.dataset].kind}; name another"
                )

    def for_data(self) -> Config:
        """The same as stages take it: every length of a run in steps, every draw of the data a dataset.

        A study with `noise_seeds` stays, and beside it stands one for each draw.
        """
        draws = [(name, study, seed) for name, study in self.phase.items() for seed in study.noise_seeds]
        drawn = [(study.dataset, seed) for _, study, seed in draws]
        drawn += [(study.dataset, seed) for study in self.lazy.values() for seed in study.data_seeds]
        datasets = self.datasets | {
            grid.draw(dataset, seed): self.datasets[dataset].redrawn(seed) for dataset, seed in drawn
        }
        phase = self.phase | {grid.draw(name, seed): study.drawn(seed) for name, study, seed in draws}

        def resolved(study: Any) -> Any:
            return study.for_data(datasets[study.dataset].shape)

        return self.model_copy(
            update={
                "datasets": datasets,
                "phase": {name: resolved(study) for name, study in phase.items()},
                "trajectories": {name: resolved(study) for name, study in self.trajectories.items()},
                "threshold": {
                    name: study.model_copy(update={"trajectory": resolved(study.trajectory)})
                    for name, study in self.threshold.items()
                },
            }
        )


@functools.cache
def _model(figures: tuple[tuple[str, FigureDeclaration], ...]) -> type[Config]:
    settings = settings_model(dict(figures))
    shown = Config.model_fields["figures"].description
    return create_model(
        Config.__name__,
        __base__=Config,
        __doc__=Config.__doc__,
        figures=(settings, Field(settings(), description=shown)),
    )


def model(figures: Mapping[str, FigureDeclaration]) -> type[Config]:
    """The settings class of the whole configuration, with the keys that the figures declare.

    Args:
        figures: declarations by name; the same ones give the same class.

    Raises:
        ValueError: if two figures declare one key differently.
    """
    return _model(tuple(figures.items()))


def load(values: Any, source: str, figures: Mapping[str, FigureDeclaration]) -> Config:
    """Check a merged configuration.

    Args:
        values: nested dictionaries, as YAML gives them.
        source: what to call it in an error.
        figures: declarations of the figures by name: the keys that they add, and what they require.

    Raises:
        UserError: one line that names the first offending key.
    """
    config = validate(model(figures), values, source)
    try:
        require_figures(config, figures)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None
    return config
