"""The command line: one command a rule of the workflow, named alike.

Each command reads its files, does one stage and writes one result.  ``--settings`` takes the stage's
part of the configuration, as JSON or as the path of a YAML file; every key has the paper's value as
its default, and ``--help`` lists them.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel

from dynamical_loss import environment, remedies
from dynamical_loss.config import reading
from dynamical_loss.config.analysis import BootstrapSettings, InstabilitySettings
from dynamical_loss.config.flow import FlowSettings, FlowStudy
from dynamical_loss.config.lazy import LazySettings, LazyStudy
from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.training import PhaseSettings, TrainingSettings, TrajectorySettings
from dynamical_loss.datasets.kinds import AnyDataset
from dynamical_loss.datasets.kinds.cifar10 import DOWNLOADED
from dynamical_loss.errors import Interrupted, UserError
from dynamical_loss.results.digest import expecting
from dynamical_loss.settings import Settings, located, members, validate

if TYPE_CHECKING:
    from dynamical_loss.results.verify import Report

Command = Callable[..., None]
Decorator = Callable[[Command], Command]


class _UserPath(click.Path):
    """A path in which ``~`` stands for the home folder, also where the shell leaves it, as after ``=``."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """The path."""
        return Path(os.fsdecode(super().convert(os.path.expanduser(value), param, ctx)))


_PATH = _UserPath()


class SettingsType(click.ParamType[Settings]):
    """A settings model, given as JSON or as the path of a YAML or JSON file."""

    name = "json|file"

    def __init__(self, model: Any) -> None:
        self.model = model

    def convert(self, value: Any, param: Any, ctx: Any) -> Settings:
        """Parse and check.

        Raises:
            UserError: one line that names the key and the remedy.
        """
        if isinstance(value, Settings):
            return value
        if value.lstrip().startswith("{"):
            source, values = "--settings", reading.parse(value, "--settings")
        else:
            if not located(value).is_file():
                raise UserError(f"--settings: '{value}' is neither JSON nor a file")
            source, values = value, reading.read(located(value))
        settings: Settings = validate(self.model, values, source)
        return settings


def settings_help(model: Any, indent: str = "") -> list[str]:
    """Lines that list a settings model's keys with default and meaning; kinds one after the other."""
    kinds = members(model)
    if len(kinds) > 1:
        return [
            line
            for kind in kinds
            for line in (f"{indent}{kind.__doc__}", *settings_help(kind, indent + "  "))
        ]
    lines = []
    for name, field in kinds[0].model_fields.items():
        nested = members(field.annotation)
        if nested and not str(field.annotation).startswith(("list", "dict")):
            optional = " (null: off)" if type(None) in get_args(field.annotation) else ""
            lines.append(f"{indent}{name}: {field.description}{optional}")
            lines += settings_help(Union[tuple(nested)], indent + "  ")  # noqa: UP007
            continue
        default = "required" if field.is_required() else field.get_default(call_default_factory=True)
        if field.is_required() and get_origin(field.annotation) is Literal:
            default = get_args(field.annotation)[0]
        if isinstance(default, BaseModel | list) and nested:
            default = [] if isinstance(default, list) else default
        lines.append(f"{indent}{name} [{default}]: {field.description}")
    return lines


def _settings(model: Any) -> Decorator:
    """The ``--settings`` option of a command, and the list of its keys at the end of its help."""

    def decorate(function: Command) -> Command:
        listing = "\n".join(settings_help(model))
        function.__doc__ = f"{function.__doc__}\n\n    \b\n    Settings [default]:\n" + "\n".join(
            f"      {line}" for line in listing.splitlines()
        )
        return click.option(
            "--settings",
            type=SettingsType(model),
            default="{}",
            show_default=True,
            help="Settings as JSON, or a YAML or JSON file; see the list below.",
        )(function)

    return decorate


def _file(name: str, text: str) -> Decorator:
    return click.option(f"--{name}", required=True, type=_PATH, help=text)


