rule efficientnet_input:
    input:
        settings=settings_file("efficientnet"),
        images=shards("images/{shard}/images.parquet"),
        lesions=shards("images/{shard}/lesions.parquet"),
        masks=shards("segmentation/{model}/{shard}/masks.parquet", model=MODEL),
        radiomics=lambda wildcards: (
            shards("features/radiomics/{shard}.parquet") if "radiomics" in wildcards.kind else []
        ),
        weights=CONFIG.classification.efficientnet.weights or [],
    output:
        predictions=f"{RUN}/classification/efficientnet_{{kind}}/predictions.parquet",
        history=f"{RUN}/classification/efficientnet_{{kind}}/history.csv",
        network=f"{RUN}/classification/efficientnet_{{kind}}/model.safetensors",
        training=f"{RUN}/classification/efficientnet_{{kind}}/training.json",
    log:
        f"{RUN}/logs/efficientnet/{{kind}}.log",
    benchmark:
        f"{RUN}/benchmarks/efficientnet/{{kind}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=6000,
        runtime=720,
        gpu=gpus("efficientnet"),
    params:
        code=code_digest("mammoflow.classification.efficientnet_stage"),
        images=lambda wildcards, input: folders("--images", input.images),
        masks=lambda wildcards, input: folders("--masks", input.masks),
        radiomics=lambda wildcards, input: files("--radiomics", input.radiomics),
        classifier=lambda wildcards, output: Path(output.predictions).parent,
    shell:
        "mammoflow efficientnet --settings {input.settings} --input {wildcards.kind}"
        " {params.images} {params.masks} {params.radiomics}"
        " --output {params.classifier} --threads {threads}"
        " 2>&1 | tee {log} >&2"


rule efficientnet:
    input:
        expand(
            f"{RUN}/classification/{{classifier}}/predictions.parquet",
            classifier=EFFICIENTNETS,
        ),
