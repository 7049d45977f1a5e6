# Flows that follow gradient descent in continuous time.


rule trace_known_losses:
    output:
        result(layout.KNOWN_LOSSES),
    log:
        f"{LOGS}/trace_known_losses.log",
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        settings=as_json(CONFIG.flow),
        code=stage("trace_known_losses"),
    message:
        "Following gradient descent by flows on known losses"
    shell:
        "python -m dynamical_loss --code {params.code:q} trace-known-losses --settings {params.settings:q}"
        " --output {output:q} > {log:q} 2>&1"
