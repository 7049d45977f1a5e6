# Figures are rendered from the files that they declare (src/dynamical_loss/figures).

FIGURE_INPUTS = {name: results(roles) for name, roles in registry.shown(CONFIG).items()}
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


rule render_figure:
    input:
        lambda wildcards: sum(FIGURE_INPUTS[wildcards.figure].values(), []),
    output:
        pdf=f"{CONFIG.figures.folder}/{{figure}}.pdf",
        png=report(
            f"{CONFIG.figures.folder}/{{figure}}.png",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        sidecar=f"{CONFIG.figures.folder}/{{figure}}.json",
    log:
        f"{LOGS}/render_figure/{{figure}}.log",
    wildcard_constraints:
        figure="|".join(FIGURE_INPUTS),
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        arguments=figure_arguments,
        folder=CONFIG.figures.folder,
        code=lambda wildcards: code.figure(wildcards.figure).digest,
    message:
        "Rendering {wildcards.figure}"
    shell:
        "python -m dynamical_loss render-figure {wildcards.figure:q} {params.arguments:q}"
        " --output {output.pdf:q} --output {output.png:q} > {log:q} 2>&1"
