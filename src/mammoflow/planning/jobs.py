"""The modules behind each job of a configuration: the code digest of a job covers them and all that they import.

A stage loads a member of a family by its name, which its source does not show. So a job's modules are its stage and the
members that the configuration names for it.
"""

from __future__ import annotations

from mammoflow.config.cohort import READERS
from mammoflow.config.study import StudyConfig
from mammoflow.planning.classifiers import classifier_modules, saliency_modules
from mammoflow.planning.dicom import DICOM_STAGE
from mammoflow.planning.features import feature_modules, stability_modules
from mammoflow.planning.folds import has_folds
from mammoflow.planning.models import segment_modules, training_modules
from mammoflow.planning.real_exam import exam_modules
from mammoflow.planning.robustness import robustness_modules
from mammoflow.planning.searches import model_search_modules, search_modules


def job_modules(config: StudyConfig) -> dict[str, tuple[str, ...]]:
    """Return the modules of each job by the name of its settings file.

    Returns
    -------
    dict
        Name of the job -> dotted names for `run.provenance.code_digest`.
    """
    segmentation = config.segmentation
    readers = sorted({READERS.module(dataset.reader) for dataset in config.cohort.datasets})
    return {
        "phantom": ("mammoflow.cohort.phantom.stage",),
        "cohort": ("mammoflow.cohort.stage", *readers),
        "images": ("mammoflow.imaging.stage",),
        **({"fold": ("mammoflow.cohort.folds",)} if has_folds(config) else {}),
        "audit": ("mammoflow.report.audit_stage",),
        "prompts": ("mammoflow.segmentation.prompting.prompts",),
        **{f"segmentation_models/{name}": (*training_modules(config, name),) for name in segmentation.trained_models()},
        **{f"segmentation/{name}": (*segment_modules(config, name),) for name in segmentation.run},
        **{f"features/{family}": (*feature_modules(family),) for family in config.features.run},
        "stability": (*stability_modules(config),),
        **{f"classifiers/{name}": classifier_modules(config, name) for name in config.classification.run},
        **{
            f"saliency/{name}": saliency_modules(config, name)
            for name in config.saliency.classifiers(config.classification)
        },
        "robustness": robustness_modules(config),
        **{f"searches/{name}": search_modules(config, name) for name in config.classification.searches},
        **{f"segmentation_searches/{name}": model_search_modules(config, name) for name in segmentation.searches},
        "compare": ("mammoflow.evaluation.stage",),
        "report": ("mammoflow.report.stage",),
        "dicom": (DICOM_STAGE,),
        "real_exam": exam_modules(config),
        "birads": ("mammoflow.evaluation.birads_stage", *readers),
    }
