# This separate target downloads CBIS-DDSM, or the part that the configuration names. Run it on a machine with a
# network. It has neither output nor benchmark, so it runs each time it is called, and Snakemake never removes a study.


rule download:
    input:
        settings=settings_file("download"),
    log:
        f"{RUN}/logs/download/download.log",
    localrule: True
    conda:
        "../../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=2880,
    params:
        study=lambda wildcards: CONFIG.download.folder,
    shell:
        "mammoflow download --settings {input.settings:q} --output {params.study:q} 2>&1 | tee -- {log:q} >&2"
