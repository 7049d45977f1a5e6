# Pages for a browser (src/dynamical_loss/explorer).  The target `explorer` makes the pages of all results that
# exist when Snakemake starts, and lists the others with the commands that make them.


rule render_page:
    input:
        lambda wildcards: sum(PAGE_INPUTS[wildcards.page].values(), []),
    output:
        html=f"{EXPLORER}/{{page}}.html",
        sidecar=f"{EXPLORER}/{{page}}.json",
    log:
        f"{LOGS}/render_page/{{page}}.log",
    wildcard_constraints:
        page=pattern(PAGES),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        arguments=lambda wildcards: input_options(PAGE_INPUTS[wildcards.page]),
        options=page_options,
        code=lambda wildcards: code.page(PAGES[wildcards.page].kind).digest,
    message:
        "Making the page {wildcards.page}"
    shell:
        "python -m dynamical_loss --code {params.code:q} render-page {wildcards.page:q} {params.arguments:q}"
        " --options {params.options:q} --output {output.html:q} > {log:q} 2>&1"


rule list_pages:
    input:
        [f"{EXPLORER}/{path}.html" for path in MADE_PAGES],
    output:
        html=f"{EXPLORER}/index.html",
        sidecar=f"{EXPLORER}/index.json",
    log:
        f"{LOGS}/list_pages.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=5,
    params:
        pages=lambda wildcards, input: each_as("--page", input),
        scale=SHOWN,
        missing=json.dumps(
            {
                path: snakemake_command(f"explorer/{CONFIG.scale}/{path}.html")
                for path in PAGES
                if path not in MADE_PAGES
            }
        ),
        code=code.page("index").digest,
    message:
        "Listing the pages of the explorer"
    shell:
        "python -m dynamical_loss --code {params.code:q} list-pages {params.pages:q} --scale {params.scale:q}"
        " --missing {params.missing:q} --output {output.html:q} > {log:q} 2>&1"
