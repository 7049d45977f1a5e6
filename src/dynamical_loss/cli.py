"""The command line: each rule of the workflow has a command of the same name.

A command reads its files, runs one stage and writes one result.  ``--settings`` takes the stage's part of
the configuration, as JSON or as the path of a YAML file.  Every key defaults to the paper's value, and
``--help`` lists all keys.
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
from dynamical_loss.settings import LARGEST_SEED, Settings, located, members, validate

if TYPE_CHECKING:
    from dynamical_loss.results.verify import Report

Command = Callable[..., None]
Decorator = Callable[[Command], Command]


class _UserPath(click.Path):
    """A path in which ``~`` means the home folder, even where the shell does not expand it (after ``=``)."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Return the path with ``~`` expanded."""
        return Path(os.fsdecode(super().convert(os.path.expanduser(value), param, ctx)))


_PATH = _UserPath()


class SettingsType(click.ParamType[Settings]):
    """Settings, given as JSON or as the path of a YAML or JSON file."""

    name = "json|file"

    def __init__(self, model: Any) -> None:
        self.model = model

    def convert(self, value: Any, param: Any, ctx: Any) -> Settings:
        """Parse and check the settings.

        Raises:
            UserError: one line that names the key and the remedy.
        """
        if isinstance(value, Settings):
            return value
        if value.lstrip().startswith("{"):
            source, values = "--settings", reading.parse(value, "--settings")
        else:
            if not located(value).is_file():
                raise UserError(f"--settings: '{value}' is neither JSON nor a file; give one of the two")
            source, values = value, reading.read(located(value))
        settings: Settings = validate(self.model, values, source)
        return settings


def settings_help(model: Any, indent: str = "") -> list[str]:
    """Return lines that list each key of a settings class with its default and description, kind by kind."""
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
    """Add the option ``--settings`` to a command, and the list of all keys to the end of its help."""

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
            help="Settings as JSON, or as a YAML or JSON file; all keys are listed below.",
        )(function)

    return decorate


def _file(name: str, text: str) -> Decorator:
    return click.option(f"--{name}", required=True, type=_PATH, help=text)


_OUTPUT = _file("output", "NetCDF file to write; it appears only once it is complete.")
_DATASET = _file("dataset", "NetCDF file made by prepare-dataset.")
_INPUTS = click.option(
    "--input", "inputs", multiple=True, metavar="ROLE=FILE", help="NetCDF file and its role; repeatable."
)
_PICTURES = click.option(
    "--figure", "figures", multiple=True, type=_PATH, help="PNG of a figure; repeatable."
)
_MISSING = click.option(
    "--missing",
    default="{}",
    show_default=True,
    metavar="JSON",
    help="Commands that make what is missing, by name.",
)
_TRAJECTORIES = click.option(
    "--trajectory",
    "trajectories",
    multiple=True,
    required=True,
    type=_PATH,
    help="NetCDF file made by train-trajectory; repeat the option for each seed.",
)
_CHECKPOINT = click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(min=0, max=86_400 * 365),
    default=60.0,
    show_default=True,
    envvar="DYNAMICAL_LOSS_CHECKPOINT_SECONDS",
    show_envvar=True,
    help="Shortest time between two checkpoints, from which the same command resumes if interrupted.",
)


_FIRST_SEED, _LAST_SEED = (
    click.option(
        f"--{which}-seed",
        type=click.IntRange(min=0, max=LARGEST_SEED),
        default=0,
        show_default=True,
        help=f"{which.title()} seed of the runs.",
    )
    for which in ("first", "last")
)


