# The report: a folder of pages that opens offline (src/dynamical_loss/report).  Like the explorer, it shows what
# exists when Snakemake starts, and names the rest.

REPORT = f"report/{SHOWN_SCALE}"
SUMMARY = f"{CONFIG.figures.folder}/summary.pdf"
MADE_FIGURES = [
    name
    for name, roles in FIGURE_INPUTS.items()
    if os.path.isfile(f"{CONFIG.figures.folder}/{name}.png") and all_exist(roles)
]
# The table of all claims, or else those of parts of the study.
MADE_TABLES = [
    path for path in [f"{RESULTS}/claims.csv"] if os.path.isfile(path)
] or list(filter(os.path.isfile, (f"{RESULTS}/{name}.csv" for name in CLAIM_TABLES)))
MADE_SUMMARY = [SUMMARY] if os.path.isfile(f"{RESULTS}/claims.csv") else []
# What else the report reads, if it is there.
REPORT_FILES = list(
    filter(os.path.isfile, ["CITATION.cff", "envs/cpu.txt", "envs/cuda.txt"])
)


# Snakemake's own report takes these texts from the configuration, because its templates can read no files.
if os.path.isdir(f"{REPORT}/captions"):
    texts = {
        path.stem: path.read_text(encoding="utf-8")
        for path in sorted(Path(f"{REPORT}/captions").glob("*.rst"))
    }
    config["claims_in_numbers"] = texts.pop("front", "")
    config["captions"] = texts


# A short paper about the results; its numbers come from the table of claims.
rule write_summary:
    input:
        claims=f"{RESULTS}/claims.csv",
        figures=[
            f"{CONFIG.figures.folder}/{name}.png"
            for name in SUMMARY_FIGURES
            if name in MADE_FIGURES
        ],
    output:
        pdf=report(
            SUMMARY,
            caption="../report/summary.rst",
            category="Start here: claims, figures, runs and the reproducibility card",
            labels={"pages": "summary (PDF)"},
        ),
        sidecar=SUMMARY.replace(".pdf", ".json"),
    log:
        f"{LOGS}/write_summary.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=5,
    params:
        figures=lambda wildcards, input: each_as("--figure", input.figures),
        code=stage("write_summary"),
    message:
        "Writing the summary"
    shell:
        "python -m dynamical_loss --code {params.code:q} write-summary --claims {input.claims:q}"
        " {params.figures:q} --output {output.pdf:q} > {log:q} 2>&1"


rule build_report:
    input:
        figures=[f"{CONFIG.figures.folder}/{name}.png" for name in MADE_FIGURES],
        claims=MADE_TABLES,
        sidecars=[path.replace(".csv", ".json") for path in MADE_TABLES],
        summary=MADE_SUMMARY,
        explorer=explorer_files(),
        workflow="Snakefile",
        others=REPORT_FILES,
    output:
        report(
            directory(REPORT),
            caption="../report/pages.rst",
            htmlindex="index.html",
            category="Start here: claims, figures, runs and the reproducibility card",
            labels={"pages": "all pages, linked"},
        ),
    log:
        f"{LOGS}/build_report.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        figures=lambda wildcards, input: each_as("--figure", input.figures),
        claims=lambda wildcards, input: each_as("--claims", input.claims),
        settings=json.dumps(reading.merged(layers())),
        missing=json.dumps(
            {
                name: snakemake_command(f"{CONFIG.figures.folder}/{name}.pdf")
                for name in registry.shown(CONFIG)
                if name not in MADE_FIGURES
            }
            | (
                {}
                if MADE_SUMMARY
                else {"claims.csv": snakemake_command(f"{COMPUTED}/claims.csv")}
            )
        ),
        # The report counts all results, and any of them may be newer than the figures.
        state=lambda wildcards: results_present(),
        pages=lambda wildcards, input: each_as("--page", input.explorer),
        results=RESULTS,
        summary=lambda wildcards, input: each_as("--summary", input.summary),
        scale=SHOWN,
        code=stage("build_report"),
    message:
        "Building the report"
    shell:
        "python -m dynamical_loss --code {params.code:q} build-report --scale {params.scale:q}"
        " --results {params.results:q} {params.figures:q} {params.claims:q} {params.summary:q} {params.pages:q}"
        " --settings {params.settings:q} --missing {params.missing:q}"
        " --output {output:q} > {log:q} 2>&1"
