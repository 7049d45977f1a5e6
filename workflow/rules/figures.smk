# Figures are rendered from the files that they declare (src/dynamical_loss/figures).


rule render_figure:
    input:
        lambda wildcards: sum(FIGURE_INPUTS[wildcards.figure].values(), []),
    output:
        pdf=f"{CONFIG.figures.folder}/{{figure}}.pdf",
        png=report(
            f"{CONFIG.figures.folder}/{{figure}}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: PARTS[FIGURES[wildcards.figure].part],
            labels=lambda wildcards: {
                "figure": label(wildcards.figure),
                "shows": title(wildcards.figure),
            },
        ),
        sidecar=f"{CONFIG.figures.folder}/{{figure}}.json",
    log:
        f"{LOGS}/render_figure/{{figure}}.log",
    wildcard_constraints:
        figure=pattern(FIGURE_INPUTS),
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        arguments=figure_arguments,
        folder=lambda wildcards, output: os.path.dirname(output.pdf),
        code=lambda wildcards: code.figure(wildcards.figure).digest,
    message:
        "Rendering {wildcards.figure}"
    shell:
        "python -m dynamical_loss --code {params.code:q} render-figure {wildcards.figure:q} {params.arguments:q}"
        " --output {output.pdf:q} --output {output.png:q} > {log:q} 2>&1"
