# Trains the weights of the model `small` that the package ships; a target of its own, not part of a study's results.


rule small_model:
    input:
        settings=settings_file("small_model"),
        images=shards("images/{shard}/images.parquet"),
        lesions=shards("images/{shard}/lesions.parquet"),
        further=further_shards,
    output:
        weights=f"{RUN}/small_model/small.safetensors",
        record=f"{RUN}/small_model/record.json",
    log:
        f"{RUN}/logs/small_model/small_model.log",
    benchmark:
        f"{RUN}/benchmarks/small_model/small_model.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=gpus("small_model"),
    params:
        code=code_digest("mammoflow.segmentation.small.stage"),
        images=lambda wildcards, input: folders("--images", [*input.images, *input.further]),
        network=lambda wildcards, output: Path(output.weights).parent,
    shell:
        "mammoflow small-model --settings {input.settings} {params.images}"
        " --output {params.network} --threads {threads}"
        " 2>&1 | tee {log} >&2"
