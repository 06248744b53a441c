# Promptable models segment the lesions that have a prompt, automatic models every image.


rule segment_shard:
    input:
        settings=settings_file("segmentation/{model}"),
        decided_anew=DECIDED_ANEW,
        images=f"{RUN}/{{fold}}images/{{shard}}/images.parquet",
        lesions=f"{RUN}/{{fold}}images/{{shard}}/lesions.parquet",
        prompts=lambda wildcards: planned_models.prompt_tables(CONFIG, wildcards.model, wildcards.fold),
        weights=lambda wildcards: given(planned_models.weights_inputs(CONFIG, wildcards.model, wildcards.fold)),
    output:
        scores=f"{RUN}/{{fold}}segmentation/{{model}}/{{shard}}/scores.parquet",
        masks=f"{RUN}/{{fold}}segmentation/{{model}}/{{shard}}/masks.parquet",
        empty=f"{RUN}/{{fold}}segmentation/{{model}}/{{shard}}/empty.parquet",
        weights=f"{RUN}/{{fold}}segmentation/{{model}}/{{shard}}/weights.json",
    log:
        f"{RUN}/logs/{{fold}}segment/{{model}}_{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}segment/{{model}}_{{shard}}.tsv"
    wildcard_constraints:
        model=planning.any_of(planned_models.prompted_models(CONFIG)),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of_segmentation
    resources:
        mem_mb=lambda wildcards, attempt: attempt * planned_models.segment_memory_mb(CONFIG, wildcards.model),
        runtime=grows(240),
        gpu=lambda wildcards: gpus(f"segmentation/{wildcards.model}"),
    params:
        code=lambda wildcards: code(f"segmentation/{wildcards.model}"),
        losses=lambda wildcards: losses(
            f"{RUN}/{wildcards.fold}images/{wildcards.shard}/images.parquet",
            *expand(
                planned_models.prompt_tables(CONFIG, wildcards.model, wildcards.fold),
                shard=wildcards.shard,
            ),
            *planned_models.weights_inputs(CONFIG, wildcards.model, wildcards.fold),
        ),
        content=lambda wildcards: content_of_given(
            planned_models.weights_inputs(CONFIG, wildcards.model, wildcards.fold)
        ),
        model=lambda wildcards: planned_models.model_arguments(CONFIG, wildcards.model),
        weights=lambda wildcards, input: files("--weights", input.weights),
        images=lambda wildcards, input: Path(input.images).parent,
        prompts=lambda wildcards, input: files("--prompts", input.prompts),
        margin=CONFIG.prompts.default_margin_mm,
        store=lambda wildcards: CONFIG.store,
        shard=lambda wildcards, output: Path(output.masks).parent,
    shell:
        "mammoflow segment --settings {input.settings:q} {params.model:q} {params.weights:q}"
        " --images {params.images:q} {params.prompts:q} --store {params.store:q}"
        " --default-margin-mm {params.margin:q} --output {params.shard:q} --threads {threads:q}"
        " 2>&1 | tee -- {log:q} >&2"


rule segment_automatic_shard:
    input:
        settings=settings_file("segmentation/{model}"),
        decided_anew=DECIDED_ANEW,
        images=f"{RUN}/{{fold}}images/{{shard}}/images.parquet",
        lesions=f"{RUN}/{{fold}}images/{{shard}}/lesions.parquet",
        weights=lambda wildcards: given(planned_models.weights_inputs(CONFIG, wildcards.model, wildcards.fold)),
    output:
        scores=f"{RUN}/{{fold}}segmentation/{{model}}/{{shard}}/scores.parquet",
        masks=f"{RUN}/{{fold}}segmentation/{{model}}/{{shard}}/masks.parquet",
        detections=f"{RUN}/{{fold}}segmentation/{{model}}/{{shard}}/detections.parquet",
        maps=f"{RUN}/{{fold}}segmentation/{{model}}/{{shard}}/maps.parquet",
        weights=f"{RUN}/{{fold}}segmentation/{{model}}/{{shard}}/weights.json",
    log:
        f"{RUN}/logs/{{fold}}segment/{{model}}_{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}segment/{{model}}_{{shard}}.tsv"
    wildcard_constraints:
        model=planning.any_of(planned_models.automatic_models(CONFIG)),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of_segmentation
    resources:
        mem_mb=lambda wildcards, attempt: attempt * planned_models.segment_memory_mb(CONFIG, wildcards.model),
        runtime=grows(240),
        gpu=lambda wildcards: gpus(f"segmentation/{wildcards.model}"),
    params:
        code=lambda wildcards: code(f"segmentation/{wildcards.model}"),
        losses=lambda wildcards: losses(
            f"{RUN}/{wildcards.fold}images/{wildcards.shard}/images.parquet",
            *expand(
                planned_models.prompt_tables(CONFIG, wildcards.model, wildcards.fold),
                shard=wildcards.shard,
            ),
            *planned_models.weights_inputs(CONFIG, wildcards.model, wildcards.fold),
        ),
        content=lambda wildcards: content_of_given(
            planned_models.weights_inputs(CONFIG, wildcards.model, wildcards.fold)
        ),
        model=lambda wildcards: planned_models.model_arguments(CONFIG, wildcards.model),
        weights=lambda wildcards, input: files("--weights", input.weights),
        images=lambda wildcards, input: Path(input.images).parent,
        shard=lambda wildcards, output: Path(output.masks).parent,
    shell:
        "mammoflow segment-automatic --settings {input.settings:q} {params.model:q} {params.weights:q}"
        " --images {params.images:q} --output {params.shard:q} --threads {threads:q}"
        " 2>&1 | tee -- {log:q} >&2"


rule segment:
    input:
        of_models(CONFIG.segmentation.run, "masks.parquet"),
