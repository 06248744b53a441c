"""A methods paragraph for a paper, from the settings and the tables of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mammoflow.config.foreign import CHOSEN_THRESHOLD, FOREIGN, NO_THRESHOLD
from mammoflow.evaluation.candidates import BIRADS, CLASSIFIER, FEATURE_MODEL, FLOOR, FUSION, display_name
from mammoflow.evaluation.segmentation_summary import ELLIPSE, OTHER_TOOL
from mammoflow.report.content import Row, division
from mammoflow.tables.detections import NO_PROMPT
from mammoflow.tables.images import IN_PIXELS
from mammoflow.tables.study import LEAKING, PHANTOM, applies_only, has_every_fold, is_leaking, is_phantom

MOST_NAMES = 6
YOUDEN = "youden"
ON_VALIDATION = (YOUDEN, "sensitivity", "specificity")
"""Rules that choose a threshold on validation."""


def methods_paragraphs(
    study: Row,
    counts: Sequence[Row],
    headline: Sequence[Row],
    segmentation: Sequence[Row],
    provenance: Row,
    titles: Mapping[str, str],
    origins: Sequence[str | None] = (),
) -> list[tuple[str, str]]:
    """Return headings and paragraphs; every number is that of this run.

    Parameters
    ----------
    study
        Content of `study.json`.
    counts
        Of `content.split_counts`; the last row is about all lesions.
    headline, segmentation
        Rows of `comparison.csv` and `segmentation.csv`.
    provenance
        Content of `provenance.json`.
    titles
        Titles of classifiers by name.
    origins
        `spacing_origin` of each image, which says whether its lengths are in pixels.
    """
    settings = provenance["comparison"]
    found = [
        ("Cohort", _cohort(study, counts)),
        ("Segmentation", _segmentation(segmentation, titles, origins)),
        ("Models", _models(headline, provenance, titles)),
        ("Reference and reader", _reader(headline, settings)),
        ("Statistics", _statistics(study, headline, provenance, titles)),
        ("Software", _software(provenance)),
    ]
    return [(heading, text) for heading, text in found if text]


def _cohort(study: Row, counts: Sequence[Row]) -> str:
    total = counts[-1]
    kind = "phantom " if is_phantom(study) else ""
    parts = [
        f"{row['lesions']} {kind}lesions ({row['malignant']} malignant) of {row['patients']} patients in the "
        f"{row['split']} split"
        for row in counts[:-1]
    ]
    text = (
        f"The cohort is {study['name']}: {total['lesions']} {kind}lesions ({total['malignant']} malignant"
        + (f", {total['unlabelled']} without a label" if total["unlabelled"] else "")
        + f") on {total['images']} images of {total['patients']} patients, {division(study)}"
        + (f" ({'; '.join(parts)})." if parts else ".")
    )
    if is_leaking(study):
        text += f" The split is a {LEAKING}: views of one patient are on both sides, so every figure is too high."
    if is_phantom(study):
        text += f" The study is a {PHANTOM}: its images are synthetic and no evidence about patients."
    return text


def _segmentation(rows: Sequence[Row], titles: Mapping[str, str], origins: Sequence[str | None]) -> str:
    scored = [row for row in rows if row["split"] == "test" and row["selection"] == "chosen"]
    tested = [row for row in scored if row["model"] != ELLIPSE]
    if not tested:
        return ""
    others = list(dict.fromkeys(str(row["model"]) for row in tested if OTHER_TOOL in str(row.get("mark") or "")))
    models = [model for model in dict.fromkeys(str(row["model"]) for row in tested) if model not in others]
    lesions = max(int(row["lesions"]) for row in tested)
    margins = sorted({row["margin_mm"] for row in tested if row["margin_mm"] is not None})
    unit, in_units = _units(origins)
    widths = _listed([f"{margin:g}" for margin in margins]) if margins else ""
    prompts = f" with boxes enlarged by {widths} {unit} on each side" if margins else ""
    automatic = {str(row["model"]) for row in tested if row.get("prompts") == NO_PROMPT}
    prompted = [display_name(model, titles) for model in models if model not in automatic]
    unprompted = [display_name(model, titles) for model in models if model in automatic]
    by = [f"by {_listed(prompted)}{prompts}"] if prompted else []
    by += [f"by {_listed(unprompted)} without prompts"] if unprompted else []
    own = f"Lesions were segmented {' and '.join(by)}. "
    foreign = f"Masks of {_listed(others)} were made outside this study. " if others else ""
    floor = " The floor is the ellipse inscribed in the box." if len(scored) > len(tested) else ""
    return (
        f"{own if models else ''}{foreign}Masks were compared with the reference by Dice, IoU and "
        f"distances {in_units} on {lesions} test lesions; a missed lesion counts as 0.{floor}"
    )


def _units(origins: Sequence[str | None]) -> tuple[str, str]:
    """Return the unit of margins, and that of distances in words, from the origins of the images' spacings."""
    in_pixels = [origin == IN_PIXELS for origin in origins]
    if not any(in_pixels):
        return "mm", "in millimetres"
    if all(in_pixels):
        return "pixels", "in pixels"
    return "mm", "in millimetres (in pixels where an image has no pixel spacing)"


