"""Dynamical loss functions: dataset → training → probes → analysis → figures and claims."""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/package.smk"


configfile: "config.yaml"


report: "workflow/report/front.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/shown.smk"
include: "workflow/rules/mistakes.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"


rule all:
    default_target: True
    input:
        figure_files(),
        CLAIMS,


onstart:
    check_inputs()
