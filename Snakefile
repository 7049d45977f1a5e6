"""Dynamical loss functions: dataset → training → probes → analysis → figures and claims."""

from snakemake.utils import min_version

# The first version whose between-workflow cache supports rules with several outputs.
min_version("9.19")


include: "workflow/rules/package.smk"


configfile: "config.yaml"


report: "workflow/report/front.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/check_files.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/explorer.smk"
include: "workflow/rules/report.smk"


# Published results are only read.  The rules that compute results are left out, so that nothing can overwrite
# the published ones.
if not CONFIG.published:

    # The archive is never downloaded a second time.
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


# These rules need a few seconds each.  On a cluster they run on the machine of Snakemake itself, because a
# job would spend more time in the queue.
localrules:
    aggregate_phase,
    gather_runs,
    find_instabilities,
    fit_threshold,
    evaluate_claims,
    render_figure,
    render_page,
    list_pages,
    build_report,
    write_summary,
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


# Reading a large archive takes a minute, and may need more memory than a login node allows.
if all(resources.is_light(dataset) for dataset in CONFIG.datasets.values()):

    localrules:
        prepare_dataset,


rule all:
    default_target: True
    input:
        figure_files(),
        claim_table("claims"),
        protocol_table(),


# Only the figures about the spiral, with their claims.
rule spiral:
    input:
        figure_files("spiral"),
        claim_table("spiral_claims"),


# Only the figures about images, with their claims.
rule images:
    input:
        figure_files("images"),
        claim_table("image_claims"),


# Only the figures about flows and about learning rates that follow the curvature, with their claims.
rule flow:
    input:
        figure_files("flow"),
        claim_table("flow_claims"),


# Only the figures about feature and lazy training, with their claims.
rule lazy:
    input:
        figure_files("lazy"),
        claim_table("lazy_claims"),


# Only the figure about protocols, with the table of protocols.
rule protocols:
    input:
        figure_files("protocols"),
        protocol_table(),


# Pages for a browser, of all results that exist; what is missing is not trained for them.
rule explorer:
    input:
        explorer_files(),


# A short paper about the results, paper_figures/summary.pdf.
rule summary:
    input:
        SUMMARY,


# The report with these pages, and the figures that exist.
rule pages:
    input:
        REPORT,
        [f"{CONFIG.figures.folder}/{name}.png" for name in MADE_FIGURES],
        MADE_TABLES,
        MADE_SUMMARY,


onstart:
    check_files()
    # While its limit of jobs per second is set, Snakemake looks for jobs once a second, and once more per second for
    # every job that has finished (its issue 200 and its pull request 3744).  After 200 jobs that keeps a fifth of a
    # core busy.  The limit is 100 jobs per second, which this workflow never reaches.
    workflow.scheduler.job_rate_limiter = None
