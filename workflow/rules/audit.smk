rule audit:
    input:
        settings=settings_file("audit"),
        study=rules.cohort.output.study,
        cohort=rules.cohort.output,
        images=shards("images/{shard}/images.parquet"),
        tables=shards("images/{shard}/{table}.parquet", table=["lesions", "excluded"]),
    output:
        page=report(
            f"{RUN}/audit/audit.html",
            caption="../report/audit.rst",
            category="Cohort",
        ),
        section=f"{RUN}/audit/section.html",
        record=f"{RUN}/audit/audit.json",
        tables=expand(
            f"{RUN}/audit/{{table}}.csv",
            table=[
                "counts",
                "birads_by_pathology",
                "films_stored_twice",
                "identical_pixels",
                "patients_in_both_official_splits",
                "similar_patients",
                "split_leaks",
                "several_lesions",
                "conflicting_findings",
                "spacing",
                "flags",
                "flagged_images",
                "lesion_flags",
                "flagged_lesions",
                "exclusion_reasons",
                "excluded",
                "flow",
            ],
        ),
    log:
        f"{RUN}/logs/audit/audit.log",
    benchmark:
        f"{RUN}/benchmarks/audit/audit.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=grows(3000),
        runtime=grows(30),
    params:
        code=code("audit"),
        losses=lambda wildcards: losses(*rules.images.input),
        cohort=lambda wildcards, input: Path(input.study).parent,
        images=lambda wildcards, input: folders("--images", input.images),
        audit=lambda wildcards, output: Path(output.page).parent,
    shell:
        "mammoflow audit --settings {input.settings:q} --cohort {params.cohort:q} {params.images:q}"
        " --output {params.audit:q} 2>&1 | tee -- {log:q} >&2"
