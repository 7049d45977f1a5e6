rule train_phase_block:
    input:
        lambda wildcards: result(layout.dataset(CONFIG.phase[wildcards.study].dataset)),
    output:
        result(layout.phase_block("{study}", "{block}")),
    log:
        f"{LOGS}/train_phase_block/{{study}}/{{block}}.log",
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: block_demand(wildcards).at(attempt).mem_mb,
        runtime=lambda wildcards, attempt: block_demand(wildcards).at(attempt).runtime,
        gpu=0,
    params:
        settings=lambda wildcards: PHASE_TRAINING[wildcards.study].settings,
        block=block_options,
        device=CONFIG.devices.training,
        surroundings=SURROUNDINGS,
        code=lambda wildcards: PHASE_TRAINING[wildcards.study].code,
    message:
        "Training {wildcards.study}, {wildcards.block}"
    shell:
        "python -m dynamical_loss --code {params.code:q} train-phase-block --dataset {input:q} --settings {params.settings:q}"
        " {params.block:q} --device {params.device:q} --output {output:q} > {log:q} 2>&1"


rule train_trajectory:
    input:
        lambda wildcards: result(layout.dataset(RUNS[wildcards.run].training.dataset)),
    output:
        result(layout.trajectory("{run}")),
    log:
        f"{LOGS}/train_trajectory/{{run}}.log",
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: training_demand(wildcards).at(attempt).mem_mb,
        runtime=lambda wildcards, attempt: training_demand(wildcards)
        .at(attempt)
        .runtime,
        gpu=0,
    params:
        settings=lambda wildcards: as_json(RUNS[wildcards.run].training),
        seed=lambda wildcards: RUNS[wildcards.run].seed,
        device=CONFIG.devices.training,
        surroundings=SURROUNDINGS,
        code=lambda wildcards: training_code(
            "train_trajectory", RUNS[wildcards.run].training
        ),
    message:
        "Training the trajectory {wildcards.run}"
    shell:
        "python -m dynamical_loss --code {params.code:q} train-trajectory --dataset {input:q} --settings {params.settings:q}"
        " --seed {params.seed:q} --device {params.device:q} --output {output:q} > {log:q} 2>&1"
