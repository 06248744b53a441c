checkpoint cohort:
    input:
        settings=settings_file("cohort"),
        tables=given(planning.study_tables(CONFIG)),
        manifest=rules.phantom.output if planning.has_phantom(CONFIG) else [],
    output:
        images=f"{RUN}/cohort/images.parquet",
        lesions=f"{RUN}/cohort/lesions.parquet",
        excluded=f"{RUN}/cohort/excluded.parquet",
        rows=f"{RUN}/cohort/rows.parquet",
        study=f"{RUN}/cohort/study.json",
        folds=f"{RUN}/cohort/folds.parquet" if planned_folds.has_folds(CONFIG) else [],
        classes=f"{RUN}/cohort/classes.parquet" if CONFIG.cohort.classes else [],
        shards=shards("cohort/shards/{shard}/{table}.parquet", table=["images", "lesions"]),
        files=shards("cohort/shards/{shard}/files.json"),
    log:
        f"{RUN}/logs/cohort/cohort.log",
    benchmark:
        f"{RUN}/benchmarks/cohort/cohort.tsv"
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=grows(4000),
        runtime=grows(60),
    params:
        code=code("cohort"),
        study=lambda wildcards, input: STUDY,  # where it is does not count, only what it holds
        content=lambda wildcards: content_of_cohort(),
        losses=lambda wildcards: losses(*(rules.phantom.output if planning.has_phantom(CONFIG) else [])),
        classes=lambda wildcards, input: CONFIG.classification.validation_classes,  # a check alone: no reason to rerun
        sides=lambda wildcards, input: CONFIG.classification.class_sides,  # and so is this
        cohort=lambda wildcards, output: Path(output.study).parent,
    shell:
        "mammoflow cohort --settings {input.settings:q} --study {params.study:q}"
        " --validation-classes {params.classes:q} --class-sides {params.sides:q} --output {params.cohort:q}"
        " 2>&1 | tee -- {log:q} >&2"
