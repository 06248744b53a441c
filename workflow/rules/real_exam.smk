# Eight real films, segmented at their published boxes by two models that need no download; a target of its own.


rule real_exam:
    input:
        settings=settings_file("real_exam"),
    output:
        page=f"{RUN}/real_exam/real_exam.html",
        table=f"{RUN}/real_exam/real_exam.csv",
    log:
        f"{RUN}/logs/real_exam/real_exam.log",
    benchmark:
        f"{RUN}/benchmarks/real_exam/real_exam.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=grows(4000),
        runtime=grows(30),
        gpu=gpus("real_exam"),
    params:
        code=code("real_exam"),
        folder=lambda wildcards, output: Path(output.page).parent,
    shell:
        "mammoflow real-exam --settings {input.settings:q} --output {params.folder:q} --threads {threads:q}"
        " 2>&1 | tee -- {log:q} >&2"
