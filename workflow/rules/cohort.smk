rule cohort:
    input:
        settings=settings_file("cohort"),
        tables=study_tables(),
        manifest=rules.phantom.output if PHANTOM else [],
    output:
        images=f"{RUN}/cohort/images.parquet",
        lesions=f"{RUN}/cohort/lesions.parquet",
        excluded=f"{RUN}/cohort/excluded.parquet",
        rows=f"{RUN}/cohort/rows.parquet",
        study=f"{RUN}/cohort/study.json",
        shards=shards("cohort/shards/{shard}/{table}.parquet", table=["images", "lesions"]),
    log:
        f"{RUN}/logs/cohort/cohort.log",
    benchmark:
        f"{RUN}/benchmarks/cohort/cohort.tsv"
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code_digest("mammoflow.cohort.stage", *readers()),
        study=lambda wildcards: STUDY,
        content=lambda wildcards: study_content(),
        cohort=lambda wildcards, output: Path(output.study).parent,
    shell:
        "mammoflow cohort --settings {input.settings} --study {params.study:q} --output {params.cohort}"
        " 2>&1 | tee {log} >&2"
