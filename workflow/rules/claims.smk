# Claims are computed from the files that figures declare as evidence (src/dynamical_loss/figures).  A
# part's table holds the claims about that part of the study alone.
CLAIM_INPUTS = {
    table: results(registry.evidence(CONFIG, part))
    for table, part in CLAIM_TABLES.items()
}


rule evaluate_claims:
    input:
        lambda wildcards: sum(CLAIM_INPUTS[wildcards.table].values(), []),
    output:
        table=report(f"{RESULTS}/{{table}}.csv", category="Claims"),
        sidecar=f"{RESULTS}/{{table}}.json",
    log:
        f"{LOGS}/evaluate_claims/{{table}}.log",
    wildcard_constraints:
        table=pattern(CLAIM_INPUTS),
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        arguments=lambda wildcards: input_options(CLAIM_INPUTS[wildcards.table]),
        part=lambda wildcards: [] if wildcards.table == "claims" else ["--given-only"],
        settings=as_json(CONFIG.bootstrap),
        code=stage("evaluate_claims"),
    message:
        "Holding the paper's claims against the results: {wildcards.table}"
    shell:
        "python -m dynamical_loss --code {params.code:q} evaluate-claims {params.arguments:q} {params.part:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"
