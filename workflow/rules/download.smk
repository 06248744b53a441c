# Brings CBIS-DDSM, or the part that the configuration asks for, to this machine; a target of its own, to be run where there
# is a network. It has neither output nor benchmark, so it runs each time that it is asked for, and Snakemake never removes
# a study.


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
