# Gradient flows between feature and lazy training.
if CONFIG.lazy:

    rule train_lazy_block:
        input:
            lambda wildcards: result(
                layout.dataset(
                    grid.draw(
                        CONFIG.lazy[wildcards.lazy].dataset,
                        grid.LazyBlock.from_name(wildcards.block).data_seed,
                    )
                )
            ),
        output:
            result(layout.lazy_block("{lazy}", "{block}")),
        log:
            f"{LOGS}/train_lazy_block/{{lazy}}/{{block}}.log",
        wildcard_constraints:
            lazy=pattern(CONFIG.lazy),
            block=grid.LAZY_NAME.pattern,
        cache: True
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: lazy_demand(wildcards).at(attempt).mem_mb,
            runtime=lambda wildcards, attempt: lazy_demand(wildcards)
            .at(attempt)
            .runtime,
            gpu=0,
        params:
            settings=lambda wildcards: as_json(CONFIG.lazy[wildcards.lazy].run),
            block=lazy_block_options,
            surroundings=SURROUNDINGS,
            code=code.flowing().digest,
        message:
            "Training by gradient flow: {wildcards.lazy}, {wildcards.block}"
        shell:
            "python -m dynamical_loss --code {params.code:q} train-lazy-block --dataset {input:q} --settings {params.settings:q}"
            " {params.block:q} --device cpu --output {output:q} > {log:q} 2>&1"

    rule aggregate_lazy:
        input:
            lambda wildcards: [
                result(layout.lazy_block(wildcards.lazy, block.name))
                for block in CONFIG.lazy[wildcards.lazy].blocks
            ],
        output:
            result(layout.lazy("{lazy}")),
        log:
            f"{LOGS}/aggregate_lazy/{{lazy}}.log",
        wildcard_constraints:
            lazy=pattern(CONFIG.lazy),
        cache: True
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=1500,
            runtime=10,
        params:
            settings=lambda wildcards: as_json(CONFIG.lazy[wildcards.lazy]),
            code=stage("aggregate_lazy"),
        message:
            "Combining the gradient flows of {wildcards.lazy}"
        shell:
            "python -m dynamical_loss --code {params.code:q} aggregate-lazy --settings {params.settings:q} --output {output:q} {input:q}"
            " > {log:q} 2>&1"
