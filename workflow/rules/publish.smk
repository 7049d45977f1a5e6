# The reduced results that the repository stores, so that others can render the figures:
# `snakemake publish --configfile …`.

# Protocols are published from a separate study: the files behind their figures and behind their table.
OF_PROTOCOLS = below_results(
    path
    for roles in (
        *PROTOCOL_INPUTS.values(),
        *(FIGURE_INPUTS[name] for name in registry.shown(CONFIG, "protocols")),
    )
    for paths in roles.values()
    for path in paths
)
OF_OTHERS = below_results(
    path
    for part in ("spiral", "images", "flow", "lazy")
    for name in registry.shown(CONFIG, part)
    for paths in FIGURE_INPUTS[name].values()
    for path in paths
)


rule publish:
    input:
        [f"{PUBLISHED}/{file}" for file in OF_OTHERS],
        f"{PUBLISHED}/claims.csv",
        f"{PUBLISHED}/claims.json",


if CONFIG.protocols:

    rule publish_protocols:
        input:
            [f"{PUBLISHED}/{file}" for file in OF_PROTOCOLS],
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
        file=pattern({*OF_OTHERS, *OF_PROTOCOLS}),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=5,
    params:
        code=stage("publish_result"),
    message:
        "Publishing {wildcards.file}"
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
        "Publishing the table of {wildcards.table}"
    shell:
        "python -m dynamical_loss publish-result --result {input.table:q} --output {output.table:q} > {log:q} 2>&1"
