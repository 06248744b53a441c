rule gabor_shard:
    input:
        settings=settings_file("gabor"),
        images=f"{RUN}/images/{{shard}}/images.parquet",
        lesions=f"{RUN}/images/{{shard}}/lesions.parquet",
        masks=f"{RUN}/segmentation/{MODEL}/{{shard}}/masks.parquet",
    output:
        f"{RUN}/gabor/{{shard}}.parquet",
    log:
        f"{RUN}/logs/gabor/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/gabor/{{shard}}.tsv"
    conda:
        "../../envs/features.yaml"
    threads: threads_of_a_shard()
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=gpus("gabor"),
    params:
        code=code_digest("mammoflow.features.gabor_stage"),
        images=lambda wildcards, input: Path(input.images).parent,
        masks=lambda wildcards, input: Path(input.masks).parent,
    shell:
        "mammoflow gabor --settings {input.settings} --images {params.images} --masks {params.masks}"
        " --output {output} --threads {threads}"
        " 2>&1 | tee {log} >&2"


rule gabor:
    input:
        shards("gabor/{shard}.parquet"),
