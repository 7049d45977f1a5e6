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
    wildcard_constraints:
        study=pattern(ONE_DRAW),
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


if SEVERAL_DRAWS:

    rule gather_draws:
        input:
            lambda wildcards: [
                result(layout.phase(grid.draw(wildcards.study, seed)))
                for seed in CONFIG.phase[wildcards.study].noise_seeds
            ],
        output:
            result(layout.phase("{study}")),
        log:
            f"{LOGS}/gather_draws/{{study}}.log",
        wildcard_constraints:
            study=pattern(SEVERAL_DRAWS),
        cache: True
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=1500,
            runtime=10,
        params:
            settings=lambda wildcards: as_json(CONFIG.phase[wildcards.study]),
            code=stage("gather_draws"),
        message:
            "Combining the draws of {wildcards.study}"
        shell:
            "python -m dynamical_loss --code {params.code:q} gather-draws --settings {params.settings:q} --output {output:q} {input:q}"
            " > {log:q} 2>&1"


rule gather_runs:
    input:
        trajectories=lambda wildcards: seeds_of(wildcards.followed, layout.trajectory),
        spectra=lambda wildcards: seeds_of(wildcards.followed, layout.spectrum),
    output:
        result(layout.runs("{followed}")),
    log:
        f"{LOGS}/gather_runs/{{followed}}.log",
    wildcard_constraints:
        followed=pattern(CONFIG.trajectories),
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        trajectories=lambda wildcards, input: each_as(
            "--trajectory", input.trajectories
        ),
        spectra=lambda wildcards, input: each_as("--spectrum", input.spectra),
        code=stage("gather_runs"),
    message:
        "Combining the runs of {wildcards.followed}"
    shell:
        "python -m dynamical_loss --code {params.code:q} gather-runs {params.trajectories:q} {params.spectra:q}"
        " --output {output:q} > {log:q} 2>&1"


rule find_instabilities:
    input:
        trajectory=lambda wildcards: result(
            layout.trajectory(ANALYSES[wildcards.analysis].runs[0])
        ),
        spectrum=lambda wildcards: result(
            layout.spectrum(ANALYSES[wildcards.analysis].runs[0])
        ),
    output:
        result("{analysis}"),
    log:
        f"{LOGS}/find_instabilities/{{analysis}}.log",
    wildcard_constraints:
        analysis=pattern(ANALYSES),
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=3000,
        runtime=10,
    params:
        settings=lambda wildcards: as_json(ANALYSES[wildcards.analysis].settings),
        run=lambda wildcards: ANALYSES[wildcards.analysis].runs[0],
        code=stage("find_instabilities"),
    message:
        "Finding instabilities: {wildcards.analysis}"
    shell:
        "python -m dynamical_loss --code {params.code:q} find-instabilities --trajectory {input.trajectory:q} --spectrum {input.spectrum:q}"
        " --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


rule fit_threshold:
    input:
        lambda wildcards: FITS[wildcards.fit].analyses,
    output:
        result("{fit}"),
    log:
        f"{LOGS}/fit_threshold/{{fit}}.log",
    wildcard_constraints:
        fit=pattern(FITS),
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
        "Fitting the threshold of instability against the learning rate: {wildcards.fit}"
    shell:
        "python -m dynamical_loss --code {params.code:q} fit-threshold --settings {params.settings:q} --output {output:q} {input:q}"
        " > {log:q} 2>&1"