_OUTPUT = _file("output", "NetCDF file to write; it appears only when it is whole.")
_DATASET = _file("dataset", "NetCDF file made by prepare-dataset.")
_CHECKPOINT = click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(min=0, max=86_400 * 365),
    default=60.0,
    show_default=True,
    envvar="DYNAMICAL_LOSS_CHECKPOINT_SECONDS",
    show_envvar=True,
    help="Least time between two writes of unfinished work, from which the same command goes on.",
)


_FIRST_SEED, _LAST_SEED = (
    click.option(
        f"--{which}-seed", type=click.IntRange(min=0), default=0, show_default=True, help=f"{which.title()}."
    )
    for which in ("first", "last")
)


_DEVICE = click.option(
    "--device",
    type=click.Choice(["cpu", "gpu"]),
    default=None,
    help="Kind of device to compute on; leave out for what JAX prefers.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--code",
    default=None,
    help="Digest of the code that the work was planned with; leave out for whatever it is now.",
)
@click.pass_context
def commands(context: click.Context, code: str | None) -> None:
    """Dynamical loss functions: datasets, training, curvature probes, analysis, figures, claims.

    Times are in minimisation steps, accuracies fractions of 1, losses in nats (cross-entropy).
    Computation uses one thread, so that results do not depend on the machine's core count.
    """
    context.with_resource(expecting(code))


@commands.command()
@_OUTPUT
@_settings(AnyDataset)
def prepare_dataset(settings: AnyDataset, output: Path) -> None:
    """Make a training and validation set: the spiral (Fig. 2), or images (Fig. 1)."""
    from dynamical_loss.stages import prepare_dataset as stage

    stage.run(settings, output)


@commands.command()
@click.option(
    "--output",
    type=_PATH,
    default=DOWNLOADED,
    show_default=True,
    help="File to write; it appears only when it is whole.",
)
@click.option(
    "--url",
    default=None,
    envvar="DYNAMICAL_LOSS_CIFAR10_URL",
    show_envvar=True,
    help="Another server's copy of the same file; leave out for the authors' own.",
)
def download_dataset(output: Path, url: str | None) -> None:
    """Download CIFAR-10 (170 MB); when it was interrupted, the same command goes on."""
    from dynamical_loss.stages import download_dataset as stage

    stage.run(output, url)


@commands.command()
@_DATASET
@click.option("--period", type=click.IntRange(min=1), help="T, steps; leave out for A = 1.")
@click.option(
    "--amplitude",
    "amplitudes",
    type=click.FloatRange(min=1),
    multiple=True,
    default=[1.0],
    show_default=True,
    help="A; 1 is the static loss; repeatable.",
)
@_FIRST_SEED
@_LAST_SEED
@_CHECKPOINT
@_DEVICE
@_OUTPUT
@_settings(TrainingSettings)
def train_phase_block(
    settings: TrainingSettings,
    dataset: Path,
    period: int | None,
    amplitudes: tuple[float, ...],
    first_seed: int,
    last_seed: int,
    checkpoint_seconds: float,
    output: Path,
    device: str | None,
) -> None:
    """Train cells of one period, for several seeds each (Fig. 3)."""
    from dynamical_loss.grid import Block

    _use(device)
    from dynamical_loss.stages import train_phase_block as stage

    if not all(map(math.isfinite, amplitudes)):
        raise UserError("--amplitude: give numbers of at least 1")
    if max(amplitudes) > 1 and period is None:
        raise UserError("--period is missing; an amplitude above 1 needs one")
    if len(amplitudes) > 1 and (1 in amplitudes or len(set(amplitudes)) < len(amplitudes)):
        raise UserError("--amplitude: 1 stands alone, and others are given once; split the command")
    _require_seeds(first_seed, last_seed)
    block = Block(None if amplitudes == (1.0,) else period, amplitudes, first_seed, last_seed)
    stage.run(settings, block, dataset, output, checkpoint_seconds)


