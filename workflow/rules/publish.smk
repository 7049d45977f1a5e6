# What the repository keeps of a study, for others to render: `snakemake publish --configfile …`.

PUBLISHED_FILES = [os.path.relpath(path, RESULTS) for path in SHOWN_FILES]


rule publish:
    input:
        [f"{PUBLISHED}/{file}" for file in PUBLISHED_FILES],
        f"{PUBLISHED}/claims.csv",
        f"{PUBLISHED}/claims.json",


rule publish_result:
    input:
        f"{RESULTS}/{{file}}",
    output:
        f"{PUBLISHED}/{{file}}",
    log:
        f"{LOGS}/publish_result/{{file}}.log",
    benchmark:
        f"{LOGS}/publish_result/{{file}}.tsv"
    wildcard_constraints:
        file=pattern(PUBLISHED_FILES),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=5,
    params:
        code=stage("publish_result"),
    message:
        "Keeping {wildcards.file}"
    shell:
        "python -m dynamical_loss publish-result --result {input:q} --output {output:q} > {log:q} 2>&1"


rule publish_claims:
    input:
        table=f"{RESULTS}/claims.csv",
        sidecar=f"{RESULTS}/claims.json",
    output:
        table=f"{PUBLISHED}/claims.csv",
        sidecar=f"{PUBLISHED}/claims.json",
    log:
        f"{LOGS}/publish_claims.log",
    benchmark:
        f"{LOGS}/publish_claims.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=stage("publish_result"),
    message:
        "Keeping the table of claims"
    shell:
        "python -m dynamical_loss publish-result --result {input.table:q} --output {output.table:q} > {log:q} 2>&1"
