# What the repository keeps of a study, for others to render: `snakemake publish --configfile …`.

# What the table of protocols is computed from; of figures, only their own file is needed.
OF_PROTOCOLS = below_results(
    path
    for roles in PROTOCOL_INPUTS.values()
    for role in ("phase_narrow", "phase_wide", "threshold")
    for path in roles.get(role, ())
)
PUBLISHED_FILES = below_results(SHOWN_FILES)


rule publish:
    input:
        [f"{PUBLISHED}/{file}" for file in PUBLISHED_FILES],
        f"{PUBLISHED}/claims.csv",
        f"{PUBLISHED}/claims.json",


if CONFIG.protocols:

    # The figure of protocols alone, and the results behind its table.
    rule publish_protocols:
        input:
            [f"{PUBLISHED}/{file}" for file in (layout.PROTOCOLS, *OF_PROTOCOLS)],
            f"{PUBLISHED}/protocols.csv",
            f"{PUBLISHED}/protocols.json",


rule publish_result:
    input:
        f"{RESULTS}/{{file}}",
    output:
        f"{PUBLISHED}/{{file}}",
    log:
        f"{LOGS}/publish_result/{{file}}.log",
    benchmark:
        f"{LOGS}/publish_result/{{file}}.tsv"
    wildcard_constraints:
        file=pattern({*PUBLISHED_FILES, *OF_PROTOCOLS}),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=5,
    params:
        code=stage("publish_result"),
    message:
        "Keeping {wildcards.file}"
    shell:
        "python -m dynamical_loss publish-result --result {input:q} --output {output:q} > {log:q} 2>&1"


rule publish_claims:
    input:
        table=f"{RESULTS}/{{table}}.csv",
        sidecar=f"{RESULTS}/{{table}}.json",
    output:
        table=f"{PUBLISHED}/{{table}}.csv",
        sidecar=f"{PUBLISHED}/{{table}}.json",
    log:
        f"{LOGS}/publish_claims/{{table}}.log",
    benchmark:
        f"{LOGS}/publish_claims/{{table}}.tsv"
    wildcard_constraints:
        table="claims|protocols",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=stage("publish_result"),
    message:
        "Keeping the table of {wildcards.table}"
    shell:
        "python -m dynamical_loss publish-result --result {input.table:q} --output {output.table:q} > {log:q} 2>&1"
