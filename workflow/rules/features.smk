rule features_shard:
    input:
        settings=settings_file("features/{family}"),
        decided_anew=DECIDED_ANEW,
        images=f"{RUN}/{{fold}}images/{{shard}}/images.parquet",
        lesions=f"{RUN}/{{fold}}images/{{shard}}/lesions.parquet",
        masks=lambda wildcards: expand(
            planned_features.feature_masks(CONFIG, wildcards.family, wildcards.fold), shard=wildcards.shard
        ),
    output:
        f"{RUN}/{{fold}}features/{{family}}/{{shard}}.parquet",
    log:
        f"{RUN}/logs/{{fold}}features/{{family}}/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}features/{{family}}/{{shard}}.tsv"
    conda:
        "../../envs/features.yaml"
    threads: threads_of_a_shard()
    resources:
        mem_mb=grows(3000),
        runtime=grows(120),
        gpu=lambda wildcards: planned_features.feature_gpus(CONFIG, wildcards.family),
    params:
        code=lambda wildcards: code(f"features/{wildcards.family}"),
        losses=lambda wildcards: losses(
            f"{RUN}/{wildcards.fold}images/{wildcards.shard}/images.parquet",
            *expand(planned_features.feature_masks(CONFIG, wildcards.family, wildcards.fold), shard=wildcards.shard),
        ),
        images=lambda wildcards, input: Path(input.images).parent,
        masks=lambda wildcards, input: folders("--masks", input.masks),
    shell:
        "mammoflow features --settings {input.settings:q} --family {wildcards.family:q} --images {params.images:q}"
        " {params.masks:q} --output {output:q} --threads {threads:q}"
        " 2>&1 | tee -- {log:q} >&2"


for family in CONFIG.features.run:

    rule:
        name:
            family
        input:
            of_family(family),


rule features:
    input:
        [file for family in CONFIG.features.run for file in of_family(family)],