_DEVICE = click.option(
    "--device",
    type=click.Choice(["cpu", "gpu"]),
    default=None,
    help="Kind of device to compute on; leave out for JAX's default.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--code",
    default=None,
    help="Digest of the code for which the work was planned; leave out to accept the present code.",
)
@click.pass_context
def commands(context: click.Context, code: str | None) -> None:
    """Dynamical loss functions: datasets, training, curvature probes, analysis, figures, claims.

    Times are in minimisation steps, accuracies are fractions of 1, and cross-entropy losses are in nats.
    Each command computes in one thread, so that results do not depend on the number of cores.
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
    help="File to write; it appears only once it is complete.",
)
@click.option(
    "--url",
    default=None,
    envvar="DYNAMICAL_LOSS_CIFAR10_URL",
    show_envvar=True,
    help="Address of a copy of the same file on another server; leave out for the authors' server.",
)
def download_dataset(output: Path, url: str | None) -> None:
    """Download CIFAR-10 (170 MB); after an interruption the same command resumes the download."""
    from dynamical_loss.stages import download_dataset as stage

    stage.run(output, url)


@commands.command()
@_DATASET
@click.option("--period", type=click.IntRange(min=1), help="T, period in steps; leave out for A = 1.")
@click.option(
    "--amplitude",
    "amplitudes",
    type=click.FloatRange(min=1),
    multiple=True,
    default=[1.0],
    show_default=True,
    help="A, amplitude of the class weights; 1 is the static loss; repeatable.",
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
    """Train the cells of one period, each with several seeds (Fig. 3)."""
    from dynamical_loss.grid import Block

    _use(device)
    from dynamical_loss.stages import train_phase_block as stage

    if not all(map(math.isfinite, amplitudes)):
        raise UserError("--amplitude: must be a finite number; give numbers of at least 1")
    if max(amplitudes) > 1 and period is None:
        raise UserError("--period is missing; add it, because an amplitude above 1 needs a period")
    if len(amplitudes) > 1 and (1 in amplitudes or len(set(amplitudes)) < len(amplitudes)):
        raise UserError("--amplitude: 1 must be the only one, and others must differ; split the command")
    _require_seeds(first_seed, last_seed)
    block = Block(None if amplitudes == (1.0,) else period, amplitudes, first_seed, last_seed)
    stage.run(settings, block, dataset, output, checkpoint_seconds)


@commands.command()
@click.argument("blocks", nargs=-1, required=True, type=_PATH)
@_OUTPUT
@_settings(PhaseSettings)
def aggregate_phase(settings: PhaseSettings, blocks: tuple[Path, ...], output: Path) -> None:
    """Combine BLOCKS into one file over (period, amplitude, seed) (Fig. 3)."""
    from dynamical_loss.stages import aggregate_phase as stage

    stage.run(settings, blocks, output)


@commands.command()
@click.argument("diagrams", nargs=-1, required=True, type=_PATH)
@_OUTPUT
@_settings(PhaseSettings)
def gather_draws(settings: PhaseSettings, diagrams: tuple[Path, ...], output: Path) -> None:
    """Combine DIAGRAMS, one for each draw of the data or for several, and split the variance (Fig. 3)."""
    from dynamical_loss.stages import gather_draws as stage

    stage.run(settings, diagrams, output)


@commands.command()
@_DATASET
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=LARGEST_SEED),
    default=0,
    show_default=True,
    help="Seed of the initial weights and of all random choices.",
)
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
    """Train one run, with records along the way and snapshots of its parameters (Fig. 4, 5)."""
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
    """Find the instabilities along a trajectory, and the threshold that follows from them (Fig. 4)."""
    from dynamical_loss.stages import find_instabilities as stage

    stage.run(settings, trajectory, spectrum, output)


@commands.command()
@_TRAJECTORIES
@click.option(
    "--spectrum",
    "spectra",
    multiple=True,
    required=True,
    type=_PATH,
    help="NetCDF file made by probe-spectrum from each trajectory, in the same order; repeatable.",
)
@_OUTPUT
def gather_runs(trajectories: tuple[Path, ...], spectra: tuple[Path, ...], output: Path) -> None:
    """Combine losses, accuracies and λ_max of all runs of a trajectory study into one file (Fig. S8)."""
    from dynamical_loss.stages import gather_runs as stage

    stage.run(trajectories, spectra, output)


@commands.command()
@click.argument("analyses", nargs=-1, required=True, type=_PATH)
@_OUTPUT
@_settings(BootstrapSettings)
def fit_threshold(settings: BootstrapSettings, analyses: tuple[Path, ...], output: Path) -> None:
    """Fit a power law of the threshold in the learning rate to ANALYSES (Fig. 5a)."""
    from dynamical_loss.stages import fit_threshold as stage

    stage.run(settings, analyses, output)


@commands.command()
@_DEVICE
@_OUTPUT
@_settings(FlowSettings)
def trace_known_losses(settings: FlowSettings, device: str | None, output: Path) -> None:
    """Compare gradient descent with flows on losses known in closed form (Fig. F1)."""
    _use(device)
    from dynamical_loss.stages import trace_known_losses as stage

    stage.run(settings, output)


@commands.command()
@_TRAJECTORIES
@_DATASET
@_DEVICE
@_OUTPUT
@_settings(FlowStudy)
def trace_flow(
    settings: FlowStudy,
    trajectories: tuple[Path, ...],
    dataset: Path,
    device: str | None,
    output: Path,
) -> None:
    """Compare gradient descent with flows that start from snapshots of trajectories (Fig. F4)."""
    _use(device)
    from dynamical_loss.stages import trace_flow as stage

    stage.run(settings, trajectories, dataset, output)


@commands.command()
@_DATASET
@click.option(
    "--width", type=click.IntRange(min=1), required=True, help="h, number of hidden units in each layer."
)
@click.option(
    "--scale",
    "scales",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    required=True,
    help="√h·α, scale of the prediction F = α(f − f₀); repeatable.",
)
@click.option(
    "--data-seed",
    type=click.IntRange(min=0, max=LARGEST_SEED),
    default=0,
    show_default=True,
    help="Seed of the data's split.",
)
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
    """Train networks of one width by gradient flow, at several scales (arXiv 1906.08034; Fig. L1)."""
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
    """Combine BLOCKS into one file over (width, scale, data_seed, seed) (Fig. L1 to L5)."""
    from dynamical_loss.stages import aggregate_lazy as stage

    stage.run(settings, blocks, output)


def _require_seeds(first: int, last: int) -> None:
    """Refuse an empty range of seeds.

    Raises:
        UserError: if the last seed is smaller than the first.
    """
    if last < first:
        raise UserError(f"--last-seed {last} is smaller than --first-seed {first}; give them in order")


def _pairs(values: Sequence[str], option: str) -> list[tuple[str, str]]:
    """Split options of the form ``key=value``.

    Raises:
        UserError: if a value has no equals sign.
    """
    for value in values:
        if "=" not in value:
            raise UserError(f"{option} '{value}': write it as NAME=VALUE")
    return [(value.split("=", 1)[0], value.split("=", 1)[1]) for value in values]


@commands.command()
@click.argument("name")
@_INPUTS
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=JSON",
    help="Option of the figure, e.g. zoom=[8000,10500]; repeatable.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    required=True,
    type=_PATH,
    help="File to write, .pdf or .png; repeatable.",
)
def render_figure(
    name: str, inputs: tuple[str, ...], options: tuple[str, ...], outputs: tuple[Path, ...]
) -> None:
    """Render the figure NAME, e.g. fig4_cascade, from stored results."""
    from dynamical_loss.stages import render_figure as stage

    values = {key: reading.parse(text, f"--option {key}") for key, text in _pairs(options, "--option")}
    stage.run(name, _by_role(inputs), values, outputs)


@commands.command()
@click.argument("name")
@_INPUTS
@click.option(
    "--options",
    default="{}",
    show_default=True,
    metavar="JSON",
    help="Options of the page, as a JSON object.",
)
@_file("output", "HTML file to write; it appears only once it is complete.")
def render_page(name: str, inputs: tuple[str, ...], options: str, output: Path) -> None:
    """Make the page NAME of the explorer, e.g. run/cascade_seed0, from stored results."""
    from dynamical_loss.stages import render_page as stage

    stage.run(name, _by_role(inputs), _object(options, "--options"), output)


@commands.command()
@click.option("--page", "pages", multiple=True, type=_PATH, help="Page made by render-page; repeatable.")
@click.option("--scale", default="results", show_default=True, help="What the pages show, in words.")
@_MISSING
@_file("output", "HTML file to write; it appears only once it is complete.")
def list_pages(pages: tuple[Path, ...], scale: str, missing: str, output: Path) -> None:
    """List all pages of the explorer on one page, and say how to make those that are missing."""
    from dynamical_loss.stages import render_page as stage

    stage.run_index(scale, pages, _object(missing, "--missing"), output)


@commands.command()
@click.option("--scale", default="results", show_default=True, help="What the report shows, in words.")
@click.option("--results", required=True, type=_PATH, help="Folder of results.")
@_PICTURES
@click.option("--claims", multiple=True, type=_PATH, help="Table of claims; repeatable.")
@click.option("--summary", multiple=True, type=_PATH, help="PDF of the summary; repeatable.")
@click.option("--page", "pages", multiple=True, type=_PATH, help="Page of the explorer; repeatable.")
@click.option("--settings", required=True, metavar="JSON", help="All settings of the configuration.")
@_MISSING
@_file("output", "Folder to write; it appears only once it is complete.")
def build_report(
    scale: str,
    results: Path,
    figures: tuple[Path, ...],
    claims: tuple[Path, ...],
    summary: tuple[Path, ...],
    pages: tuple[Path, ...],
    settings: str,
    missing: str,
    output: Path,
) -> None:
    """Build the report: pages with figures, claims, run times, configuration and reproducibility card."""
    from dynamical_loss.config import study
    from dynamical_loss.figures.registry import FIGURES
    from dynamical_loss.stages import build_report as stage

    values = reading.merged([_object(settings, "--settings")])
    config = study.load(values, "--settings", FIGURES).for_data()
    sources = stage.Sources(
        scale=scale,
        figures=figures,
        results=results,
        claims=claims,
        summary=summary,
        pages=pages,
        configuration=config.model_dump(mode="json"),
        locks=[Path("envs/cpu.txt"), Path("envs/cuda.txt")],
        citation=Path("CITATION.cff"),
        workflow=Path("Snakefile"),
        missing=_object(missing, "--missing"),
    )
    stage.run(sources, output)


@commands.command()
@click.option("--claims", required=True, type=_PATH, help="Table of claims, with its sidecar.")
@_PICTURES
@_file("output", "PDF to write; it appears only once it is complete.")
def write_summary(claims: Path, figures: tuple[Path, ...], output: Path) -> None:
    """Write a short paper about the results, whose numbers come from the table of claims."""
    from dynamical_loss.stages import write_summary as stage

    stage.run(claims, figures, output)


def _by_role(inputs: Sequence[str]) -> dict[str, list[Path]]:
    """Return the files of each role from the values of ``--input``."""
    files: dict[str, list[Path]] = {}
    for role, path in _pairs(inputs, "--input"):
        files.setdefault(role, []).append(located(path))
    return files


def _object(text: str, option: str) -> dict[str, Any]:
    """Return the JSON object that an option holds."""
    value = reading.parse(text, option)
    if not isinstance(value, dict):
        raise UserError(f"{option}: give a JSON object, such as {{}}")
    return value


@commands.command()
@_INPUTS
@click.option("--given-only", is_flag=True, show_default=True, help="Skip claims whose files are not given.")
@_file("output", "CSV file to write; it appears only once it is complete.")
@_settings(BootstrapSettings)
def evaluate_claims(
    settings: BootstrapSettings, inputs: tuple[str, ...], given_only: bool, output: Path
) -> None:
    """Test the paper's claims on the results, and write one row for each claim."""
    from dynamical_loss.stages import evaluate_claims as stage

    stage.run(settings, _by_role(inputs), output, given_only)


