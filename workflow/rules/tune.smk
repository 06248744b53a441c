# Tunes promptable models on the training patients. `tune` makes all that the configuration names; a study that segments
# with one of them makes it on the way.


wildcard_constraints:
    tuned="|".join(map(re.escape, CONFIG.tuning.models)) or "no model",


rule tune_model:
    input:
        settings=settings_file("tune"),
        images=shards("images/{shard}/images.parquet"),
        lesions=shards("images/{shard}/lesions.parquet"),
        weights=lambda wildcards: weights(tuned_from(wildcards)),
    output:
        weights=f"{RUN}/tuning/{{tuned}}/model.safetensors",
        record=f"{RUN}/tuning/{{tuned}}/record.json",
        history=f"{RUN}/tuning/{{tuned}}/history.csv",
    log:
        f"{RUN}/logs/tune/{{tuned}}.log",
    benchmark:
        f"{RUN}/benchmarks/tune/{{tuned}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards: memory(tuned_from(wildcards)),
        runtime=1440,
        gpu=gpus("tune"),
    params:
        code=code_digest("mammoflow.segmentation.tuning.stage"),
        method=lambda wildcards: CONFIG.tuning.models[wildcards.tuned].method,
        model=lambda wildcards: model_argument(CONFIG, tuned_from(wildcards)),
        weights=lambda wildcards, input: files("--weights", input.weights),
        images=lambda wildcards, input: folders("--images", input.images),
        margin=CONFIG.prompts.default_margin_mm,
        precision=CONFIG.segmentation.precision,
        store=CONFIG.store,
        network=lambda wildcards, output: Path(output.weights).parent,
    shell:
        "mammoflow tune --settings {input.settings} --method {params.method} --model {params.model}"
        " {params.weights} {params.images} --store {params.store:q}"
        " --default-margin-mm {params.margin} --precision {params.precision} --output {params.network} --threads {threads}"
        " 2>&1 | tee {log} >&2"


rule tune:
    input:
        expand(
            f"{RUN}/tuning/{{tuned}}/model.safetensors",
            tuned=list(CONFIG.tuning.models),
        ),
