rule perceptron_variant:
    input:
        settings=settings_file("perceptron"),
        images=shards("images/{shard}/images.parquet"),
        lesions=shards("images/{shard}/lesions.parquet"),
        masks=shards("segmentation/{model}/{shard}/masks.parquet", model=MODEL),
        prompts=shards("prompts/{shard}.parquet"),
        weights=planned_models.weights_inputs(CONFIG, MODEL),
    output:
        predictions=f"{RUN}/classification/perceptron_{{variant}}/predictions.parquet",
        history=f"{RUN}/classification/perceptron_{{variant}}/history.csv",
        network=f"{RUN}/classification/perceptron_{{variant}}/model.safetensors",
        training=f"{RUN}/classification/perceptron_{{variant}}/training.json",
    log:
        f"{RUN}/logs/perceptron/{{variant}}.log",
    benchmark:
        f"{RUN}/benchmarks/perceptron/{{variant}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=planned_models.training_memory_mb(CONFIG, MODEL, CONFIG.classification.perceptron.batch_size),
        runtime=720,
        gpu=gpus("perceptron"),
    params:
        code=code_digest("mammoflow.classification.perceptron_stage", planned_models.architecture_module(CONFIG, MODEL)),
        model=planned_models.model_arguments(CONFIG, MODEL),
        weights=lambda wildcards, input: files("--weights", input.weights),
        images=lambda wildcards, input: folders("--images", input.images),
        masks=lambda wildcards, input: folders("--masks", input.masks),
        prompts=lambda wildcards, input: files("--prompts", input.prompts),
        margin=CONFIG.prompts.default_margin_mm,
        precision=CONFIG.segmentation.precision,
        store=CONFIG.store,
        classifier=lambda wildcards, output: Path(output.predictions).parent,
    shell:
        "mammoflow perceptron --settings {input.settings} --variant {wildcards.variant}"
        " {params.model} {params.weights} {params.images} {params.masks} {params.prompts}"
        " --store {params.store:q} --default-margin-mm {params.margin} --precision {params.precision}"
        " --output {params.classifier} --threads {threads}"
        " 2>&1 | tee {log} >&2"


rule perceptron:
    input:
        expand(
            f"{RUN}/classification/{{classifier}}/predictions.parquet",
            classifier=PERCEPTRONS,
        ),