@commands.command()
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="PROTOCOL:ROLE=FILE",
    help="NetCDF file with its protocol and role; repeatable.",
)
@_file("table", "CSV file to write; it appears only once it is complete.")
@_OUTPUT
@_settings(BootstrapSettings)
def evaluate_protocols(
    settings: BootstrapSettings, inputs: tuple[str, ...], table: Path, output: Path
) -> None:
    """Test the claims of Fig. 3 to 5 under every protocol, and write one row for each pair."""
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
    """Write the reduced copy of a result that is stored in the repository."""
    from dynamical_loss.stages import publish_result as stage

    stage.run(result, output)


@commands.command()
@click.argument("folders", nargs=-1, type=_PATH)
def verify(folders: tuple[Path, ...]) -> None:
    """Compare all results below FOLDERS with their checksums, their inputs and the present code.

    FOLDERS default to results and paper_figures.  The command lists each result that is damaged, unreadable,
    foreign, stale or unfinished, with its remedy.  The exit status is 1 if a result is damaged, unreadable,
    foreign or stale.
    """
    from dynamical_loss.results import verify as results

    report = results.examine(folders or _usual_folders())
    click.echo(_told(report))
    sys.exit(int(report.failed))


@commands.command()
@click.argument("folders", nargs=-1, type=_PATH)
def accept(folders: tuple[Path, ...]) -> None:
    """Reset the modification times of all valid results below FOLDERS, so that Snakemake accepts them.

    Use this for a copy that has lost its modification times.  FOLDERS default to results and paper_figures.
    If any result is damaged, unreadable, foreign or stale, the command lists these results as verify does,
    changes nothing, and exits with status 1.
    """
    from dynamical_loss.results import accept as results

    report = results.accept(folders or _usual_folders())
    if report.failed:
        click.echo(f"{_told(report)}; nothing was changed")
        sys.exit(1)
    click.echo(f"{report.results} results accepted: no file is older than its inputs")