@commands.command()
@click.argument("blocks", nargs=-1, required=True, type=_PATH)
@_OUTPUT
@_settings(PhaseSettings)
def aggregate_phase(settings: PhaseSettings, blocks: tuple[Path, ...], output: Path) -> None:
    """Gather BLOCKS into one file over (period, amplitude, seed) (Fig. 3)."""
    from dynamical_loss.stages import aggregate_phase as stage

    stage.run(settings, blocks, output)


@commands.command()
@click.argument("diagrams", nargs=-1, required=True, type=_PATH)
@_OUTPUT
@_settings(PhaseSettings)
def gather_draws(settings: PhaseSettings, diagrams: tuple[Path, ...], output: Path) -> None:
    """Gather DIAGRAMS, one a draw of the data, into one file, and split the variance (Fig. 3)."""
    from dynamical_loss.stages import gather_draws as stage

    stage.run(settings, diagrams, output)


@commands.command()
@_DATASET
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed.")
@_CHECKPOINT
@_DEVICE
@_OUTPUT
@_settings(TrajectorySettings)
def train_trajectory(
    settings: TrajectorySettings,
    dataset: Path,
    seed: int,
    checkpoint_seconds: float,
    output: Path,
    device: str | None,
) -> None:
    """Train one run, keeping every step and snapshots of its parameters (Fig. 4, 5)."""
    _use(device)
    from dynamical_loss.stages import train_trajectory as stage

    stage.run(settings, seed, dataset, output, checkpoint_seconds)


@commands.command()
@_file("trajectory", "NetCDF file made by train-trajectory.")
@_DATASET
@_DEVICE
@_OUTPUT
@_settings(ProbeSettings)
def probe_spectrum(
    settings: ProbeSettings, trajectory: Path, dataset: Path, output: Path, device: str | None
) -> None:
    """Measure Hessian and NTK eigenvalues at the snapshots of a trajectory (Fig. 4e,f)."""
    _use(device)
    from dynamical_loss.stages import probe_spectrum as stage

    stage.run(settings, trajectory, dataset, output)


@commands.command()
@_file("trajectory", "NetCDF file made by train-trajectory.")
@_file("spectrum", "NetCDF file made by probe-spectrum.")
@_OUTPUT
@_settings(InstabilitySettings)
def find_instabilities(settings: InstabilitySettings, trajectory: Path, spectrum: Path, output: Path) -> None:
    """Find the instabilities along a trajectory and the threshold they give (Fig. 4)."""
    from dynamical_loss.stages import find_instabilities as stage

    stage.run(settings, trajectory, spectrum, output)


@commands.command()
@click.option(
    "--trajectory", "trajectories", multiple=True, required=True, type=_PATH, help="One a seed; repeatable."
)
@click.option(
    "--spectrum", "spectra", multiple=True, required=True, type=_PATH, help="Of the same runs; repeatable."
)
@_OUTPUT
def gather_runs(trajectories: tuple[Path, ...], spectra: tuple[Path, ...], output: Path) -> None:
    """Gather losses, accuracies and λ_max of all runs of a trajectory study (Fig. S8)."""
    from dynamical_loss.stages import gather_runs as stage

    stage.run(trajectories, spectra, output)


@commands.command()
@click.argument("analyses", nargs=-1, required=True, type=_PATH)
@_OUTPUT
@_settings(BootstrapSettings)
def fit_threshold(settings: BootstrapSettings, analyses: tuple[Path, ...], output: Path) -> None:
    """Fit the threshold's power law in the learning rate over ANALYSES (Fig. 5a)."""
    from dynamical_loss.stages import fit_threshold as stage

    stage.run(settings, analyses, output)


