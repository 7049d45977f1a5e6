# What all rules share: the checked configuration, paths, and the digest of the code behind a rule.

import functools
import json
from typing import NamedTuple

from dynamical_loss import grid, resources
from dynamical_loss.config import code, protocols, reading
from dynamical_loss.config import study as configuration
from dynamical_loss.config.meaning import meaning
from dynamical_loss.datasets.kinds.cifar10 import DOWNLOADED
from dynamical_loss.figures import registry
from dynamical_loss.notation import pattern
from dynamical_loss.results import checksums, layout, listing

GIVEN = workflow.config_settings
OVERLAYS = [
    os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else str(path)
    for path in GIVEN.configfiles
]


def layers():
    """All settings in the order in which they are laid over each other.

    Files are read anew: Snakemake's own reader takes the last of two equal keys, and joins groups before
    `100:` and `"100":` are known to be one key.
    """
    if not GIVEN.replace_workflow_config:
        yield reading.read(Path("config.yaml"))
    yield from (reading.read(Path(path)) for path in OVERLAYS)
    yield reading.command_line(
        sys.argv[1:], GIVEN.config, in_a_job=not workflow.is_main_process
    )


try:
    # config.yaml has passed on its own, so what is wrong now came from the command line.
    SOURCES = [*OVERLAYS, *(["--config"] if GIVEN.config else [])]
    CONFIG = configuration.load(
        reading.merged(layers()), " + ".join(SOURCES) or "config.yaml", FIGURES
    ).for_data()
    resources.require_within_limits(CONFIG)
except UserError as error:
    stop(error)

PUBLISHED = "paper_figures/data"
RESULTS = PUBLISHED if CONFIG.published else f"results/{CONFIG.scale}"
LOGS = f"logs/{CONFIG.scale}"
ENVIRONMENT = "../../envs/environment.yaml"


# Digests of the code behind rules are triggers: editing it reruns the rules that it computes for and no others.


def stage(name):
    """Digest of the code behind a rule whose code does not depend on its settings."""
    return code.stage(name).digest


def training_code(name, training):
    """Digest of the code behind a training job; that of other networks and engines does not count."""
    shape = CONFIG.datasets[training.dataset].shape
    return code.training(name, training, shape, CONFIG.devices.training).digest


# Variables of the environment that may decide numbers and are not ours to set; usually none.  They are a
# trigger, and part of a cached result's name, as the settings are.
SURROUNDINGS = environment.recorded()


def as_json(settings):
    """Settings as one line of plain JSON: what the command takes and what triggers a rerun.

    Keys with their defaults are left out, so that a new one makes nothing anew.
    """
    return json.dumps(meaning(settings))


def result(path):
    """A path of `layout`, below the folder of results."""
    return f"{RESULTS}/{path}"


def results(roles):
    """The same for lists of paths by role."""
    return {role: list(map(result, paths)) for role, paths in roles.items()}


def below_results(paths):
    """Paths relative to the folder of results."""
    return sorted({os.path.relpath(path, RESULTS) for path in paths})


def looking(look):
    """A look at a dataset's source that ends in one line where the system does not allow it."""

    @functools.wraps(look)
    def careful(wildcards):
        try:
            return look(wildcards)
        except OSError as error:
            stop(
                f"datasets.{wildcards.dataset}.source: {error.filename} cannot be read ({error.strerror}); "
                "mend or remove it"
            )

    return careful


@looking
def dataset_source(wildcards):
    """The file that a dataset is made from, so that another file makes it anew; else see `source_content`."""
    settings = CONFIG.datasets[wildcards.dataset]
    location = settings.location
    if location is None or location.is_dir():
        return []
    if settings.source is None:
        # One content is accepted alone: downloaded again, it makes nothing anew.
        return ancient(str(location))
    if not location.exists():
        stop(
            f"datasets.{wildcards.dataset}.source: there is no {settings.source}; name a file or folder "
            "that exists (docs/data.md)"
        )
    return [] if hidden(location) else str(location)