def _usual_folders() -> list[Path]:
    """Return the folders that hold results by default, if they exist."""
    return [folder for folder in (Path("results"), Path("paper_figures")) if folder.is_dir()]


def _told(report: Report) -> str:
    """Return one line for each finding of a report, and a last line with their numbers."""
    from dynamical_loss.results.verify import Kind

    lines = [f"{item.kind:<10}  {remedies.in_words(item.problem)}" for item in report.findings]
    found = Counter(item.kind for item in report.findings)
    counts = ", ".join(f"{found[kind]} {kind}" for kind in get_args(Kind))
    published = f" ({report.published} published copies: content only)" if report.published else ""
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
    """Check CONFIG, regenerate its comments from the typed model, and write the JSON schema."""
    from dynamical_loss.config import document, meaning
    from dynamical_loss.config.study import Config
    from dynamical_loss.figures.registry import FIGURES
    from dynamical_loss.results.files import atomic_path

    text = document.commented(document.read(config, FIGURES))
    # The keys of figures are left out, because no job takes them as settings.
    table = (meaning.FIRST_DEFAULTS, meaning.completed(Config))
    for path, content in ((config, text), (schema, document.schema(FIGURES)), table):
        with atomic_path(path) as temporary:
            temporary.write_text(content, encoding="utf-8")


