rule images_shard:
    input:
        settings=settings_file("images"),
        images=f"{RUN}/cohort/shards/{{shard}}/images.parquet",
        lesions=f"{RUN}/cohort/shards/{{shard}}/lesions.parquet",
    output:
        images=f"{RUN}/images/{{shard}}/images.parquet",
        lesions=f"{RUN}/images/{{shard}}/lesions.parquet",
        excluded=f"{RUN}/images/{{shard}}/excluded.parquet",
        files=f"{RUN}/images/{{shard}}/files.json",
    log:
        f"{RUN}/logs/images/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/images/{{shard}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: threads_of_a_shard()
    resources:
        # each thread is a process with a film; one of 4808 x 3024 took 253 MiB (docs/benchmarks.md)
        mem_mb=lambda wildcards, threads, attempt: attempt * max(3000, 1000 + 300 * threads),
        runtime=grows(120),
    params:
        code=code("images"),
        content=lambda wildcards: content_of_shard(wildcards.shard),
        # If a cohort job was interrupted, this input restarts it; it is evaluated again after the cohort was made.
        cohort_is_made=lambda wildcards: Path(f"{RUN}/cohort/shards/{wildcards.shard}/images.parquet").exists(),
        study=lambda wildcards, input: STUDY,  # where it is does not count, only what it holds
        cohort=lambda wildcards, input: Path(input.images).parent,
        shard=lambda wildcards, output: Path(output.images).parent,
    shell:
        "mammoflow images --settings {input.settings:q} --study {params.study:q} --cohort-shard {params.cohort:q}"
        " --output {params.shard:q} --threads {threads:q}"
        " 2>&1 | tee -- {log:q} >&2"


rule images:
    input:
        shards("images/{shard}/images.parquet"),


# The tables of one fold, which point to the images above.
if planned_folds.has_folds(CONFIG):

    rule fold:
        input:
            cohort=rules.cohort.output,
            study=rules.cohort.output.study,
            images=shards("images/{shard}/images.parquet"),
            tables=shards("images/{shard}/{table}.parquet", table=["lesions", "excluded"]),
        output:
            study=f"{RUN}/fold-{{number}}/cohort/study.json",
            cohort=[f"{RUN}/fold-{{number}}/cohort/{table}.parquet" for table in ["images", "lesions", "excluded"]],
            images=[f"{RUN}/fold-{{number}}/images/{shard}/images.parquet" for shard in SHARDS],
            lesions=[f"{RUN}/fold-{{number}}/images/{shard}/lesions.parquet" for shard in SHARDS],
            excluded=[f"{RUN}/fold-{{number}}/images/{shard}/excluded.parquet" for shard in SHARDS],
        log:
            f"{RUN}/logs/fold-{{number}}/fold.log",
        benchmark:
            f"{RUN}/benchmarks/fold-{{number}}/fold.tsv"
        wildcard_constraints:
            number=r"\d+",
        conda:
            "../../envs/images.yaml"
        threads: 1
        resources:
            mem_mb=grows(2000),
            runtime=grows(10),
        params:
            code=code("fold"),
            losses=lambda wildcards: losses(*shards("images/{shard}/images.parquet")),
            cohort=lambda wildcards, input: Path(input.study).parent,
            images=lambda wildcards, input: folders("--images", input.images),
            fold=lambda wildcards, output: Path(output.study).parent.parent,
        shell:
            "mammoflow fold --number {wildcards.number:q} --cohort {params.cohort:q} {params.images:q}"
            " --output {params.fold:q} 2>&1 | tee -- {log:q} >&2"
