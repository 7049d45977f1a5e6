rule prepare_dataset:
    input:
        dataset_source,
    output:
        f"{RESULTS}/dataset/{{dataset}}.nc",
    log:
        f"{LOGS}/prepare_dataset/{{dataset}}.log",
    benchmark:
        f"{LOGS}/prepare_dataset/{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: dataset_demand(wildcards).at(attempt).mem_mb,
        runtime=lambda wildcards, attempt: dataset_demand(wildcards).at(attempt).runtime,
    params:
        settings=lambda wildcards: as_json(CONFIG.datasets[wildcards.dataset]),
        code=stage("prepare_dataset"),
    message:
        "Preparing the dataset {wildcards.dataset}"
    shell:
        "python -m dynamical_loss prepare-dataset --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"
