"""Dynamical loss functions: dataset → training → probes → analysis → figures and claims."""

from snakemake.utils import min_version

# The first whose cache between workflows takes rules with several outputs.
min_version("9.19")


include: "workflow/rules/package.smk"


configfile: "config.yaml"


report: "workflow/report/front.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/check_files.smk"
include: "workflow/rules/figures.smk"


# Published results are only read; without the rules that make them nothing can overwrite them.
if not CONFIG.published:

    # Once it is there, nothing downloads it again.
    if not DOWNLOADED.exists():

        include: "workflow/rules/download.smk"
    include: "workflow/rules/dataset.smk"
    include: "workflow/rules/train.smk"
    include: "workflow/rules/probe.smk"
    include: "workflow/rules/analyse.smk"
    include: "workflow/rules/flow.smk"
    include: "workflow/rules/lazy.smk"
    include: "workflow/rules/claims.smk"
    include: "workflow/rules/publish.smk"


# Seconds of work each: on a cluster they run beside Snakemake, as a job would wait longer than that.
localrules:
    aggregate_phase,
    gather_runs,
    find_instabilities,
    fit_threshold,
    evaluate_claims,
    render_figure,
    publish_result,
    publish_claims,


if SEVERAL_DRAWS:

    localrules:
        gather_draws,


if CONFIG.lazy:

    localrules:
        aggregate_lazy,


if CONFIG.protocols:

    localrules:
        evaluate_protocols,


# Reading a large archive takes a minute, and memory that a login node may not give.
if all(resources.is_light(dataset) for dataset in CONFIG.datasets.values()):

    localrules:
        prepare_dataset,


rule all:
    default_target: True
    input:
        figure_files(),
        claim_table("claims"),
        protocol_table(),


# The figures of the spiral alone, with their claims.
rule spiral:
    input:
        figure_files("spiral"),
        claim_table("spiral_claims"),


# The figures of images alone, with theirs.
rule images:
    input:
        figure_files("images"),
        claim_table("image_claims"),


# The figures of flows and of learning rates that follow the curvature, with theirs.
rule flow:
    input:
        figure_files("flow"),
        claim_table("flow_claims"),


# The figures of feature and lazy training alone, with theirs.
rule lazy:
    input:
        figure_files("lazy"),
        claim_table("lazy_claims"),


# The figure of protocols alone, with its table.
rule protocols:
    input:
        figure_files("protocols"),
        protocol_table(),


onstart:
    check_files()