@commands.command()
@_OUTPUT
@_settings(FlowSettings)
def trace_known_losses(settings: FlowSettings, output: Path) -> None:
    """Follow gradient descent by flows on losses known in closed form (Fig. F1)."""
    from dynamical_loss.stages import trace_known_losses as stage

    stage.run(settings, output)


@commands.command()
@click.option(
    "--trajectory", "trajectories", multiple=True, required=True, type=_PATH, help="One a seed; repeatable."
)
@_file("dataset", "NetCDF file made by prepare-dataset.")
@_OUTPUT
@_settings(FlowStudy)
def trace_flow(settings: FlowStudy, trajectories: tuple[Path, ...], dataset: Path, output: Path) -> None:
    """Follow gradient descent by flows from snapshots of trajectories on (Fig. F4)."""
    from dynamical_loss.stages import trace_flow as stage

    stage.run(settings, trajectories, dataset, output)


@commands.command()
@_DATASET
@click.option("--width", type=click.IntRange(min=1), required=True, help="h, hidden units of each layer.")
@click.option(
    "--scale",
    "scales",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    required=True,
    help="√h·α of the prediction; repeatable.",
)
@click.option("--data-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the split.")
@_FIRST_SEED
@_LAST_SEED
@_CHECKPOINT
@_DEVICE
@_OUTPUT
@_settings(LazySettings)
def train_lazy_block(
    settings: LazySettings,
    dataset: Path,
    width: int,
    scales: tuple[float, ...],
    data_seed: int,
    first_seed: int,
    last_seed: int,
    checkpoint_seconds: float,
    output: Path,
    device: str | None,
) -> None:
    """Follow networks of one width by gradient flow, at several scales (arXiv 1906.08034; Fig. L1)."""
    from dynamical_loss.grid import LazyBlock

    _use(device)
    from dynamical_loss.stages import train_lazy_block as stage

    if not all(map(math.isfinite, scales)) or len(set(scales)) < len(scales):
        raise UserError("--scale: give finite numbers, each once")
    _require_seeds(first_seed, last_seed)
    block = LazyBlock(width, scales, data_seed, first_seed, last_seed)
    stage.run(settings, block, dataset, output, checkpoint_seconds)


@commands.command()
@click.argument("blocks", nargs=-1, required=True, type=_PATH)
@_OUTPUT
@_settings(LazyStudy)
def aggregate_lazy(settings: LazyStudy, blocks: tuple[Path, ...], output: Path) -> None:
    """Gather BLOCKS into one file over (width, scale, data_seed, seed) (Fig. L1 to L5)."""
    from dynamical_loss.stages import aggregate_lazy as stage

    stage.run(settings, blocks, output)


def _require_seeds(first: int, last: int) -> None:
    """Refuse seeds that are none.

    Raises:
        UserError: if the last one is before the first.
    """
    if last < first:
        raise UserError(f"--last-seed {last} is before --first-seed {first}")


def _pairs(values: Sequence[str], option: str) -> list[tuple[str, str]]:
    """Options of the form ``key=value``.

    Raises:
        UserError: if one has no equals sign.
    """
    for value in values:
        if "=" not in value:
            raise UserError(f"{option} '{value}': write it as NAME=VALUE")
    return [(value.split("=", 1)[0], value.split("=", 1)[1]) for value in values]


@commands.command()
@click.argument("name")
@click.option("--input", "inputs", multiple=True, metavar="ROLE=FILE", help="A NetCDF file; repeatable.")
@click.option("--option", "options", multiple=True, metavar="KEY=JSON", help="E.g. zoom=[8000,10500].")
@click.option(
    "--output",
    "outputs",
    multiple=True,
    required=True,
    type=_PATH,
    help="Picture to write, .pdf or .png; repeatable.",
)
def render_figure(
    name: str, inputs: tuple[str, ...], options: tuple[str, ...], outputs: tuple[Path, ...]
) -> None:
    """Render the figure NAME, e.g. fig4_cascade, from stored results."""
    from dynamical_loss.stages import render_figure as stage

    files: dict[str, list[Path]] = {}
    for role, path in _pairs(inputs, "--input"):
        files.setdefault(role, []).append(located(path))
    values = {key: reading.parse(text, f"--option {key}") for key, text in _pairs(options, "--option")}
    stage.run(name, files, values, outputs)


