# Eight real films, segmented at their published boxes by published models; a target of its own. The two models of the
# default need no download.


rule real_exam:
    input:
        settings=settings_file("real_exam"),
        weights=lambda wildcards: given(exam_weights()),
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
        mem_mb=grows(planned_exam.exam_memory_mb(CONFIG)),
        runtime=grows(30),
        gpu=gpus("real_exam"),
    params:
        code=code("real_exam"),
        content=lambda wildcards: content_of_given(exam_weights()),
        weights=lambda wildcards, input: planned_exam.exam_arguments(CONFIG),
        folder=lambda wildcards, output: Path(output.page).parent,
    shell:
        "mammoflow real-exam --settings {input.settings:q} {params.weights:q}"
        " --output {params.folder:q} --threads {threads:q}"
        " 2>&1 | tee -- {log:q} >&2"
