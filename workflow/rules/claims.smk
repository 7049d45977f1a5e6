# Claims are computed from the files that the figures declare as evidence (src/dynamical_loss/figures).  The
# table of a part of the study holds only the claims about that part.
CLAIM_INPUTS = {
    table: results(registry.evidence(CONFIG, part))
    for table, part in CLAIM_TABLES.items()
}


rule evaluate_claims:
    input:
        lambda wildcards: sum(CLAIM_INPUTS[wildcards.table].values(), []),
    output:
        table=report(
            f"{RESULTS}/{{table}}.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"table": "{table}"},
        ),
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
        "Testing the paper's claims on the results: {wildcards.table}"
    shell:
        "python -m dynamical_loss --code {params.code:q} evaluate-claims {params.arguments:q} {params.part:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"


if CONFIG.protocols:

    # The claims of Fig. 3 to 5 under every protocol, and the choice on which each claim depends.
    rule evaluate_protocols:
        input:
            sorted(
                {
                    path
                    for roles in PROTOCOL_INPUTS.values()
                    for paths in roles.values()
                    for path in paths
                }
            ),
        output:
            result=result(layout.PROTOCOLS),
            table=report(
                PROTOCOL_TABLE[0],
                caption="../report/claims.rst",
                category="Claims",
                labels={"table": "protocols"},
            ),
            sidecar=PROTOCOL_TABLE[1],
        log:
            f"{LOGS}/evaluate_protocols.log",
        cache: True
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=1500,
            runtime=10,
        params:
            arguments=[
                word
                for protocol, roles in PROTOCOL_INPUTS.items()
                for word in input_options(roles, f"{protocol}:")
            ],
            settings=as_json(CONFIG.bootstrap),
            code=stage("evaluate_protocols"),
        message:
            "Testing the paper's claims under every protocol"
        shell:
            "python -m dynamical_loss --code {params.code:q} evaluate-protocols {params.arguments:q}"
            " --settings {params.settings:q} --output {output.result:q} --table {output.table:q} > {log:q} 2>&1"