def _use(device: str | None) -> None:
    """Choose the kind of device to compute on, whatever the value of JAX_PLATFORMS.

    This must be called before JAX is imported.

    Args:
        device: ``cpu`` or ``gpu``; None uses JAX's default.

    Raises:
        UserError: if there is no such device, or JAX_PLATFORMS names a device that does not exist.
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
            raise UserError(f"JAX finds no device to compute on ({reason}); use --device cpu") from None
        raise UserError(
            f"JAX_PLATFORMS is {platforms}, and JAX cannot compute there ({reason}); unset it, or use "
            "--device cpu"
        ) from None
    if device is not None and found != device:
        raise UserError(
            "--device gpu: JAX finds no GPU; install the packages for GPUs "
            "(rm -rf .venv && make .venv/.runtime ACCELERATOR=cuda), or set `devices` to cpu"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a user's mistake ends the program with one line and exit status 2."""
    # The default handler stops the process at once: JAX computes in long calls that Python cannot interrupt.
    # This is safe, because a file appears only once it is complete.
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
        rest = (
            f"resumes from {stop.kept}"
            if stop.kept
            else "starts again, because no checkpoint could be written"
        )
        _report(f"stopped by {name}; the same command {rest}")
        sys.exit(128 + stop.signal)
    except MemoryError as error:
        _report(_out_of_memory(error))
    except RuntimeError as error:
        # JAX raises this when a device's memory is full.  The class of the error differs between versions.
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _report(_out_of_memory(error))
    except UnicodeEncodeError as error:
        # Libraries raise this for the name of a file that the locale cannot encode.
        _report(
            f"{error.object!a} cannot be written in {error.encoding}; name files and folders in UTF-8, "
            "and use a locale with UTF-8 (LC_ALL=C.UTF-8)"
        )
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _report(f"{where}{error.strerror or error}; check the path and the disk")
    else:
        return
    sys.exit(2)


def _out_of_memory(error: Exception) -> str:
    reason = str(error).partition("\n")[0] or "no details"
    return (
        f"out of memory ({reason}); give the job more memory (snakemake --set-resources RULE:mem_mb=N), "
        "or fewer runs (seeds_per_block) or snapshots"
    )


def _report(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
