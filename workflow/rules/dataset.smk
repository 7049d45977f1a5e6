rule prepare_dataset:
    input:
        dataset_source,
    output:
        result(layout.dataset("{dataset}")),
    log:
        f"{LOGS}/prepare_dataset/{{dataset}}.log",
    cache: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: dataset_demand(wildcards).at(attempt).mem_mb,
        runtime=lambda wildcards, attempt: dataset_demand(wildcards).at(attempt).runtime,
    params:
        settings=lambda wildcards: as_json(CONFIG.datasets[wildcards.dataset]),
        folder=source_content,
        code=lambda wildcards: code.dataset(CONFIG.datasets[wildcards.dataset]).digest,
    message:
        "Preparing the dataset {wildcards.dataset}"
    shell:
        "python -m dynamical_loss --code {params.code:q} prepare-dataset --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"
