# DICOM Segmentations and Structured Reports of the study's lesions; a target of its own.


rule dicom_shard:
    input:
        unpack(lambda wildcards: planned_dicom.dicom_inputs(CONFIG, wildcards.shard, wildcards.fold)),
        settings=settings_file("dicom"),
        decided_anew=DECIDED_ANEW,
    output:
        f"{RUN}/{{fold}}dicom/{{shard}}/objects.parquet",
    log:
        f"{RUN}/logs/{{fold}}dicom/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{fold}}dicom/{{shard}}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(120),
    params:
        code=code("dicom"),
        losses=lambda wildcards: losses(*planned_dicom.dicom_inputs(CONFIG, wildcards.shard, wildcards.fold).values()),
        study=lambda wildcards, input: STUDY,  # where it is does not count, only what it holds
        images=lambda wildcards, input: Path(input.images).parent,
        masks=lambda wildcards, input: Path(input.masks).parent,
        classifier=lambda wildcards, input: folders("--classifier", input.get("predictions", [])),
        lesions=lambda wildcards: "test" if wildcards.fold else "all",
        objects=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "mammoflow dicom --settings {input.settings:q} --study {params.study:q} --images {params.images:q}"
        " --masks {params.masks:q} {params.classifier:q} --lesions {params.lesions:q} --output {params.objects:q}"
        " 2>&1 | tee -- {log:q} >&2"


rule dicom:
    input:
        shards("{fold}dicom/{shard}/objects.parquet", fold=planned_dicom.dicom_folds(CONFIG)),
