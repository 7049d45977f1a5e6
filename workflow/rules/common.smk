# Definitions that all rules share: the checked configuration, paths, and the digests of the code of rules.

import functools
import json
import shlex
from typing import NamedTuple

from dynamical_loss import grid, resources
from dynamical_loss.config import code, protocols, reading, runs
from dynamical_loss.config import study as configuration
from dynamical_loss.config.meaning import meaning
from dynamical_loss.datasets.kinds.cifar10 import DOWNLOADED
from dynamical_loss.explorer import registry as explorer
from dynamical_loss.figures import registry
from dynamical_loss.notation import pattern
from dynamical_loss.report.captions import title
from dynamical_loss.report.figures import PARTS, label
from dynamical_loss.report.summary import FIGURES as SUMMARY_FIGURES
from dynamical_loss.results import checksums, layout, listing

GIVEN = workflow.config_settings
OVERLAYS = [
    os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else str(path)
    for path in GIVEN.configfiles
]


def layers():
    """Yield all settings in the order in which they are merged; later settings override earlier ones.

    The files are read a second time here.  Snakemake's own reader takes the last of two equal keys, and
    merges groups of settings in which `100:` and `"100":` count as two keys.
    """
    if not GIVEN.replace_workflow_config:
        yield reading.read(Path("config.yaml"))
    yield from (reading.read(Path(path)) for path in OVERLAYS)
    yield reading.command_line(
        sys.argv[1:], GIVEN.config, in_a_job=not workflow.is_main_process
    )


try:
    # config.yaml has passed its check already, so any error comes from the command line.
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


# Digests of the code are triggers: after an edit, only the rules that use the edited code run again.


def stage(name):
    """Return the digest of the code of a stage whose code does not depend on settings."""
    return code.stage(name).digest


def training_code(name, training):
    """Return the digest of the code of a training job, without the code of other networks and engines."""
    shape = CONFIG.datasets[training.dataset].shape
    return code.training(name, training, shape, CONFIG.devices.training).digest


# Environment variables that can change numbers and that the pipeline leaves unchanged; usually there are
# none.  Like the settings, they are a trigger and part of the key of a cached result.
SURROUNDINGS = environment.recorded()


def as_json(settings):
    """Return settings as one line of JSON, which is passed to the command and triggers a re-run.

    Keys with their default values are left out, so that a new setting with a default causes no re-runs.
    """
    return json.dumps(meaning(settings))


def result(path):
    """Return a path of `layout`, below the folder of results."""
    return f"{RESULTS}/{path}"


def results(roles):
    """Return lists of paths by role, with each path below the folder of results."""
    return {role: list(map(result, paths)) for role, paths in roles.items()}


def below_results(paths):
    """Return paths relative to the folder of results, sorted and without duplicates."""
    return sorted({os.path.relpath(path, RESULTS) for path in paths})


def looking(look):
    """Wrap a function that reads a dataset's source, so that a denied access ends in one line."""

    @functools.wraps(look)
    def careful(wildcards):
        try:
            return look(wildcards)
        except OSError as error:
            stop(
                f"datasets.{wildcards.dataset}.source: {error.filename} cannot be read ({error.strerror}); "
                "make it readable, or remove it"
            )

    return careful


@looking
def dataset_source(wildcards):
    """Return the source file of a dataset as an input, so that a new file triggers a re-run.

    For sources that cannot be an input, see `source_content`.
    """
    settings = CONFIG.datasets[wildcards.dataset]
    location = settings.location
    if location is None or location.is_dir():
        return []
    if settings.source is None:
        # Only one content of this file is accepted, so its modification time must not trigger a re-run.
        return ancient(str(location))
    if not location.exists():
        stop(
            f"datasets.{wildcards.dataset}.source: there is no {settings.source}; name a file or folder "
            "that exists (docs/data.md)"
        )
    return [] if hidden(location) else str(location)


def hidden(location):
    """Return whether Snakemake would read a path as a pattern; it has no way to escape a brace."""
    return bool(set(str(location)) & set("{}"))


