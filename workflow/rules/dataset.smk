def dataset_source(wildcards):
    """The file that a dataset is made from, so that another file makes it anew; folders are not watched."""
    settings = CONFIG.datasets[wildcards.dataset]
    location = settings.location
    if location is None or location.is_dir():
        return []
    if settings.source is None:
        # One content is accepted alone: downloaded again, it makes nothing anew.
        return ancient(str(location))
    if not location.exists():
        stop(
            f"datasets.{wildcards.dataset}.source: there is no {settings.source}; name a file or folder "
            "that exists (docs/data.md)"
        )
    return str(location)


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
