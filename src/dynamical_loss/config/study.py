"""The whole configuration: the typed model of ``config.yaml`` and its JSON schema."""

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

# Names are short, because a cluster's logs are in folders that are named after both study and block.
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]


FollowedRuns = Annotated[int, Field(ge=1, le=10_000)]


class TrajectoryStudy(TrajectorySettings):
    """A trajectory, repeated over initial seeds, with its probes."""

    seeds: FollowedRuns = Field(1, description="n, number of runs, with initial seeds 0 … n−1")
    probes: ProbeSettings = Field(ProbeSettings(), description="measurements at the snapshots")

    @property
    def training(self) -> TrajectorySettings:
        """The settings that training depends on; changing other settings never retrains."""
        return self._only(TrajectorySettings)


class ThresholdWidth(Settings):
    """Learning rates and seeds of a threshold study at one width."""

    learning_rates: Annotated[list[LearningRate], Field(min_length=1)] = Field(
        [1.0],
        description="η, learning rates; T, the number of steps and the spacing of snapshots are scaled with "
        "1/η",
    )
    seeds: FollowedRuns = Field(
        1, description="n, number of runs per learning rate, with initial seeds 0 … n−1"
    )


class ThresholdSettings(Settings):
    """A study of the threshold of instability against the learning rate (Fig. 5a)."""

    trajectory: TrajectorySettings = Field(TrajectorySettings(), description="settings of the run at η = 1")
    probes: ProbeSettings = Field(ProbeSettings(), description="measurements at the snapshots")
    snapshot_spacing: Literal["scaled", "fixed"] = Field(
        "scaled",
        description="spacing of the snapshots at other learning rates. scaled: in proportion to 1/η, like "
        "all other times; fixed: the same number of steps as at η = 1",
    )
    widths: dict[Count, ThresholdWidth] = Field(
        {100: ThresholdWidth()},
        min_length=1,
        description="learning rates and seeds, by the number of hidden units",
    )

    @model_validator(mode="after")
    def _counts_steps(self) -> ThresholdSettings:
        if self.trajectory.epochs is not None:
            raise ValueError("trajectory.epochs: times are scaled with 1/η; give steps instead")
        return self

    def run(self, width: int, learning_rate: float) -> TrajectorySettings:
        """Return the settings of the run at one width and learning rate.

        Args:
            width: number of hidden units.
            learning_rate: η.

        Raises:
            ValidationError: if no valid run remains when its times are scaled with 1/η.
        """
        scaled = self.snapshot_spacing == "scaled"
        return self.trajectory.at_learning_rate(learning_rate, width, scaled_spacing=scaled)


class DeviceSettings(Settings):
    """Kind of device on which jobs compute; a job fails with an error if the device is missing."""

    training: Literal["cpu", "gpu"] = Field("cpu", description="device of all training jobs, cpu or gpu")
    probes: Literal["cpu", "gpu"] = Field(
        "cpu", description="device of all jobs that probe curvature, cpu or gpu"
    )


class LimitSettings(Settings):
    """Upper limits for a single job; a study that exceeds them is refused before any work starts."""

    steps: Count = Field(
        100_000_000, description="largest number of minimisation steps in a run; the paper has up to 700 000"
    )
    memory_mb: Count = Field(
        32_000, description="largest memory of a job in MB, as estimated from the settings"
    )