@looking
def source_content(wildcards):
    """Return a description of a dataset's source that cannot be an input (a folder, or a path with braces).

    For a folder these are the names and sizes of all files, and for a few files, such as those of
    Fashion-MNIST, also their contents.
    """
    location = CONFIG.datasets[wildcards.dataset].location
    if location is None or not (location.is_dir() or hidden(location)):
        return ""
    return (
        listing.of_folder(location)
        if location.is_dir()
        else checksums.of_file(location)
    )


THRESHOLD_RUNS = runs.threshold_runs(CONFIG)
RUNS = THRESHOLD_RUNS | runs.trajectory_runs(CONFIG)


class Read(NamedTuple):
    """Runs, and how instabilities are found in them: by a key of `readings`, or None for `instabilities`."""

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
# The keys are paths below the folder of results, because a name alone could mean a reading or a run.
ANALYSES = {
    layout.instabilities(run, way): Read([run], way)
    for run in RUNS
    for way in WAYS_TO_READ
}
FITS = {
    layout.threshold(name, way): Read(
        [run for run, one in THRESHOLD_RUNS.items() if one.study == name], way
    )
    for name in CONFIG.threshold
    for way in WAYS_TO_READ
}
# Names of the studies with a single draw of the data, and of those with several draws.
ONE_DRAW = [name for name, study in CONFIG.phase.items() if not study.noise_seeds]
SEVERAL_DRAWS = [name for name, study in CONFIG.phase.items() if study.noise_seeds]


class TrainingParameters(NamedTuple):
    settings: str
    code: str


# These are computed once per study, because a study can have ten thousand jobs.
PHASE_TRAINING = {
    name: TrainingParameters(
        as_json(study.training), training_code("train_phase_block", study.training)
    )
    for name, study in CONFIG.phase.items()
}


def seeds_of(study, place):
    """Return the files of all runs of a trajectory study; `place` is a function of `layout`."""
    names = grid.trajectory_runs(study, CONFIG.trajectories[study].seeds)
    return [result(place(name)) for name in names]


def followed(wildcards):
    """Return the settings of the runs that a flow study follows."""
    return CONFIG.trajectories[CONFIG.flows[wildcards.flow].trajectory]


def each_as(option, paths):
    """Return command-line options that pass files one by one."""
    return [word for path in paths for word in (option, path)]


def block_options(wildcards):
    """Return the command-line options for the block that a file name stands for."""
    block = grid.Block.from_name(wildcards.block)
    return [
        *([] if block.period is None else ["--period", block.period]),
        *(word for value in block.amplitudes for word in ("--amplitude", value)),
        *("--first-seed", block.first_seed, "--last-seed", block.last_seed),
    ]


def lazy_block_options(wildcards):
    """Return the command-line options for the block of gradient flows that a file name stands for."""
    block = grid.LazyBlock.from_name(wildcards.block)
    return [
        *("--width", block.width, "--data-seed", block.data_seed),
        *(word for value in block.scales for word in ("--scale", value)),
        *("--first-seed", block.first_seed, "--last-seed", block.last_seed),
    ]


def input_options(inputs, prefix=""):
    """Return command-line options that pass files by role."""
    return [
        word
        for role, paths in inputs.items()
        for path in paths
        for word in ("--input", f"{prefix}{role}={path}")
    ]


# Tables of claims, each about one part of the study, or (None) about the whole study.
CLAIM_TABLES = {
    "claims": None,
    "spiral_claims": "spiral",
    "image_claims": "images",
    "flow_claims": "flow",
    "lazy_claims": "lazy",
}


def claim_table(name):
    """Return the files of a table of claims and its sidecar; none if results are published already."""
    if CONFIG.published:
        return []
    return [f"{RESULTS}/{name}.{suffix}" for suffix in ("csv", "json")]


PROTOCOL_INPUTS = {
    name: results(roles) for name, roles in protocols.evidence(CONFIG).items()
}
PROTOCOL_TABLE = [f"{RESULTS}/protocols.{suffix}" for suffix in ("csv", "json")]


def protocol_table():
    """Return the files of the table of protocols, if there are protocols and results are not published."""
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
        f"published: there is no {ABSENT[0]}; results are published only for the studies in the original "
        "config.yaml; set published to false for other studies"
    )


