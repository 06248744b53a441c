# From case tables alone: no image and no model has to be there.
rule birads:
    input:
        settings=settings_file("birads"),
        tables=given(planning.study_tables(CONFIG)),
        manifest=rules.phantom.output if planning.has_phantom(CONFIG) else [],
    output:
        table=report(
            f"{RUN}/birads/birads.csv",
            caption="../report/birads.rst",
            category="Comparison",
        ),
        tables=f"{RUN}/birads/birads.parquet",
        record=f"{RUN}/birads/birads.json",
    log:
        f"{RUN}/logs/birads/birads.log",
    benchmark:
        f"{RUN}/benchmarks/birads/birads.tsv"
    conda:
        "../../envs/images.yaml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        code=code("birads"),
        study=lambda wildcards, input: STUDY,  # where it is does not count, only what it holds
        content=lambda wildcards: content_of_rows(),
        losses=lambda wildcards: losses(*(rules.phantom.output if planning.has_phantom(CONFIG) else [])),
        birads=lambda wildcards, output: Path(output.table).parent,
    shell:
        "mammoflow birads --settings {input.settings:q} --study {params.study:q} --output {params.birads:q}"
        " 2>&1 | tee -- {log:q} >&2"
