# A search is an entry of classification.searches: trials of a classifier within the training patients. Each is one job,
# which continues with the trials that an earlier one has finished. They are no part of `all`.


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
        figure=f"{RUN}/{{fold}}search/{{search}}/trials.png",
    log:
        f"{RUN}/logs/{{fold}}search/{{search}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}search/{{search}}.tsv"
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


rule search:
    input:
        target(
            expand(
                f"{RUN}/{{fold}}search/{{search}}/trials.csv",
                fold=FOLDS,
                search=CONFIG.classification.searches,
            ),
            "search",
            "classification.searches",
            "add a search, such as {rates: {classifier: context_crop, space: {dropout: [0.0, 0.2, 0.5]}}}; see"
            " docs/search.md",
        ),