def hidden(location):
    """Whether Snakemake would take a path for a pattern; it knows no way to write a brace."""
    return bool(set(str(location)) & set("{}"))


@looking
def source_content(wildcards):
    """What a dataset's source holds where it cannot be an input: Snakemake takes no folders, and no braces.

    Of a folder, names and sizes of all files; of a few files, as those of Fashion-MNIST, also what is in them.
    """
    location = CONFIG.datasets[wildcards.dataset].location
    if location is None or not (location.is_dir() or hidden(location)):
        return ""
    return (
        listing.of_folder(location)
        if location.is_dir()
        else checksums.of_file(location)
    )


THRESHOLD_RUNS = {
    grid.threshold_run(name, width, rate, seed): (name, width, rate, seed)
    for name, study in CONFIG.threshold.items()
    for width, settings in study.widths.items()
    for rate in settings.learning_rates
    for seed in range(settings.seeds)
}
TRAJECTORY_RUNS = {
    grid.trajectory_run(name, seed): (name, seed)
    for name, settings in CONFIG.trajectories.items()
    for seed in range(settings.seeds)
}


class Read(NamedTuple):
    """Runs, and how instabilities along them are found: a key of `readings`, or None for the usual way."""

    runs: list[str]
    reading: str | None

    @property
    def settings(self):
        return (
            CONFIG.instabilities
            if self.reading is None
            else CONFIG.readings[self.reading]
        )

    @property
    def analyses(self):
        return [result(layout.instabilities(run, self.reading)) for run in self.runs]


WAYS_TO_READ = [None, *CONFIG.readings]
# By path below the folder of results, as a name does not tell a reading from a run.
ANALYSES = {
    layout.instabilities(run, way): Read([run], way)
    for run in (*THRESHOLD_RUNS, *TRAJECTORY_RUNS)
    for way in WAYS_TO_READ
}
FITS = {
    layout.threshold(name, way): Read(
        [run for run, (study, *_) in THRESHOLD_RUNS.items() if study == name], way
    )
    for name in CONFIG.threshold
    for way in WAYS_TO_READ
}
# Studies of one set of data, and of several draws of it, by name.
ONE_DRAW = [name for name, study in CONFIG.phase.items() if not study.noise_seeds]
SEVERAL_DRAWS = [name for name, study in CONFIG.phase.items() if study.noise_seeds]


class TrainingParameters(NamedTuple):
    settings: str
    code: str


# Worked out once, and not for each of ten thousand jobs.
PHASE_TRAINING = {
    name: TrainingParameters(
        as_json(study.training), training_code("train_phase_block", study.training)
    )
    for name, study in CONFIG.phase.items()
}


def run_settings(run):
    """Training settings, probe settings and seed of a trajectory, whichever study it belongs to."""
    if run in THRESHOLD_RUNS:
        name, width, rate, seed = THRESHOLD_RUNS[run]
        study = CONFIG.threshold[name]
        return study.run(width, rate), study.probes, seed
    name, seed = TRAJECTORY_RUNS[run]
    settings = CONFIG.trajectories[name]
    return settings.training, settings.probes, seed


def seeds_of(study, place):
    """Files of all runs of a trajectory study; `place` is a function of `layout`."""
    return [
        result(place(grid.trajectory_run(study, seed)))
        for seed in range(CONFIG.trajectories[study].seeds)
    ]


def followed(wildcards):
    """Settings of the runs that a flow study follows."""
    return CONFIG.trajectories[CONFIG.flows[wildcards.flow].trajectory]


def each_as(option, paths):
    """Command-line options that give files one by one."""
    return [word for path in paths for word in (option, path)]


def block_options(wildcards):
    """Command-line options that say which block a file name stands for."""
    block = grid.Block.from_name(wildcards.block)
    return [
        *([] if block.period is None else ["--period", block.period]),
        *(word for value in block.amplitudes for word in ("--amplitude", value)),
        *("--first-seed", block.first_seed, "--last-seed", block.last_seed),
    ]


