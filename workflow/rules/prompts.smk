rule prompts_shard:
    input:
        settings=settings_file("prompts"),
        images=f"{RUN}/images/{{shard}}/images.parquet",
        lesions=f"{RUN}/images/{{shard}}/lesions.parquet",
    output:
        f"{RUN}/prompts/{{shard}}.parquet",
    log:
        f"{RUN}/logs/prompts/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/prompts/{{shard}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_digest("mammoflow.segmentation.prompts"),
        images=lambda wildcards, input: Path(input.images).parent,
    shell:
        "mammoflow prompts --settings {input.settings} --images {params.images} --output {output}"
        " 2>&1 | tee {log} >&2"


rule prompts:
    input:
        shards("prompts/{shard}.parquet"),
