# Saliency maps of the classifiers that `saliency.run` names; nothing is trained, so switching them on trains nothing
# again.

EXPLAINED = CONFIG.saliency.classifiers(CONFIG.classification)


rule saliency_maps:
    input:
        unpack(lambda wildcards: planned_classifiers.saliency_inputs(CONFIG, wildcards.classifier, wildcards.fold)),
        settings=settings_file("saliency/{classifier}"),
        decided_anew=DECIDED_ANEW,
        predictions=f"{RUN}/{{fold}}classification/{{classifier}}/predictions.parquet",
        training=f"{RUN}/{{fold}}classification/{{classifier}}/training.json",
        seeds=f"{RUN}/{{fold}}classification/{{classifier}}/seeds",
    output:
        table=f"{RUN}/{{fold}}saliency/{{classifier}}/saliency.parquet",
        pictures=directory(f"{RUN}/{{fold}}saliency/{{classifier}}/pictures"),
    log:
        f"{RUN}/logs/{{fold}}saliency/{{classifier}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}saliency/{{classifier}}.tsv"
    wildcard_constraints:
        classifier=planning.any_of(EXPLAINED),
    conda:
        "../../envs/torch.yaml"
    threads: reserved_threads("saliency", "classifier")
    resources:
        mem_mb=lambda wildcards, attempt: attempt * planned_classifiers.job_memory_mb(CONFIG, wildcards.classifier),
        runtime=grows(120),
        gpu=lambda wildcards: gpus(f"saliency/{wildcards.classifier}"),
    params:
        threads=threads_of_a_training("saliency", "classifier"),
        code=lambda wildcards: code(f"saliency/{wildcards.classifier}"),
        losses=lambda wildcards: losses(
            f"{RUN}/{wildcards.fold}classification/{wildcards.classifier}/predictions.parquet",
            *(
                file
                for files in planned_classifiers.saliency_inputs(CONFIG, wildcards.classifier, wildcards.fold).values()
                for file in files
            ),
        ),
        classifier=lambda wildcards, input: Path(input.predictions).parent,
        images=lambda wildcards, input: folders("--images", input.images),
        masks=lambda wildcards, input: folders("--masks", input.masks),
        maps=lambda wildcards, output: Path(output.table).parent,
    shell:
        "mammoflow saliency --settings {input.settings:q} --classifier {params.classifier:q}"
        " {params.images:q} {params.masks:q} --output {params.maps:q} --threads {params.threads:q}"
        " 2>&1 | tee -- {log:q} >&2"


rule saliency:
    input:
        expand(f"{RUN}/{{fold}}saliency/{{classifier}}/saliency.parquet", fold=FOLDS, classifier=EXPLAINED),
