# Which files the figures show and the claims are computed from, by role.  A figure is a module of
# src/dynamical_loss/figures, named alike.


def runs_of(name):
    return [run for run, (study, _) in TRAJECTORY_RUNS.items() if study == name]


def first_run(name):
    return grid.trajectory_run(name, 0)


def along(run):
    """The files about one run."""
    return {
        "trajectory": [trajectory_file(run)],
        "spectrum": [spectrum_file(run)],
        "instabilities": [instabilities_file(run)],
    }


SHOWN = CONFIG.figures
SPIRAL_FIGURES = {
    "fig2_spiral_dataset": {"dataset": [dataset_file(SHOWN.dataset)]},
    "fig3_phase_spiral": {
        "narrow": [phase_file(SHOWN.phase_narrow)],
        "wide": [phase_file(SHOWN.phase_wide)],
    },
    "fig4_cascade": along(first_run(SHOWN.trajectory)),
    "fig5_threshold_scaling": {
        "threshold": [THRESHOLD],
        "static_narrow": [spectrum_file(run) for run in runs_of(SHOWN.static_narrow)],
        "static_wide": [spectrum_file(run) for run in runs_of(SHOWN.static_wide)],
    },
    "figS0_initialisation": {
        "study": [phase_file(name) for name in SHOWN.initialisations]
    },
    "figS1_hessian_modes": along(first_run(SHOWN.trajectory)),
}
IMAGE_STUDIES = {
    "phase_images": [SHOWN.phase_images] if SHOWN.phase_images else [],
    "learning_curves": [SHOWN.learning_curves] if SHOWN.learning_curves else [],
    "wide_resnet": [*SHOWN.wide_resnet],
}
IMAGE_FIGURES = {
    figure: {"phase": [phase_file(name) for name in IMAGE_STUDIES[role]]}
    for figure, role in (
        ("fig1_phase_cifar10", "phase_images"),
        ("figS3_wide_resnet", "wide_resnet"),
        ("figS4_learning_curves", "learning_curves"),
    )
    if IMAGE_STUDIES[role]
}
if SHOWN.trajectory_images:
    IMAGE_FIGURES["figS2_cascade_cifar10"] = {
        role: [path(first_run(SHOWN.trajectory_images))]
        for role, path in (("trajectory", trajectory_file), ("spectrum", spectrum_file))
    }
FIGURE_INPUTS = SPIRAL_FIGURES | IMAGE_FIGURES
SHOWN_FILES = sorted(
    {
        path
        for inputs in FIGURE_INPUTS.values()
        for paths in inputs.values()
        for path in paths
    }
)
ABSENT = [path for path in SHOWN_FILES if not os.path.isfile(path)]
if CONFIG.published and ABSENT:
    stop(
        f"published: there is no {ABSENT[0]}; what is published are the studies that config.yaml came "
        "with; for others set published to false"
    )
FIGURE_OPTIONS = {
    "fig4_cascade": {"zoom": list(SHOWN.trajectory_zoom)},
    "figS4_learning_curves": {"cell": list(SHOWN.learning_curves_cell)},
}


def figure_files(names):
    return [
        f"{FIGURES}/{name}.{suffix}"
        for name in names
        for suffix in ("pdf", "png", "json")
    ]


def figure_arguments(wildcards):
    """Inputs and options of a figure, as the command takes them."""
    options = FIGURE_OPTIONS.get(wildcards.figure, {})
    return [
        *input_options(FIGURE_INPUTS[wildcards.figure]),
        *(
            word
            for key, value in options.items()
            for word in ("--option", f"{key}={json.dumps(value)}")
        ),
    ]


# Files that tables of claims are computed from, by role; a part's table holds the claims about it alone.
IMAGE_CLAIM_INPUTS = {
    role: [phase_file(name) for name in names]
    for role, names in IMAGE_STUDIES.items()
    if names
}
SPIRAL_CLAIM_INPUTS = {
    "phase_narrow": [phase_file(SHOWN.phase_narrow)],
    "phase_wide": [phase_file(SHOWN.phase_wide)],
    "initialisation": [phase_file(name) for name in SHOWN.initialisations],
    "threshold": [THRESHOLD],
    "spectrum": [spectrum_file(run) for run in runs_of(SHOWN.trajectory)],
    "instabilities": [instabilities_file(run) for run in runs_of(SHOWN.trajectory)],
    "static_narrow": [spectrum_file(run) for run in runs_of(SHOWN.static_narrow)],
    "static_wide": [spectrum_file(run) for run in runs_of(SHOWN.static_wide)],
}
CLAIM_INPUTS = {
    "claims": SPIRAL_CLAIM_INPUTS | IMAGE_CLAIM_INPUTS,
    "image_claims": IMAGE_CLAIM_INPUTS,
    "spiral_claims": SPIRAL_CLAIM_INPUTS,
}


def claim_tables(table):
    """The table and its sidecar; published results have theirs."""
    if CONFIG.published:
        return []
    return [f"{RESULTS}/{table}.{suffix}" for suffix in ("csv", "json")]
