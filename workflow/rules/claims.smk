rule evaluate_claims:
    input:
        **claim_inputs(),
    output:
        report(CLAIMS, category="Claims"),
    log:
        f"{LOGS}/evaluate_claims.log",
    benchmark:
        f"{LOGS}/evaluate_claims.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        arguments=" ".join(
            f"--input {role}={path}"
            for role, paths in claim_inputs().items()
            for path in paths
        ),
        settings=as_json(CONFIG.bootstrap),
        code=stage("evaluate_claims"),
    message:
        "Holding the paper's claims against the results"
    shell:
        "python -m dynamical_loss evaluate-claims {params.arguments} --settings {params.settings:q}"
        " --output {output:q} > {log:q} 2>&1"