def figure_files(part=None):
    """Return all files of the figures of a part of the study, or of all figures."""
    return [
        f"{CONFIG.figures.folder}/{name}.{suffix}"
        for name in registry.shown(CONFIG, part)
        for suffix in ("pdf", "png", "json")
    ]


def figure_arguments(wildcards):
    """Return the inputs and options of a figure as command-line options."""
    options = FIGURES[wildcards.figure].option_values(CONFIG)
    return [
        *input_options(FIGURE_INPUTS[wildcards.figure]),
        *(
            word
            for key, value in options.items()
            for word in ("--option", f"{key}={json.dumps(value)}")
        ),
    ]


# Pages of the explorer and of the report: what exists when Snakemake starts, and how to make the rest.

# No scale can have this name, because names hold no dash.
SHOWN_SCALE = "published-results" if CONFIG.published else CONFIG.scale
EXPLORER = f"explorer/{SHOWN_SCALE}"
SHOWN = (
    "the published results"
    if CONFIG.published
    else f"the results of the scale {CONFIG.scale}"
)
PAGES = explorer.pages(CONFIG)


def page_inputs(page):
    """Return the files of a page by role; published results may lack the optional ones."""
    optional = {
        role: paths
        for role, paths in results(page.optional).items()
        if not CONFIG.published or all(map(os.path.isfile, paths))
    }
    return results(page.inputs) | optional


def all_exist(roles):
    """Return whether all files of some roles exist."""
    return all(os.path.isfile(file) for files in roles.values() for file in files)


PAGE_INPUTS = {path: page_inputs(page) for path, page in PAGES.items()}
MADE_PAGES = [path for path, roles in PAGE_INPUTS.items() if all_exist(roles)]
# Commands on the pages compute results, also on the pages of published results.
COMPUTED = f"results/{CONFIG.scale}"


def snakemake_command(targets):
    """Return the command that makes targets with the present configuration, without `published`."""
    given = [
        f"{key}={json.dumps(value)}"
        for key, value in GIVEN.config.items()
        if key != "published"
    ]
    words = [
        "snakemake --cores 2",
        targets,
        *(["--replace-workflow-config"] if GIVEN.replace_workflow_config else []),
        # These options take all words that follow, so the targets come first.
        *(["--configfile", *map(shlex.quote, OVERLAYS)] if OVERLAYS else []),
        *(["--config", *map(shlex.quote, given)] if given else []),
    ]
    return " ".join(words)


def results_present():
    """Return a digest of the names, sizes and times of all files in the folder of results."""
    found = []
    for folder, _, names in os.walk(RESULTS):
        for name in names:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            # A result from a shared cache is a link, and its target may be gone.
            found.append(
                f"{path} {status.st_size} {status.st_mtime_ns} {os.path.exists(path)}"
            )
    return checksums.of_attributes({"files": "\n".join(sorted(found))})


def explorer_files():
    """Return the pages of all results that exist, and the list of all pages."""
    return [f"{EXPLORER}/{path}.html" for path in (*MADE_PAGES, "index")]


def page_options(wildcards):
    """Return the options of a page as JSON, with the addresses of the related pages that are made."""
    page = PAGES[wildcards.page]
    related = {
        option: {
            words: f"../{path}.html"
            for words, path in pages.items()
            if path in MADE_PAGES
        }
        for option, pages in page.related.items()
    }
    present = {}
    if page.kind == "phase":
        study = meaning(CONFIG.phase[page.name])
        present = {
            "snakemake": snakemake_command("{targets}"),
            "folder": COMPUTED,
            "study": study,
        }
    return json.dumps({**related, **page.options, **present})


# Memory and time of jobs.  Snakemake does not re-run a job if these change.


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
    training = RUNS[wildcards.run].training
    return resources.trajectory(training, CONFIG.datasets[training.dataset])


def probe_demand(wildcards):
    run = RUNS[wildcards.run]
    return resources.probe(
        run.probes, run.training, CONFIG.datasets[run.training.dataset]
    )


wildcard_constraints:
    dataset=pattern(CONFIG.datasets),
    study=pattern(CONFIG.phase),
    run=pattern(RUNS),
    block=grid.NAME.pattern,
