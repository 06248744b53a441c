rule radiomics_shard:
    input:
        settings=settings_file("radiomics"),
        images=f"{RUN}/images/{{shard}}/images.parquet",
        lesions=f"{RUN}/images/{{shard}}/lesions.parquet",
        masks=f"{RUN}/segmentation/{MODEL}/{{shard}}/masks.parquet",
    output:
        f"{RUN}/radiomics/{{shard}}.parquet",
    log:
        f"{RUN}/logs/radiomics/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/radiomics/{{shard}}.tsv"
    conda:
        "../../envs/features.yaml"
    threads: threads_of_a_shard()
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=gpus("radiomics"),
    params:
        code=code_digest("mammoflow.features.radiomics_stage"),
        images=lambda wildcards, input: Path(input.images).parent,
        masks=lambda wildcards, input: Path(input.masks).parent,
    shell:
        "mammoflow radiomics --settings {input.settings} --images {params.images} --masks {params.masks}"
        " --output {output} --threads {threads}"
        " 2>&1 | tee {log} >&2"


rule radiomics:
    input:
        shards("radiomics/{shard}.parquet"),
