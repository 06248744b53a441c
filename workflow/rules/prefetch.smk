# This separate target fetches the published weights that the configuration names. It is for the login node of a cluster
# whose other nodes have no network. It has neither output nor benchmark, so it runs each time it is called, and
# Snakemake never removes a weights file.


rule prefetch:
    input:
        settings=settings_file("prefetch"),
    log:
        f"{RUN}/logs/prefetch/prefetch.log",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        record=f"{RUN}/prefetch/weights.json",
    shell:
        "mammoflow prefetch --settings {input.settings:q} --output {params.record:q} 2>&1 | tee -- {log:q} >&2"
