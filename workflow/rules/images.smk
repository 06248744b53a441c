rule images_shard:
    input:
        settings=settings_file("images"),
        images=f"{RUN}/cohort/shards/{{shard}}/images.parquet",
        lesions=f"{RUN}/cohort/shards/{{shard}}/lesions.parquet",
    output:
        images=f"{RUN}/images/{{shard}}/images.parquet",
        lesions=f"{RUN}/images/{{shard}}/lesions.parquet",
        excluded=f"{RUN}/images/{{shard}}/excluded.parquet",
    log:
        f"{RUN}/logs/images/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/images/{{shard}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: threads_of_a_shard()
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        code=code("images"),
        study=lambda wildcards: STUDY,
        cohort=lambda wildcards, input: Path(input.images).parent,
        shard=lambda wildcards, output: Path(output.images).parent,
    shell:
        "mammoflow images --settings {input.settings} --study {params.study:q} --cohort-shard {params.cohort}"
        " --output {params.shard} --threads {threads}"
        " 2>&1 | tee {log} >&2"


rule images:
    input:
        shards("images/{shard}/images.parquet"),
