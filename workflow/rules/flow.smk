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


def followed(wildcards):
    """Settings of the run that a flow study follows."""
    return CONFIG.trajectories[CONFIG.flows[wildcards.flow].trajectory].training


def followed_run(wildcards):
    """Its name."""
    return grid.trajectory_run(CONFIG.flows[wildcards.flow].trajectory, wildcards.seed)


if CONFIG.flows:

    rule trace_flow:
        input:
            trajectory=lambda wildcards: result(
                layout.trajectory(followed_run(wildcards))
            ),
            dataset=lambda wildcards: result(
                layout.dataset(followed(wildcards).dataset)
            ),
        output:
            result(layout.flow("{flow}", "{seed}")),
        log:
            f"{LOGS}/trace_flow/{{flow}}_seed{{seed}}.log",
        wildcard_constraints:
            flow=pattern(CONFIG.flows),
            seed=r"\d+",
        cache: True
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=2000,
            runtime=lambda wildcards, attempt: 60 * attempt,
        params:
            settings=lambda wildcards: as_json(CONFIG.flows[wildcards.flow]),
            surroundings=SURROUNDINGS,
            code=lambda wildcards: code.following(followed(wildcards)).digest,
        message:
            "Following gradient descent by flows: {wildcards.flow}, seed {wildcards.seed}"
        shell:
            "python -m dynamical_loss --code {params.code:q} trace-flow --trajectory {input.trajectory:q} --dataset {input.dataset:q}"
            " --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"
