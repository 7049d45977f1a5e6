rule aggregate_phase:
    input:
        lambda wildcards: [
            result(layout.phase_block(wildcards.study, block.name))
            for block in CONFIG.phase[wildcards.study].blocks
        ],
    output:
        result(layout.phase("{study}")),
    log:
        f"{LOGS}/aggregate_phase/{{study}}.log",
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        settings=lambda wildcards: as_json(CONFIG.phase[wildcards.study]),
        study=lambda wildcards: wildcards.study,
        code=stage("aggregate_phase"),
    message:
        "Aggregating the phase diagram {wildcards.study}"
    shell:
        "python -m dynamical_loss --code {params.code:q} aggregate-phase --settings {params.settings:q} --output {output:q} {input:q}"
        " > {log:q} 2>&1"


rule find_instabilities:
    input:
        trajectory=result(layout.trajectory("{run}")),
        spectrum=result(layout.spectrum("{run}")),
    output:
        result(layout.instabilities("{run}")),
    log:
        f"{LOGS}/find_instabilities/{{run}}.log",
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=3000,
        runtime=10,
    params:
        settings=as_json(CONFIG.instabilities),
        run=lambda wildcards: wildcards.run,
        code=stage("find_instabilities"),
    message:
        "Looking for instabilities along {wildcards.run}"
    shell:
        "python -m dynamical_loss --code {params.code:q} find-instabilities --trajectory {input.trajectory:q} --spectrum {input.spectrum:q}"
        " --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


rule fit_threshold:
    input:
        [result(layout.instabilities(run)) for run in THRESHOLD_RUNS],
    output:
        result(layout.THRESHOLD),
    log:
        f"{LOGS}/fit_threshold.log",
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        settings=as_json(CONFIG.bootstrap),
        code=stage("fit_threshold"),
    message:
        "Fitting the threshold of instability against the learning rate"
    shell:
        "python -m dynamical_loss --code {params.code:q} fit-threshold --settings {params.settings:q} --output {output:q} {input:q}"
        " > {log:q} 2>&1"
