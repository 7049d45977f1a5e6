# This rule has no parameter `code`, because the downloaded file does not depend on the code.


# The compute nodes of a cluster cannot always reach the network.
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