@commands.command()
@click.option("--input", "inputs", multiple=True, metavar="ROLE=FILE", help="A NetCDF file; repeatable.")
@click.option(
    "--given-only", is_flag=True, show_default=True, help="Leave out claims whose files are not given."
)
@_file("output", "CSV file to write; it appears only when it is whole.")
@_settings(BootstrapSettings)
def evaluate_claims(
    settings: BootstrapSettings, inputs: tuple[str, ...], given_only: bool, output: Path
) -> None:
    """Hold the paper's claims against the results, one row a claim."""
    from dynamical_loss.stages import evaluate_claims as stage

    files: dict[str, list[Path]] = {}
    for role, path in _pairs(inputs, "--input"):
        files.setdefault(role, []).append(located(path))
    stage.run(settings, files, output, given_only)


@commands.command()
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="PROTOCOL:ROLE=FILE",
    help="A NetCDF file; repeatable.",
)
@_file("table", "CSV file to write; it appears only when it is whole.")
@_OUTPUT
@_settings(BootstrapSettings)
def evaluate_protocols(
    settings: BootstrapSettings, inputs: tuple[str, ...], table: Path, output: Path
) -> None:
    """Hold the claims of Fig. 3 to 5 against every protocol, one row for each of both."""
    from dynamical_loss.stages import evaluate_protocols as stage

    files: dict[str, dict[str, list[Path]]] = {}
    for key, path in _pairs(inputs, "--input"):
        protocol, colon, role = key.partition(":")
        if not colon:
            raise UserError(f"--input '{key}={path}': write it as PROTOCOL:ROLE=FILE")
        files.setdefault(protocol, {}).setdefault(role, []).append(located(path))
    stage.run(settings, files, output, table)


@commands.command()
@_file("result", "NetCDF file made by any other command.")
@_OUTPUT
def publish_result(result: Path, output: Path) -> None:
    """Make the small copy of a result that the repository keeps."""
    from dynamical_loss.stages import publish_result as stage

    stage.run(result, output)


@commands.command()
@click.argument("folders", nargs=-1, type=_PATH)
def verify(folders: tuple[Path, ...]) -> None:
    """Compare all results below FOLDERS with their checksums, their inputs and the present code.

    Without FOLDERS: results and paper_figures.  Names what is damaged, unreadable, foreign, stale or
    unfinished, and what to do about it; the exit status is 1 if there is any of the first four.
    """
    from dynamical_loss.results import verify as results

    report = results.examine(folders or _usual_folders())
    click.echo(_told(report))
    sys.exit(int(report.failed))


@commands.command()
@click.argument("folders", nargs=-1, type=_PATH)
def accept(folders: tuple[Path, ...]) -> None:
    """Give all results below FOLDERS times that Snakemake accepts, if they are sound.

    For a copy that has lost its times.  Without FOLDERS: results and paper_figures.  Where verify would find
    something damaged, unreadable, foreign or stale, this is told as verify tells it, nothing is changed, and
    the exit status is 1.
    """
    from dynamical_loss.results import accept as results

    report = results.accept(folders or _usual_folders())
    if report.failed:
        click.echo(f"{_told(report)}; nothing was changed")
        sys.exit(1)
    click.echo(f"{report.results} results accepted: no file is older than what it was made from")


def _usual_folders() -> list[Path]:
    """Where results lie, as far as there are any."""
    return [folder for folder in (Path("results"), Path("paper_figures")) if folder.is_dir()]


