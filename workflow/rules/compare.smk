# The default model first: later stages use its masks.
REPORTED = [MODEL, *(name for name in CONFIG.segmentation.run if name != MODEL)]

# What could not be prompted, around the reference and around the masks of models.
UNPROMPTED = shards("prompts/excluded/{shard}.parquet")
for source in CONFIG.segmentation.prompting_models():
    for fold in planned_folds.model_folders(CONFIG, source):
        UNPROMPTED += shards(f"{fold}prompts/from_{source}/excluded/{{shard}}.parquet")

# Records of the segmentation models that the run trains; their learning curves are beside them.
TRAINED = expand(
    f"{RUN}/{{fold}}segmentation_models/{{model}}/record.json", fold=FOLDS, model=planned_models.models_made(CONFIG)
)

# The cohorts of the folds, of a run that makes every fold.
COHORTS_OF_FOLDS = expand(f"{RUN}/{{fold}}cohort/study.json", fold=[fold for fold in FOLDS if fold])

# The table of stability for models on stable features.
STABILITY = [CONFIG.comparison.stability_table or CONFIG.stability_table] if CONFIG.comparison.needs_stability else []


rule compare:
    input:
        settings=settings_file("compare"),
        study=rules.cohort.output.study,
        cohort=rules.cohort.output,
        images=shards("images/{shard}/images.parquet"),
        tables=shards("images/{shard}/{table}.parquet", table=["lesions", "excluded"]),
        folds=COHORTS_OF_FOLDS,
        prompts=UNPROMPTED,
        masks=of_models(REPORTED, "masks.parquet"),
        scores=of_models(REPORTED, "scores.parquet"),
        weights=of_models(REPORTED, "weights.json"),
        empty=of_models(planned_models.prompted_models(CONFIG), "empty.parquet"),
        detections=of_models(planned_models.automatic_models(CONFIG), "detections.parquet", "maps.parquet"),
        features=rules.features.input,
        predictions=PREDICTIONS,
        class_predictions=CLASS_PREDICTIONS,
        saliency=rules.saliency.input,
        trained=TRAINED,
        curves=[str(Path(record).with_name("history.csv")) for record in TRAINED],
        stability=given(STABILITY),
        # scores and masks of other tools
        foreign=given(planned_foreign.foreign_files(CONFIG)),
    output:
        table=report(
            f"{RUN}/comparison/comparison.csv",
            caption="../report/comparison.rst",
            category="Comparison",
        ),
        segmentation=report(
            f"{RUN}/comparison/segmentation.csv",
            caption="../report/segmentation.rst",
            category="Segmentation",
        ),
        exclusions=report(
            f"{RUN}/comparison/exclusions.csv",
            caption="../report/exclusions.rst",
            category="Cohort",
        ),
        tables=[
            report(
                f"{RUN}/comparison/{table}.csv",
                caption="../report/tables.rst",
                category="Tables",
                labels={"table": table},
            )
            for table in [
                "comparison_train",
                "comparison_validation",
                "comparison_common_lesions",
                *(["comparison_by_fold"] if planned_folds.has_folds(CONFIG) else []),
                *(["classes", "class_confusion", "class_differences"] if OF_CLASSES else []),
                "comparison_by_level",
                "predictions_by_level",
                "auc_tests",
                "decision_tests",
                "operating_points",
                "thresholds",
                "calibration",
                "reliability",
                "decision_curve",
                "reclassification",
                "fusion",
                "confusion",
                "subgroups",
                "segmentation_choices",
                "segmentation_heads",
                "segmentation_empty",
                "tuning_methods",
                "segmentation_parameters",
                "segmentation_differences",
                "segmentation_subgroups",
                "detection",
                "froc",
                "few_labels",
                "transfer",
                "ablation",
                "losses",
                "dice_by_diameter",
                "dice_diameter_correlation",
                "features",
                "saliency",
                "birads_published",
                "predictions",
                "discordant",
                "foreign_unmatched",
            ]
        ],
        figures=report(
            directory(f"{RUN}/comparison/figures"),
            patterns=["{name}.svg"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
        flow=f"{RUN}/comparison/flow.json",
        provenance=f"{RUN}/comparison/provenance.json",
    log:
        f"{RUN}/logs/compare/compare.log",
    benchmark:
        f"{RUN}/benchmarks/compare/compare.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=grows(4000),
        runtime=grows(120),
    params:
        code=code("compare"),
        content=lambda wildcards: content_of_given([*planned_foreign.foreign_files(CONFIG), *STABILITY]),
        losses=lambda wildcards: losses(
            *rules.images.input,
            *COHORTS_OF_FOLDS,
            *UNPROMPTED,
            *of_models(REPORTED, "masks.parquet"),
            *rules.features.input,
            *rules.classify.input,
            *rules.saliency.input,
            *TRAINED,
            *STABILITY,
        ),
        cohort=lambda wildcards, input: Path(input.study).parent,
        images=lambda wildcards, input: folders("--images", input.images),
        segmentation=lambda wildcards, input: folders("--segmentation", input.masks),
        features=lambda wildcards, input: files("--features", input.features),
        predictions=lambda wildcards, input: folders("--predictions", input.predictions),
        class_predictions=lambda wildcards, input: files("--class-predictions", input.class_predictions),
        prompts=lambda wildcards, input: files("--prompts", input.prompts),
        saliency=lambda wildcards, input: folders("--saliency", input.saliency),
        trained=lambda wildcards, input: folders("--trained", input.trained),
        folds=lambda wildcards, input: files("--fold", [Path(study).parent.parent for study in input.folds]),
        comparison=lambda wildcards, output: Path(output.table).parent,
    shell:
        "mammoflow compare --settings {input.settings:q} --cohort {params.cohort:q}"
        " {params.images:q} {params.segmentation:q} {params.features:q} {params.predictions:q}"
        " {params.class_predictions:q} {params.prompts:q} {params.folds:q} {params.saliency:q}"
        " {params.trained:q}"
        " --output {params.comparison:q}"
        " 2>&1 | tee -- {log:q} >&2"
