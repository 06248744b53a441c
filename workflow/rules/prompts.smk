# Prompts around the reference and readers' boxes, and around the masks of a model for the models that it prompts.


rule prompts_shard:
    input:
        settings=settings_file("prompts"),
        decided_anew=DECIDED_ANEW,
        images=f"{RUN}/{{fold}}images/{{shard}}/images.parquet",
        lesions=f"{RUN}/{{fold}}images/{{shard}}/lesions.parquet",
        readers=given(reader.table for reader in CONFIG.prompts.readers),
        # Ids of readers are compared with the whole cohort; without readers a new patient does not rerun old shards.
        cohort=rules.cohort.output if CONFIG.prompts.readers else [],
    output:
        prompts=f"{RUN}/{{fold}}prompts/{{shard}}.parquet",
        excluded=f"{RUN}/{{fold}}prompts/excluded/{{shard}}.parquet",
    log:
        f"{RUN}/logs/{{fold}}prompts/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}prompts/{{shard}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        code=code("prompts"),
        losses=lambda wildcards: losses(f"{RUN}/{wildcards.fold}images/{wildcards.shard}/images.parquet"),
        content=lambda wildcards: content_of_given(reader.table for reader in CONFIG.prompts.readers),
        images=lambda wildcards, input: Path(input.images).parent,
        cohort=lambda wildcards, input: folders("--cohort", input.cohort[:1]),
    shell:
        "mammoflow prompts --settings {input.settings:q} --images {params.images:q} {params.cohort:q}"
        " --excluded {output.excluded:q} --output {output.prompts:q}"
        " 2>&1 | tee -- {log:q} >&2"


rule prompts_from_model_shard:
    input:
        settings=settings_file("prompts"),
        decided_anew=DECIDED_ANEW,
        images=f"{RUN}/{{fold}}images/{{shard}}/images.parquet",
        lesions=f"{RUN}/{{fold}}images/{{shard}}/lesions.parquet",
        masks=f"{RUN}/{{fold}}segmentation/{{source}}/{{shard}}/masks.parquet",
    output:
        prompts=f"{RUN}/{{fold}}prompts/from_{{source}}/{{shard}}.parquet",
        excluded=f"{RUN}/{{fold}}prompts/from_{{source}}/excluded/{{shard}}.parquet",
    log:
        f"{RUN}/logs/{{fold}}prompts/from_{{source}}_{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}prompts/from_{{source}}_{{shard}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        code=code("prompts"),
        losses=lambda wildcards: losses(
            f"{RUN}/{wildcards.fold}images/{wildcards.shard}/images.parquet",
            f"{RUN}/{wildcards.fold}segmentation/{wildcards.source}/{wildcards.shard}/masks.parquet",
        ),
        images=lambda wildcards, input: Path(input.images).parent,
        masks=lambda wildcards, input: Path(input.masks).parent,
    shell:
        "mammoflow prompts --settings {input.settings:q} --images {params.images:q} --masks {params.masks:q}"
        " --excluded {output.excluded:q} --output {output.prompts:q}"
        " 2>&1 | tee -- {log:q} >&2"


rule prompts:
    input:
        shards("prompts/{shard}.parquet"),