def _told(report: Report) -> str:
    """Lines about all findings, and one that counts them."""
    from dynamical_loss.results.verify import Kind

    lines = [f"{item.kind:<10}  {remedies.in_words(item.problem)}" for item in report.findings]
    found = Counter(item.kind for item in report.findings)
    counts = ", ".join(f"{found[kind]} {kind}" for kind in get_args(Kind))
    published = f" ({report.published} published copies: content alone)" if report.published else ""
    return "\n".join([*lines, f"{report.results} results{published}: {counts}"])


@commands.command()
@click.argument("config", type=_PATH, default=Path("config.yaml"))
@click.option(
    "--schema",
    type=_PATH,
    default=Path("workflow/schemas/config.schema.json"),
    show_default=True,
    help="JSON schema to write.",
)
def document_config(config: Path, schema: Path) -> None:
    """Check CONFIG, write its comments anew from the typed model, and write the JSON schema."""
    from dynamical_loss.config import document, meaning
    from dynamical_loss.config.study import Config
    from dynamical_loss.figures.registry import FIGURES
    from dynamical_loss.results.files import atomic_path

    text = document.commented(document.read(config, FIGURES))
    # Without the keys of figures, which no job takes as settings.
    table = (meaning.FIRST_DEFAULTS, meaning.completed(Config))
    for path, content in ((config, text), (schema, document.schema(FIGURES)), table):
        with atomic_path(path) as temporary:
            temporary.write_text(content, encoding="utf-8")


def _use(device: str | None) -> None:
    """Compute on a device of that kind, whatever JAX_PLATFORMS says; before JAX is imported.

    Raises:
        UserError: if there is none, or JAX_PLATFORMS names one that is not there.
    """
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
        return
    if device == "gpu":
        os.environ.pop("JAX_PLATFORMS", None)
    import jax

    try:
        found = jax.default_backend()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        platforms = os.environ.get("JAX_PLATFORMS")
        if platforms is None:
            raise UserError(f"JAX finds no device to compute on ({reason}); take --device cpu") from None
        raise UserError(
            f"JAX_PLATFORMS is {platforms}, and JAX cannot compute there ({reason}); unset it, or take "
            "--device cpu"
        ) from None
    if device is not None and found != device:
        raise UserError(
            "--device gpu: JAX finds no GPU here; install its packages (make figures ACCELERATOR=cuda), or "
            "set `devices` to cpu"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a user's mistake ends with one line and exit status 2."""
    # JAX computes in one long call that Python cannot interrupt; files are only ever whole anyway.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        environment.prepare()
        commands.main(args=arguments, prog_name="python -m dynamical_loss", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "python -m dynamical_loss"
        _report(f"{error.format_message().rstrip('.')} (see {where} --help)")
    except click.ClickException as error:
        _report(str(error))
    except UserError as error:
        _report(remedies.in_words(error))
    except Interrupted as stop:
        name = signal.Signals(stop.signal).name
        rest = f"goes on from {stop.kept}" if stop.kept else "starts anew, as nothing could be kept"
        _report(f"stopped by {name}; the same command {rest}")
        sys.exit(128 + stop.signal)
    except MemoryError as error:
        _report(_out_of_memory(error))
    except RuntimeError as error:
        # What JAX raises when a device's memory is full; its class has moved between versions.
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _report(_out_of_memory(error))
    except UnicodeEncodeError as error:
        # What the libraries below Python make of a name that the locale cannot write.
        _report(
            f"{error.object!a} cannot be written in {error.encoding}; name files and folders in UTF-8, "
            "and take a locale of UTF-8 (LC_ALL=C.UTF-8)"
        )
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _report(f"{where}{error.strerror or error}; check the path and the disk")
    else:
        return
    sys.exit(2)


def _out_of_memory(error: Exception) -> str:
    reason = str(error).partition("\n")[0] or "no more is to be had"
    return (
        f"out of memory ({reason}); give the job more (snakemake --set-resources RULE:mem_mb=N) "
        "or fewer runs (seeds_per_block) or snapshots"
    )


def _report(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
