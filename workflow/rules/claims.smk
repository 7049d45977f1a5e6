rule evaluate_claims:
    input:
        **claim_inputs(),
    output:
        table=report(CLAIMS, category="Claims"),
        sidecar=CLAIMS_SIDECAR,
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
        arguments=input_options(claim_inputs()),
        settings=as_json(CONFIG.bootstrap),
        code=stage("evaluate_claims"),
    message:
        "Holding the paper's claims against the results"
    shell:
        "python -m dynamical_loss evaluate-claims {params.arguments:q} --settings {params.settings:q}"
        " --output {output.table:q} > {log:q} 2>&1"


rule evaluate_image_claims:
    input:
        **image_claim_inputs(),
    output:
        table=report(IMAGE_CLAIMS, category="Claims"),
        sidecar=IMAGE_CLAIMS_SIDECAR,
    log:
        f"{LOGS}/evaluate_image_claims.log",
    benchmark:
        f"{LOGS}/evaluate_image_claims.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        arguments=input_options(image_claim_inputs()),
        settings=as_json(CONFIG.bootstrap),
        code=stage("evaluate_claims"),
    message:
        "Holding the paper's claims about images against the results"
    shell:
        "python -m dynamical_loss evaluate-claims {params.arguments:q} --settings {params.settings:q}"
        " --given-only --output {output.table:q} > {log:q} 2>&1"
