# A search is an entry of classification.searches or segmentation.searches: trials of a classifier, or of a segmentation
# model that the run trains, within the training patients. Each is one job, which continues with the trials that an
# earlier one has finished. They are no part of `all`.


rule search_classifier:
    input:
        unpack(
            lambda wildcards: with_given_weights(
                planned_searches.search_inputs(CONFIG, wildcards.search, wildcards.fold)
            )
        ),
        settings=settings_file("searches/{search}"),
        decided_anew=DECIDED_ANEW,
    output:
        trials=f"{RUN}/{{fold}}search/{{search}}/trials.csv",
        best=f"{RUN}/{{fold}}search/{{search}}/best.yaml",
        record=f"{RUN}/{{fold}}search/{{search}}/search.json",
        figure=multiext(f"{RUN}/{{fold}}search/{{search}}/trials", ".png", ".svg"),
    log:
        f"{RUN}/logs/{{fold}}search/{{search}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}search/{{search}}.tsv"
    wildcard_constraints:
        search=planning.any_of(CONFIG.classification.searches),
    conda:
        "../../envs/torch.yaml"
    threads: reserved_threads("searches", "search")
    resources:
        mem_mb=lambda wildcards, attempt: attempt * planned_searches.search_memory_mb(CONFIG, wildcards.search),
        runtime=grows(2880),
        gpu=lambda wildcards: gpus(f"searches/{wildcards.search}"),
    params:
        threads=threads_of_a_training("searches", "search"),
        code=lambda wildcards: code(f"searches/{wildcards.search}"),
        losses=lambda wildcards: losses_of(planned_searches.search_inputs(CONFIG, wildcards.search, wildcards.fold)),
        content=lambda wildcards: content_of_weights(
            planned_searches.search_inputs(CONFIG, wildcards.search, wildcards.fold)
        ),
        images=lambda wildcards, input: folders("--images", input.images),
        masks=lambda wildcards, input: folders("--masks", input.masks),
        scores=lambda wildcards, input: files("--scores", input.scores),
        prompts=lambda wildcards, input: files("--prompts", input.prompts),
        features=lambda wildcards, input: files("--features", input.features),
        model=lambda wildcards: planned_searches.search_model_options(CONFIG, wildcards.search),
        weights=lambda wildcards, input: files("--weights", input.model_weights),
        network_weights=lambda wildcards, input: files("--network-weights", input.weights),
        search=lambda wildcards, output: Path(output.trials).parent,
    shell:
        "mammoflow search --settings {input.settings:q} --name {wildcards.search:q}"
        " {params.images:q} {params.masks:q} {params.scores:q} {params.prompts:q} {params.features:q}"
        " {params.model:q} {params.weights:q} {params.network_weights:q} --output {params.search:q}"
        " --threads {params.threads:q} 2>&1 | tee -- {log:q} >&2"


rule search_segmenter:
    input:
        settings=settings_file("segmentation_searches/{search}"),
        decided_anew=DECIDED_ANEW,
        images=shards("{fold}images/{shard}/images.parquet"),
        lesions=shards("{fold}images/{shard}/lesions.parquet"),
        further=lambda wildcards: given(further_images(searched_model(wildcards))),
        weights=lambda wildcards: given(planned_models.start_weights(CONFIG, searched_model(wildcards), wildcards.fold)),
        labels=lambda wildcards: given(planned_models.label_weights(CONFIG, searched_model(wildcards))),
        encoder=lambda wildcards: given(planned_models.encoder_weights(CONFIG, searched_model(wildcards))),
        lesion_model=lambda wildcards: given(
            planned_models.lesion_weights(CONFIG, searched_model(wildcards), wildcards.fold)
        ),
    output:
        trials=f"{RUN}/{{fold}}search/{{search}}/trials.csv",
        best=f"{RUN}/{{fold}}search/{{search}}/best.yaml",
        record=f"{RUN}/{{fold}}search/{{search}}/search.json",
        figure=multiext(f"{RUN}/{{fold}}search/{{search}}/trials", ".png", ".svg"),
    log:
        f"{RUN}/logs/{{fold}}search/{{search}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}search/{{search}}.tsv"
    wildcard_constraints:
        search=planning.any_of(CONFIG.segmentation.searches),
    conda:
        "../../envs/torch.yaml"
    threads: reserved_threads("segmentation_searches", "search")
    resources:
        mem_mb=lambda wildcards, attempt: attempt * planned_searches.model_search_memory_mb(CONFIG, wildcards.search),
        runtime=grows(2880),
        gpu=lambda wildcards: gpus(f"segmentation_searches/{wildcards.search}"),
    params:
        threads=threads_of_a_training("segmentation_searches", "search"),
        code=lambda wildcards: code(f"segmentation_searches/{wildcards.search}"),
        losses=lambda wildcards: losses(
            *shards(f"{wildcards.fold}images/{{shard}}/images.parquet"),
            *planned_models.training_weights(CONFIG, searched_model(wildcards), wildcards.fold),
        ),
        content=lambda wildcards: content_of_given(
            [
                *more_images.further_tables(CONFIG, searched_model(wildcards)),
                *planned_models.training_weights(CONFIG, searched_model(wildcards), wildcards.fold),
            ]
        ),
        model=lambda wildcards: planned_models.training_arguments(CONFIG, searched_model(wildcards)),
        weights=lambda wildcards, input: files("--weights", input.weights),
        lesion_model=lambda wildcards, input: files("--lesion-weights", input.lesion_model),
        images=lambda wildcards, input: folders("--images", [*input.images, *input.further]),
        margin=CONFIG.prompts.default_margin_mm,
        encoder=planned_models.encoder_arguments(CONFIG),
        store=lambda wildcards: CONFIG.store,
        search=lambda wildcards, output: Path(output.trials).parent,
    shell:
        "mammoflow search-segmenter --settings {input.settings:q} --name {wildcards.search:q} {params.model:q}"
        " {params.weights:q} {params.lesion_model:q} {params.images:q}"
        " --store {params.store:q} --default-margin-mm {params.margin:q} {params.encoder:q}"
        " --output {params.search:q} --threads {params.threads:q} 2>&1 | tee -- {log:q} >&2"


rule search:
    input:
        target(
            expand(
                f"{RUN}/{{fold}}search/{{search}}/trials.csv",
                fold=FOLDS,
                search=[*CONFIG.classification.searches, *CONFIG.segmentation.searches],
            ),
            "search",
            "classification.searches or segmentation.searches",
            "add a search, such as {rates: {classifier: context_crop, space: {dropout: [0.0, 0.2, 0.5]}}}; see"
            " docs/search.md",
        ),
