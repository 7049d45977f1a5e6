# Without `code` among its parameters: what is downloaded does not depend on ours.


# A cluster's machines cannot always reach the network.
localrules:
    download_dataset,


rule download_dataset:
    output:
        str(DOWNLOADED),
    log:
        f"{LOGS}/download_dataset.log",
    benchmark:
        f"{LOGS}/download_dataset.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=500,
        runtime=240,
    message:
        "Downloading CIFAR-10"
    shell:
        "python -m dynamical_loss download-dataset --output {output:q} > {log:q} 2>&1"
