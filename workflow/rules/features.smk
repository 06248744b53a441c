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


# A target of its own: features of training lesions again, with other boxes, masks, rotations and pixel spacings.
rule stability:
    input:
        settings=settings_file("stability"),
        segment_settings=settings_file(f"segmentation/{MODEL}"),
        decided_anew=DECIDED_ANEW,
        study=f"{RUN}/{planned_features.stability_fold(CONFIG)}cohort/study.json",
        images=shards(f"{planned_features.stability_fold(CONFIG)}images/{{shard}}/images.parquet"),
        lesions=shards(f"{planned_features.stability_fold(CONFIG)}images/{{shard}}/lesions.parquet"),
        masks=expand(planned_features.stability_masks(CONFIG), shard=SHARDS),
        weights=given(planned_features.stability_weights(CONFIG)),
    output:
        table=f"{RUN}/stability/stability.csv",
        figure=multiext(f"{RUN}/stability/stability", ".png", ".svg"),
    log:
        f"{RUN}/logs/stability/stability.log",
    benchmark:
        f"{RUN}/benchmarks/stability/stability.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=grows(planned_features.stability_memory_mb(CONFIG)),
        runtime=grows(240),
        gpu=planned_features.stability_gpus(CONFIG),
    params:
        code=code("stability"),
        losses=lambda wildcards: losses(
            *shards(f"{planned_features.stability_fold(CONFIG)}images/{{shard}}/images.parquet"),
            *expand(planned_features.stability_masks(CONFIG), shard=SHARDS),
            *planned_features.stability_weights(CONFIG),
        ),
        content=lambda wildcards: content_of_given(planned_features.stability_weights(CONFIG)),
        cohort=lambda wildcards, input: Path(input.study).parent,
        images=lambda wildcards, input: folders("--images", input.images),
        masks=lambda wildcards, input: folders("--masks", input.masks),
        model=lambda wildcards, input: planned_features.stability_arguments(CONFIG, input.segment_settings),
        weights=lambda wildcards, input: files("--weights", input.weights),
    shell:
        "mammoflow stability --settings {input.settings:q} --cohort {params.cohort:q} {params.images:q}"
        " {params.masks:q} {params.model:q} {params.weights:q} --output {output.table:q} --threads {threads:q}"
        " 2>&1 | tee -- {log:q} >&2"
