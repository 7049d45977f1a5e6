# Flows that approximate gradient descent in continuous time.


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
        code=code.known_losses().digest,
    message:
        "Comparing gradient descent with flows on known losses"
    shell:
        "python -m dynamical_loss --code {params.code:q} trace-known-losses --settings {params.settings:q}"
        " --device cpu --output {output:q} > {log:q} 2>&1"


if CONFIG.flows:

    rule trace_flow:
        input:
            trajectories=lambda wildcards: seeds_of(
                CONFIG.flows[wildcards.flow].trajectory, layout.trajectory
            ),
            dataset=lambda wildcards: result(
                layout.dataset(followed(wildcards).dataset)
            ),
        output:
            result(layout.flows("{flow}")),
        log:
            f"{LOGS}/trace_flow/{{flow}}.log",
        wildcard_constraints:
            flow=pattern(CONFIG.flows),
        cache: True
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=2000,
            runtime=lambda wildcards, attempt: attempt
            * (20 + 5 * followed(wildcards).seeds),
        params:
            settings=lambda wildcards: as_json(CONFIG.flows[wildcards.flow]),
            trajectories=lambda wildcards, input: each_as(
                "--trajectory", input.trajectories
            ),
            surroundings=SURROUNDINGS,
            code=lambda wildcards: code.following(followed(wildcards)).digest,
        message:
            "Comparing gradient descent with flows: {wildcards.flow}"
        shell:
            "python -m dynamical_loss --code {params.code:q} trace-flow {params.trajectories:q} --dataset {input.dataset:q}"
            " --settings {params.settings:q} --device cpu --output {output:q} > {log:q} 2>&1"
