rule render_figure:
    input:
        lambda wildcards: [
            path
            for paths in FIGURE_INPUTS[wildcards.figure].values()
            for path in paths
        ],
    output:
        pdf=f"{FIGURES}/{{figure}}.pdf",
        png=report(
            f"{FIGURES}/{{figure}}.png",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        sidecar=f"{FIGURES}/{{figure}}.json",
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
        folder=FIGURES,
        code=lambda wildcards: code.figure(wildcards.figure).digest,
    message:
        "Rendering {wildcards.figure}"
    shell:
        "python -m dynamical_loss render-figure {wildcards.figure:q} {params.arguments:q}"
        " --output {output.pdf:q} --output {output.png:q} > {log:q} 2>&1"
