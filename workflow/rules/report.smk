rule report:
    input:
        settings=settings_file("report"),
        cohort=rules.cohort.output.study,
        table=rules.compare.output.table,
        comparison=rules.compare.output,
        audit=rules.audit.output.section,
        images=rules.images.input,
        lesions=shards("images/{shard}/lesions.parquet"),
        masks=of_models(REPORTED, "masks.parquet"),
        scores=of_models(REPORTED, "scores.parquet"),
        saliency=rules.saliency.input,
        # scores on degraded images, where report.robustness asks for them
        robustness=lambda wildcards: reported_robustness(),
        # the comparison of two finished runs
        protocols=given(planned_foreign.protocol_files(CONFIG)),
    output:
        page=report(
            f"{RUN}/report/report.html",
            caption="../report/report.rst",
            category="Report",
        ),
        tables=report(
            directory(f"{RUN}/report/tables"),
            patterns=["{name}.tex"],
            caption="../report/tables.rst",
            category="Tables as LaTeX",
            labels={"table": "{name}"},
        ),
    log:
        f"{RUN}/logs/report/report.log",
    benchmark:
        f"{RUN}/benchmarks/report/report.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=grows(3000),
        runtime=grows(30),
    params:
        code=code("report"),
        content=lambda wildcards: content_of_given(planned_foreign.protocol_files(CONFIG)),
        birads=lambda wildcards: content_of_birads(),
        losses=lambda wildcards: losses(
            rules.compare.output.table,
            rules.audit.output.section,
            *rules.images.input,
            *rules.saliency.input,
            *reported_robustness(),
        ),
        cohort=lambda wildcards, input: Path(input.cohort).parent,
        comparison=lambda wildcards, input: Path(input.table).parent,
        audit=lambda wildcards, input: Path(input.audit).parent,
        images=lambda wildcards, input: folders("--images", input.images),
        masks=lambda wildcards, input: folders("--masks", input.masks),
        saliency=lambda wildcards, input: folders("--saliency", input.saliency),
        robustness=lambda wildcards, input: folders("--robustness", input.robustness[:1]),
    shell:
        "mammoflow report --settings {input.settings:q} --cohort {params.cohort:q} --comparison {params.comparison:q}"
        " --audit {params.audit:q} {params.images:q} {params.masks:q} {params.saliency:q} {params.robustness:q}"
        " --output {output.page:q} 2>&1 | tee -- {log:q} >&2"