def lazy_block_options(wildcards):
    """Command-line options that say which block of gradient flows a file name stands for."""
    block = grid.LazyBlock.from_name(wildcards.block)
    return [
        *("--width", block.width, "--data-seed", block.data_seed),
        *(word for value in block.scales for word in ("--scale", value)),
        *("--first-seed", block.first_seed, "--last-seed", block.last_seed),
    ]


def input_options(inputs, prefix=""):
    """Command-line options that give files by role."""
    return [
        word
        for role, paths in inputs.items()
        for path in paths
        for word in ("--input", f"{prefix}{role}={path}")
    ]


# Tables of claims, each about a part of the study or about all of it.
CLAIM_TABLES = {
    "claims": None,
    "spiral_claims": "spiral",
    "image_claims": "images",
    "flow_claims": "flow",
    "lazy_claims": "lazy",
}


def claim_table(name):
    """The table and its sidecar; published results have theirs."""
    if CONFIG.published:
        return []
    return [f"{RESULTS}/{name}.{suffix}" for suffix in ("csv", "json")]


PROTOCOL_INPUTS = {
    name: results(roles) for name, roles in protocols.evidence(CONFIG).items()
}
PROTOCOL_TABLE = [f"{RESULTS}/protocols.{suffix}" for suffix in ("csv", "json")]


def protocol_table():
    """The table and its sidecar, if there are protocols; published results have theirs."""
    return PROTOCOL_TABLE if CONFIG.protocols and not CONFIG.published else []


FIGURE_INPUTS = {
    name: results(roles) for name, roles in registry.all_shown(CONFIG).items()
}
SHOWN_FILES = sorted(
    {
        path
        for roles in FIGURE_INPUTS.values()
        for paths in roles.values()
        for path in paths
    }
)
ABSENT = [path for path in SHOWN_FILES if not os.path.isfile(path)]
if CONFIG.published and ABSENT:
    stop(
        f"published: there is no {ABSENT[0]}; what is published are the studies that config.yaml came "
        "with; for others set published to false"
    )


def figure_files(part=None):
    """All files of the figures of a part of the study, or of all figures."""
    return [
        f"{CONFIG.figures.folder}/{name}.{suffix}"
        for name in registry.shown(CONFIG, part)
        for suffix in ("pdf", "png", "json")
    ]


def figure_arguments(wildcards):
    """Inputs and options of a figure, as the command takes them."""
    options = FIGURES[wildcards.figure].option_values(CONFIG)
    return [
        *input_options(FIGURE_INPUTS[wildcards.figure]),
        *(
            word
            for key, value in options.items()
            for word in ("--option", f"{key}={json.dumps(value)}")
        ),
    ]


# What a job may take.  Snakemake does not rerun a job because this changes.


def dataset_demand(wildcards):
    return resources.dataset(CONFIG.datasets[wildcards.dataset])


def block_demand(wildcards):
    study = CONFIG.phase[wildcards.study]
    block = grid.Block.from_name(wildcards.block)
    return resources.phase_block(study, CONFIG.datasets[study.dataset], block)


def lazy_demand(wildcards):
    study = CONFIG.lazy[wildcards.lazy]
    block = grid.LazyBlock.from_name(wildcards.block)
    return resources.lazy_block(study, CONFIG.datasets[study.dataset], block)


def training_demand(wildcards):
    training, _, _ = run_settings(wildcards.run)
    return resources.trajectory(training, CONFIG.datasets[training.dataset])


def probe_demand(wildcards):
    training, probes, _ = run_settings(wildcards.run)
    return resources.probe(probes, training, CONFIG.datasets[training.dataset])


wildcard_constraints:
    dataset=pattern(CONFIG.datasets),
    study=pattern(CONFIG.phase),
    run=pattern([*THRESHOLD_RUNS, *TRAJECTORY_RUNS]),
    block=grid.NAME.pattern,
