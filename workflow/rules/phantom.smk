rule phantom:
    input:
        settings=settings_file("phantom"),
    output:
        manifest=f"{RUN}/study/manifest.csv",
        spacing=f"{RUN}/study/film_spacing.csv",
        tables=expand(
            f"{RUN}/study/{{type}}_case_description_{{split}}_set.csv",
            type=["mass", "calc"],
            split=["train", "test"],
        ),
    log:
        f"{RUN}/logs/phantom/phantom.log",
    benchmark:
        f"{RUN}/benchmarks/phantom/phantom.tsv"
    conda:
        "../../envs/images.yaml"
    threads: 4
    resources:
        mem_mb=grows(4000),
        runtime=grows(30),
    params:
        code=code("phantom"),
        study=lambda wildcards, output: Path(output.manifest).parent,
    shell:
        "mammoflow phantom --settings {input.settings:q} --output {params.study:q} --threads {threads:q}"
        " 2>&1 | tee -- {log:q} >&2"
