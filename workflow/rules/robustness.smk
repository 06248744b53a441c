# A target of its own: scores of segmentation models and trained classifiers on degraded images of test lesions.


rule robustness:
    input:
        unpack(lambda wildcards: robustness_inputs()),
        settings=settings_file("robustness"),
        decided_anew=DECIDED_ANEW,
        study=f"{RUN}/cohort/study.json",
    output:
        table=f"{RUN}/robustness/robustness.csv",
        figure=multiext(f"{RUN}/robustness/curves", ".png", ".svg", ".csv"),
    log:
        f"{RUN}/logs/robustness/robustness.log",
    benchmark:
        f"{RUN}/benchmarks/robustness/robustness.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: attempt * planned_robustness.robustness_memory_mb(CONFIG),
        runtime=grows(1440),
        gpu=lambda wildcards: planned_robustness.robustness_gpus(CONFIG),
    params:
        code=code("robustness"),
        losses=lambda wildcards: losses_of(robustness_inputs()),
        content=lambda wildcards: content_of_weights(robustness_inputs()),
        cohort=lambda wildcards, input: Path(input.study).parent,
        images=lambda wildcards, input: folders("--images", input.images),
        models=lambda wildcards: planned_robustness.robustness_arguments(CONFIG),
    shell:
        "mammoflow robustness --settings {input.settings:q} --cohort {params.cohort:q} {params.images:q}"
        " {params.models:q} --output {output.table:q} --threads {threads:q} 2>&1 | tee -- {log:q} >&2"
