# From a mammography study to lesion masks, features, malignancy predictions and tables against BI-RADS.
#
# snakemake --cores 2                     the embedded phantom study
# snakemake --cores 2 segment             up to one stage; every stage below is a target
# snakemake --cores 2 --configfile FILE   config.yaml with FILE laid over it, such as a preset

from snakemake.utils import min_version

min_version("9.19")


# A process that Snakemake starts for a job reads the configuration that the main process wrote for it.
if workflow.is_main_process:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/settings.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/prefetch.smk"
include: "workflow/rules/phantom.smk"
include: "workflow/rules/cohort.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/train_segmenter.smk"
include: "workflow/rules/segment.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/classifiers.smk"
include: "workflow/rules/saliency.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/robustness.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/birads.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/dicom.smk"
include: "workflow/rules/real_exam.smk"
include: "workflow/rules/record.smk"


rule all:
    default_target: True
    input:
        rules.audit.output,
        rules.compare.output,
        rules.report.output,
