# Trains segmentation models on the training patients. `tune` makes all that the configuration trains; a study that
# segments with one of them makes it before.


rule train_segmenter:
    input:
        settings=settings_file("segmentation_models/{trained}"),
        decided_anew=DECIDED_ANEW,
        images=shards("{fold}images/{shard}/images.parquet"),
        lesions=shards("{fold}images/{shard}/lesions.parquet"),
        further=lambda wildcards: given(further_images(wildcards.trained)),
        weights=lambda wildcards: given(planned_models.start_weights(CONFIG, wildcards.trained, wildcards.fold)),
        labels=lambda wildcards: given(planned_models.label_weights(CONFIG, wildcards.trained)),
        encoder=lambda wildcards: given(planned_models.encoder_weights(CONFIG, wildcards.trained)),
        lesion_model=lambda wildcards: given(planned_models.lesion_weights(CONFIG, wildcards.trained, wildcards.fold)),
    output:
        weights=f"{RUN}/{{fold}}segmentation_models/{{trained}}/model.safetensors",
        record=f"{RUN}/{{fold}}segmentation_models/{{trained}}/record.json",
        history=f"{RUN}/{{fold}}segmentation_models/{{trained}}/history.csv",
    log:
        f"{RUN}/logs/{{fold}}train_segmenter/{{trained}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}train_segmenter/{{trained}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: reserved_threads("segmentation_models", "trained")
    resources:
        mem_mb=lambda wildcards, attempt: attempt * planned_models.recipe_memory_mb(CONFIG, wildcards.trained),
        runtime=grows(1440),
        gpu=lambda wildcards: gpus(f"segmentation_models/{wildcards.trained}"),
    params:
        threads=threads_of_a_training("segmentation_models", "trained"),
        code=lambda wildcards: code(f"segmentation_models/{wildcards.trained}"),
        losses=lambda wildcards: losses(
            *shards(f"{wildcards.fold}images/{{shard}}/images.parquet"),
            *planned_models.training_weights(CONFIG, wildcards.trained, wildcards.fold),
        ),
        content=lambda wildcards: content_of_given(
            [
                *more_images.further_tables(CONFIG, wildcards.trained),
                *planned_models.training_weights(CONFIG, wildcards.trained, wildcards.fold),
            ]
        ),
        model=lambda wildcards: planned_models.training_arguments(CONFIG, wildcards.trained),
        weights=lambda wildcards, input: files("--weights", input.weights),
        lesion_model=lambda wildcards, input: files("--lesion-weights", input.lesion_model),
        images=lambda wildcards, input: folders("--images", [*input.images, *input.further]),
        margin=CONFIG.prompts.default_margin_mm,
        encoder=planned_models.encoder_arguments(CONFIG),
        store=lambda wildcards: CONFIG.store,
        network=lambda wildcards, output: Path(output.weights).parent,
    shell:
        "mammoflow train-segmenter --settings {input.settings:q} {params.model:q} {params.weights:q}"
        " {params.lesion_model:q} {params.images:q}"
        " --store {params.store:q} --default-margin-mm {params.margin:q} {params.encoder:q}"
        " --output {params.network:q} --threads {params.threads:q}"
        " 2>&1 | tee -- {log:q} >&2"


rule tune:
    input:
        target(
            expand(
                f"{RUN}/{{fold}}segmentation_models/{{trained}}/model.safetensors",
                fold=FOLDS,
                trained=CONFIG.segmentation.trained_models(),
            ),
            "tune",
            "segmentation.models with the key train",
            "add a model to train, such as {small_tuned: {train: {recipe: tune, from: small}}}, or lay a preset such as"
            " workflow/presets/tune-small.yaml over the configuration",
        ),
