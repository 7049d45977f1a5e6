rule probe_spectrum:
    input:
        trajectory=result(layout.trajectory("{run}")),
        dataset=lambda wildcards: result(
            layout.dataset(RUNS[wildcards.run].training.dataset)
        ),
    output:
        result(layout.spectrum("{run}")),
    log:
        f"{LOGS}/probe_spectrum/{{run}}.log",
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: probe_demand(wildcards).at(attempt).mem_mb,
        runtime=lambda wildcards, attempt: probe_demand(wildcards).at(attempt).runtime,
        gpu=0,
    params:
        settings=lambda wildcards: as_json(RUNS[wildcards.run].probes),
        run=lambda wildcards: wildcards.run,
        device=CONFIG.devices.probes,
        surroundings=SURROUNDINGS,
        code=lambda wildcards: code.probing(
            RUNS[wildcards.run].training, CONFIG.devices.probes
        ).digest,
    message:
        "Probing the curvature along {wildcards.run}"
    shell:
        "python -m dynamical_loss --code {params.code:q} probe-spectrum --trajectory {input.trajectory:q} --dataset {input.dataset:q}"
        " --settings {params.settings:q} --device {params.device:q} --output {output:q} > {log:q} 2>&1"