class Config(Settings):
    """All settings that decide what is computed; a Snakemake profile sets how it is run."""

    scale: Name = Field(
        "laptop", description="name of this set of studies; results are written to results/<scale>/"
    )
    published: bool = Field(
        False,
        description="whether to render the figures from the results stored in paper_figures/data, without "
        "computing anything",
    )
    devices: DeviceSettings = Field(DeviceSettings(), description="kind of device on which jobs compute")
    limits: LimitSettings = Field(
        LimitSettings(),
        description="upper limits for a single job; a study that exceeds them is refused before any work "
        "starts",
    )
    datasets: dict[Name, AnyDataset] = Field(
        min_length=1, description=f"datasets, each under a name of your choice; the kind of each is {NAMES}"
    )
    phase: dict[Name, PhaseSettings] = Field(
        min_length=1,
        description="phase-diagram studies: training runs over a grid of periods, amplitudes and seeds, each "
        "under a name of your choice",
    )
    trajectories: dict[Name, TrajectoryStudy] = Field(
        min_length=1,
        description="trajectory studies: runs that are recorded along the way, with probes of the curvature, "
        "each under a name of your choice",
    )
    threshold: dict[Name, ThresholdSettings] = Field(
        min_length=1,
        description="threshold studies: the threshold of instability against the learning rate, as in Fig. "
        "5a, each under a name of your choice",
    )
    instabilities: InstabilitySettings = Field(
        InstabilitySettings(), description="rule by which instabilities are found along a run"
    )
    readings: dict[Name, InstabilitySettings] = Field(
        default_factory=dict,
        description="alternative rules for finding instabilities, used by protocols, each under a name of "
        "your choice",
    )
    protocols: dict[Name, ProtocolSettings] = Field(
        default_factory=dict,
        description="protocols: sets of studies that make one version of the choices that the paper leaves "
        "open (docs/choices.md), each under a name of your choice",
    )
    flow: FlowSettings = Field(
        FlowSettings(), description="flows in continuous time on losses known in closed form (Fig. F1)"
    )
    flows: dict[Name, FlowStudy] = Field(
        default_factory=dict,
        description="studies of flows along training runs (Fig. F4), each under a name of your choice",
    )
    lazy: dict[Name, LazyStudy] = Field(
        default_factory=dict,
        description="studies of gradient flows between feature and lazy training (Fig. L1), each under a "
        "name of your choice",
    )
    bootstrap: BootstrapSettings = Field(
        BootstrapSettings(), description="bootstrap behind all 95 % intervals"
    )
    figures: FigureSettings = Field(FigureSettings(), description="studies that the figures show")

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
                raise ValueError(f"{where}.model: this kind of network has no width; take mlp")
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
            raise ValueError(f"trajectories.{clash[0]}: names must not begin with 'threshold_'; rename it")
        self._require_draws()
        self._require_protocols()
        self._require_flows()
        self._require_lazy()
        return self

    def probed_runs(self) -> Iterator[tuple[str, str, ProbeSettings, TrajectorySettings]]:
        """Yield every kind of run that is probed.

        Yields:
            key of the run, key of its probes, settings of its probes, settings of the run.

        Raises:
            ValueError: one line that names the key, if a learning rate leaves no valid run.
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
                            f"{where} leaves no run, because steps and T scale with 1/η "
                            f"({error.errors()[0]['msg']}); take another learning rate"
                        ) from None
                    yield where, f"threshold.{name}.probes", threshold.probes, run

    def _require_draws(self) -> None:
        """Refuse studies whose data cannot be drawn again, or whose draws have names that already exist."""
        for name, study in self.phase.items():
            for seed in study.noise_seeds:
                self._require_draw("phase", name, study.dataset, seed, "noise_seeds")
                if (taken := grid.draw(name, seed)) in self.phase:
                    raise ValueError(
                        f"phase.{name}.noise_seeds: phase.{taken} has the name of a draw; rename that study"
                    )

    def _require_protocols(self) -> None:
        """Refuse protocols that name missing studies, or studies from which no claim can be computed."""
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
                raise ValueError(
                    f"protocols.{name}: the protocol names no study; name one, or leave the protocol out"
                )
            if (protocol.static_narrow or protocol.static_wide) and protocol.threshold is None:
                raise ValueError(
                    f"protocols.{name}: static runs are compared with a threshold; name a threshold study too"
                )
            if protocol.reading and protocol.threshold is None and protocol.trajectory is None:
                raise ValueError(
                    f"protocols.{name}.reading: the protocol has no instabilities to find; name a trajectory "
                    "or a threshold"
                )
            self._require_spiral(name, protocol)
            if protocol.trajectory is not None:
                run = self.trajectories[protocol.trajectory]
                where = f"trajectories.{protocol.trajectory}"
                require_analysable(where, run, run.probes.hessian.losses)

    def _require_flows(self) -> None:
        """Refuse flows along runs that do not exist, or along which no flow can be traced."""
        for name, study in self.flows.items():
            require_name(study.trajectory, self.trajectories, f"flows.{name}.trajectory", "trajectories")
            run = self.trajectories[study.trajectory]
            try:
                shape = self.datasets[run.dataset].shape
                study.require_possible(run.for_data(shape), shape.classes)
            except ValueError as error:
                raise ValueError(f"flows.{name}.{error}") from None

    def _require_lazy(self) -> None:
        """Refuse gradient flows on data that do not exist, do not have two classes, or cannot be redrawn."""
        for name, study in self.lazy.items():
            require_name(study.dataset, self.datasets, f"lazy.{name}.dataset", "datasets")
            try:
                study.require_possible(self.datasets[study.dataset].shape)
            except ValueError as error:
                raise ValueError(f"lazy.{name}.{error}") from None
            for seed in study.data_seeds:
                self._require_draw("lazy", name, study.dataset, seed, "data_seeds")

    def _require_draw(self, section: str, name: str, dataset: str, seed: int, key: str) -> None:
        """Refuse data that cannot be drawn from a seed, or whose draw has a name that already exists."""
        where = f"{section}.{name}.{key}"
        try:
            drawn = self.datasets[dataset].redrawn(seed)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        taken = grid.draw(dataset, seed)
        if self.datasets.get(taken, drawn) != drawn:
            raise ValueError(f"{where}: datasets.{taken} has the name of a draw; rename that dataset")

    def _require_spiral(self, name: str, protocol: ProtocolSettings) -> None:
        """Refuse a protocol with studies of other data, because its claims are about the spiral."""
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
                    f"protocols.{name}.{key}: the claims are about the spiral, and this study trains on "
                    f"{self.datasets[run.dataset].kind}; name another study"
                )

    def for_data(self) -> Config:
        """Return this configuration in the form that stages use.

        The length of every run is given in steps, and every draw of the data is a dataset.  A study with
        `noise_seeds` is kept, and one study is added for each of its draws.
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
    """Return the settings class of the whole configuration, with the keys that the figures declare.

    Args:
        figures: declarations of the figures, by name; equal declarations give the same class.

    Raises:
        ValueError: if two figures declare one key differently.
    """
    return _model(tuple(figures.items()))


def load(values: Any, source: str, figures: Mapping[str, FigureDeclaration]) -> Config:
    """Check a merged configuration.

    Args:
        values: nested dictionaries, as read from YAML.
        source: name of the configuration in an error.
        figures: declarations of the figures, by name, with their keys and requirements.

    Raises:
        UserError: one line that names the first offending key.
    """
    config = validate(model(figures), values, source)
    try:
        require_figures(config, figures)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None
    return config
