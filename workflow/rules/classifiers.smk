# A classifier is an entry of classification.classifiers: an input, a network and a trainer. Each is one job, which trains
# it, or applies what the run classification.from_run trained. A classifier of the classes of images (target: classes)
# writes another table of predictions.

OF_MALIGNANCY = CONFIG.classification.of_malignancy()
OF_CLASSES = CONFIG.classification.of_classes()


rule train_classifier:
    input:
        unpack(
            lambda wildcards: with_given_weights(
                planned_classifiers.classifier_inputs(CONFIG, wildcards.classifier, wildcards.fold)
            )
        ),
        settings=settings_file("classifiers/{classifier}"),
        decided_anew=DECIDED_ANEW,
    output:
        predictions=f"{RUN}/{{fold}}classification/{{classifier}}/predictions.parquet",
        history=f"{RUN}/{{fold}}classification/{{classifier}}/history.csv",
        training=f"{RUN}/{{fold}}classification/{{classifier}}/training.json",
        seeds=directory(f"{RUN}/{{fold}}classification/{{classifier}}/seeds"),
    log:
        f"{RUN}/logs/{{fold}}classify/{{classifier}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}classify/{{classifier}}.tsv"
    wildcard_constraints:
        classifier=planning.any_of(OF_MALIGNANCY),
    # The longest jobs start first, so that the short ones of the features leave no core idle at the end.
    priority: 1
    conda:
        "../../envs/torch.yaml"
    threads: reserved_threads("classifiers", "classifier")
    resources:
        mem_mb=lambda wildcards, attempt: attempt * planned_classifiers.job_memory_mb(CONFIG, wildcards.classifier),
        runtime=grows(720),
        gpu=lambda wildcards: gpus(f"classifiers/{wildcards.classifier}"),
    params:
        threads=threads_of_a_training("classifiers", "classifier"),
        code=lambda wildcards: code(f"classifiers/{wildcards.classifier}"),
        losses=lambda wildcards: losses_of(
            planned_classifiers.classifier_inputs(CONFIG, wildcards.classifier, wildcards.fold)
        ),
        content=lambda wildcards: content_of_weights(
            planned_classifiers.classifier_inputs(CONFIG, wildcards.classifier, wildcards.fold)
        ),
        images=lambda wildcards, input: folders("--images", input.images),
        masks=lambda wildcards, input: folders("--masks", input.masks),
        scores=lambda wildcards, input: files("--scores", input.scores),
        prompts=lambda wildcards, input: files("--prompts", input.prompts),
        features=lambda wildcards, input: files("--features", input.features),
        model=lambda wildcards: planned_classifiers.model_options(CONFIG, wildcards.classifier),
        weights=lambda wildcards, input: files("--weights", input.model_weights),
        network_weights=lambda wildcards, input: files("--network-weights", input.weights),
        trained=lambda wildcards: planned_from_run.trained_option(CONFIG, wildcards.classifier),
        classes=lambda wildcards, input: files("--classes", input.classes),
        classifier=lambda wildcards, output: Path(output.predictions).parent,
    shell:
        "mammoflow classify --settings {input.settings:q} --name {wildcards.classifier:q}"
        " {params.images:q} {params.masks:q} {params.scores:q} {params.prompts:q} {params.features:q}"
        " {params.model:q} {params.weights:q} {params.network_weights:q} {params.trained:q} {params.classes:q}"
        " --output {params.classifier:q} --threads {params.threads:q} 2>&1 | tee -- {log:q} >&2"


use rule train_classifier as train_class_classifier with:
    output:
        predictions=f"{RUN}/{{fold}}classification/{{classifier}}/class_predictions.parquet",
        history=f"{RUN}/{{fold}}classification/{{classifier}}/history.csv",
        training=f"{RUN}/{{fold}}classification/{{classifier}}/training.json",
        seeds=directory(f"{RUN}/{{fold}}classification/{{classifier}}/seeds"),
    wildcard_constraints:
        classifier=planning.any_of(OF_CLASSES),


PREDICTIONS = expand(
    f"{RUN}/{{fold}}classification/{{classifier}}/predictions.parquet", fold=FOLDS, classifier=OF_MALIGNANCY
)
CLASS_PREDICTIONS = expand(
    f"{RUN}/{{fold}}classification/{{classifier}}/class_predictions.parquet", fold=FOLDS, classifier=OF_CLASSES
)


rule classify:
    input:
        PREDICTIONS,
        CLASS_PREDICTIONS,