def _models(headline: Sequence[Row], provenance: Row, titles: Mapping[str, str]) -> str:
    said = []
    others = _other_tools(headline)
    headline = [row if row not in others else {**row, "family": FOREIGN} for row in headline]
    for family, words in (
        (CLASSIFIER, ("classifier", "classifiers")),
        (FOREIGN, ("score of another tool", "scores of other tools")),
        (FUSION, ("combination with the reader", "combinations with the reader")),
        (FEATURE_MODEL, ("model on features", "models on features")),
        (FLOOR, ("floor", "floors")),
    ):
        names = [display_name(str(row["model"]), titles) for row in headline if row["family"] == family]
        if names:
            shown = (
                _listed(names)
                if len(names) <= MOST_NAMES
                else f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} more"
            )
            said.append(f"{len(names)} {words[len(names) > 1]} ({shown})")
    training = provenance.get("training", {})
    seeds = {len(dict(record.get("seeds") or {})) for record in training.values()} - {0}
    text = f"The comparison has {_listed(said)}." if said else ""
    if seeds:
        many = f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
        text += (
            f" Each classifier was trained with {many} seed{'' if seeds == {1} else 's'}; with several, figures are "
            "means over seeds."
        )
    return text


def _reader(headline: Sequence[Row], settings: Mapping[str, Any]) -> str:
    birads = headline[0]
    if not birads["n"]:
        return "The study gives no BI-RADS assessment, so no model is compared with a radiologist."
    zero = {"as_written": "counted as not above 3", "positive": "counted as positive", "left_out": "left out"}
    return (
        f"The reader is the BI-RADS assessment of the study, on {birads['n']} test lesions ({birads['n_malignant']} "
        f"malignant) of {birads['patients']} patients. Assessments above 3 count as malignant; BI-RADS 0 is "
        f"{zero[settings['birads_zero']]}. Predictive values are those of the share of malignant lesions in the test "
        "split."
    )


def _statistics(study: Row, headline: Sequence[Row], provenance: Row, titles: Mapping[str, str]) -> str:
    settings = provenance["comparison"]
    confidence = f"{100 * settings['confidence']:g} %"
    margin = settings.get("non_inferiority_margin")
    assessed = bool(headline[0]["n"])
    pair = [settings["primary"][key] for key in ("model", "against")] if settings.get("primary") else []
    tested = assessed or (len(pair) > 0 and BIRADS not in pair)
    return (
        f"Intervals have {confidence} coverage over patients: AUC by DeLong for clustered data (Obuchowski 1997) on "
        "the logit scale, proportions by Wilson with the effective number of lesions, means by "
        f"{settings['bootstrap']:,} bootstrap resamples of patients. AUCs on the same lesions were compared with the "
        f"paired, patient-clustered DeLong test. {_hypotheses(pair, assessed, titles)}No interval is given for fewer "
        f"than {settings['fewest_patients']} patients of a class"
        + (f". Non-inferiority was tested with a margin of {margin:g} in AUC" if tested and margin is not None else "")
        + f". {_thresholds(study, headline, provenance.get('training', {}), titles)}"
    )


def _hypotheses(primary: Sequence[str], assessed: bool, titles: Mapping[str, str]) -> str:
    """Return the sentences on the primary comparison, of no or two models, and on the tests against BI-RADS."""
    named = " against ".join(display_name(model, titles) for model in primary)
    if not named:
        said = "No primary comparison was named. "
    elif assessed or BIRADS not in primary:
        said = f"The primary comparison, {named}, was named beforehand; its p value is not adjusted. "
    else:
        said = f"The primary comparison, {named}, was named beforehand; without an assessment it has no test. "
    models = "all other models" if BIRADS in primary else "all models"
    return said + (f"P values of {models} against BI-RADS are adjusted by Holm's method. " if assessed else "")


def _thresholds(study: Row, headline: Sequence[Row], training: Mapping[str, Row], titles: Mapping[str, str]) -> str:
    if applies_only(study):
        exceptions = threshold_exceptions(headline, {}, titles)
        return f"Thresholds are those of the run that trained the models{exceptions}; nothing was chosen on this study."
    where = "the validation split of each fold" if has_every_fold(study) else "the validation split"
    exceptions = threshold_exceptions(headline, training, titles, (YOUDEN,))
    return f"Thresholds were chosen on {where} by the Youden index{exceptions}. Nothing was chosen on the test split."


def threshold_exceptions(
    headline: Sequence[Row],
    training: Mapping[str, Row],
    titles: Mapping[str, str],
    usual: Sequence[str] = ON_VALIDATION,
) -> str:
    """Return the end of a sentence on thresholds that names those of another origin; "" where there are none.

    Parameters
    ----------
    headline
        Rows of `comparison.csv`; other tools may have a threshold of their own, or none.
    training
        Training records of classifiers by name, whose settings name the rule of the threshold. Those without a row,
        such as of later folds, are not named.
    titles
        Titles of classifiers by name.
    usual
        Rules that are no exception.
    """
    models = {str(row["model"]) for row in headline}
    known = {name: record for name, record in training.items() if name in models}
    rules = {name: (record.get("settings") or {}).get("threshold") or {} for name, record in known.items()}
    found = [
        f"{display_name(name, titles)} ({rule['method']}{f' of {value:g}' if (value := rule.get('value')) else ''})"
        for name, rule in rules.items()
        if rule.get("method", YOUDEN) not in usual
    ]
    for row in _other_tools(headline):
        if CHOSEN_THRESHOLD not in row["note"]:
            origin = "no threshold" if NO_THRESHOLD in row["note"] else "threshold as given"
            found.append(f"{display_name(str(row['model']), titles)} ({origin})")
    return f", except those of {_listed(found)}" if found else ""


def _other_tools(headline: Sequence[Row]) -> list[Row]:
    """Return the rows of other tools' scores."""
    return [row for row in headline if FOREIGN in str(row.get("note") or "") and row["family"] == CLASSIFIER]


def _software(provenance: Row) -> str:
    packages = provenance["packages"]
    shown = [f"{name} {packages[name]}" for name in ("mammoflow", "torch", "scikit-learn") if packages.get(name)]
    return f"Software: {_listed([*shown, 'Python ' + provenance['python']])}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
