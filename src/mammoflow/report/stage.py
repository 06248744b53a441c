"""The report stage: one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mammoflow.config.evaluation import ReportSettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.birads import ZERO_NOTES
from mammoflow.evaluation.candidates import classifier_titles, display_name
from mammoflow.evaluation.detection import FALSE_POSITIVES_PER_IMAGE
from mammoflow.evaluation.segmentation_tables import FEEDS
from mammoflow.report.absences import absences, without_millimetres
from mammoflow.report.birads import birads_rows
from mammoflow.report.classes import class_values
from mammoflow.report.content import (
    Tables,
    by_family,
    division,
    names_of_inputs,
    read_provenance,
    score_the_same_lesions,
    seen_sentences,
    settings_files,
    split_counts,
    training_rows,
    weights_rows,
)
from mammoflow.report.exports import row_marks, table_file, write_tables
from mammoflow.report.figures import drawn, read_figures
from mammoflow.report.first_screen import discordant_rows, finding, marks_of_study, run_facts
from mammoflow.report.further_tables import further_values
from mammoflow.report.gallery import read_gallery
from mammoflow.report.methods import methods_paragraphs, threshold_exceptions
from mammoflow.report.overlays import by_model, overlays
from mammoflow.report.page import render
from mammoflow.report.pictures import PictureTables
from mammoflow.report.rings import read_rings
from mammoflow.report.robustness import robustness_section
from mammoflow.report.saliency import METHODS, gallery_maps, map_pictures
from mammoflow.report.sections import sections_of
from mammoflow.report.segmentation import prompt_words, segmentation_values
from mammoflow.report.verdicts import against_reader, verdicts
from mammoflow.report.wording import in_words_of, speaks_of_birads
from mammoflow.storage.files import read_json, write_text
from mammoflow.tables.study import LEAKING, applies_only, has_every_fold

SHOWN_FEATURES = 8


def write_report(
    settings: ReportSettings,
    cohort: Path,
    comparison: Path,
    images: list[Path],
    masks: list[Path],
    output: Path,
    audit: Path | None = None,
    saliency: Sequence[Path] = (),
    robustness: Path | None = None,
) -> None:
    """Write the report of a run: one HTML file that loads nothing else, and a folder `tables` beside it.

    Parameters
    ----------
    settings
        Title, number of overlays and of cases, size of pictures.
    cohort
        Folder of the cohort stage.
    comparison
        Folder of the comparison stage.
    images
        Folders of the image stage, one for each shard.
    masks
        Folders of the segmentation, one for each model and shard, those of the default model first.
    output
        The HTML file.
    audit
        Folder of the audit, whose findings become a section; without it the report has none.
    saliency
        Folders of the saliency maps, one for each classifier that has them, and fold.
    robustness
        Folder of the robustness, which becomes a section; without it the report has none.

    Raises
    ------
    StudyError
        If a table, a figure or an image is missing or damaged.
    """
    study = read_json(cohort / "study.json")
    tables = Tables(comparison)
    headline = tables.rows("comparison")
    if not headline:
        raise StudyError(f"{comparison / 'comparison.csv'} has no rows; run the comparison again")
    pictures = PictureTables.read(images, masks)
    model = pictures.default_model
    provenance = read_provenance(comparison)
    trained = provenance.get("training", {})
    titles = classifier_titles(trained)
    seen = seen_sentences(headline, tables.rows("segmentation"))
    by_fold = tables.rows("comparison_by_fold") if has_every_fold(study) else []
    common = tables.rows("comparison_common_lesions")
    leaking = any(LEAKING in str(row.get("note") or "") for row in headline)
    first = finding(
        headline,
        tables.rows("comparison_validation"),
        tables.rows("auc_tests"),
        provenance["comparison"],
        titles,
        marks_of_study(bool(study.get("phantom", False)), leaking),
    )
    values: dict[str, Any] = {
        "finding": first,
        "run_facts": run_facts(comparison.parent, provenance),
        "verdicts": verdicts(tables.rows("auc_tests"), provenance["comparison"], titles, bool(headline[0]["n"])),
        "tests": against_reader(tables.rows("auc_tests")),
        "auc_tests": tables.rows("auc_tests"),
        "birads_table": birads_rows(comparison.parent),
        "discordant": discordant_rows(tables.rows("discordant"), first.model),
        "title": settings.title,
        "titles": titles,
        "study": study,
        "phantom": bool(study.get("phantom", False)),
        "partly_phantom": any(not source.get("phantom", True) for source in study.get("sources", [])),
        "leaking": leaking,
        "seen": seen,
        "division": division(study),
        "counts": split_counts(cohort),
        "absences": [
            *absences(study, split_counts(cohort), headline, provenance),
            *without_millimetres(pictures.films["spacing_origin"].tolist()),
        ],
        "chosen_elsewhere": applies_only(study),
        "birads": headline[0],
        "birads_belongs": speaks_of_birads(settings.modality, bool(headline[0]["n"])),
        "zero_note": ZERO_NOTES[provenance["comparison"]["birads_zero"]],
        "headline": by_family(headline, titles),
        "same_rows": score_the_same_lesions(headline, common),
        "common": by_family(common, titles),
        "other_splits": [
            (split, by_family(rows, titles))
            for split in (() if by_fold or applies_only(study) else ("validation", "train"))
            if (rows := tables.rows(f"comparison_{split}"))
        ],
        "by_fold": [
            (f"{fold:g}", by_family([row for row in by_fold if row["fold"] == fold], titles))
            for fold in dict.fromkeys(row["fold"] for row in by_fold)
        ],
        "methods": methods_paragraphs(
            study,
            split_counts(cohort),
            headline,
            tables.rows("segmentation"),
            provenance,
            titles,
            pictures.films["spacing_origin"].tolist(),
        ),
        "threshold_exceptions": threshold_exceptions(headline, {} if applies_only(study) else trained, titles),
        "published": tables.rows("birads_published"),
        "confusion": tables.rows("confusion"),
        "default_model": model,
        **segmentation_values(tables, model),
        **further_values(settings, tables, headline),
        "detection": tables.rows("detection"),
        "few_labels": tables.rows("few_labels"),
        "transfer": tables.rows("transfer"),
        "ablation": tables.rows("ablation"),
        "losses": tables.rows("losses"),
        **class_values(tables, provenance["comparison"], titles),
        "detection_levels": [f"{level:g}" for level in FALSE_POSITIVES_PER_IMAGE],
        "overlays": by_model(overlays(pictures, settings.overlays)),
        "saliency": tables.rows("saliency"),
        "maps": map_pictures(images, saliency, settings.saliency),
        "robustness": robustness_section(robustness, titles, provenance["comparison"]["confidence"]),
        "features": shown_features(tables.rows("features")),
        "feature_count": len(tables.rows("features")),
        "audit": audit_section(audit),
        "flow": read_json(comparison / "flow.json")["steps"],
        "figures": read_figures(comparison / "figures", bool(study.get("phantom", False)), leaking, seen, robustness),
        "provenance": provenance,
        "training": training_rows(provenance),
        "weights": weights_rows(provenance),
        "settings_files": settings_files(comparison.parent / "settings", provenance["inputs"]),
    }
    families = names_of_inputs(provenance["inputs"], "features")
    values |= case_values(settings, pictures, comparison, titles, families)
    numbers = [case.number for case in values["gallery"].cases] if values["gallery"] else []
    values["case_maps"] = gallery_maps(images, saliency if settings.saliency else (), numbers)
    values["sections"] = sections_of(values)
    filters: dict[str, Callable[..., object]] = {
        "shown": partial(display_name, titles=values["titles"]),
        "prompt": prompt_words,
        "method": lambda name: METHODS.get(name, name),
        "feed": lambda name: FEEDS.get(name, ""),
        "csv_file": partial(table_file, comparison),
        "marks_of": row_marks,
        "drawn": drawn,
    }
    write_tables(comparison, output.parent / "tables", titles)
    page = render(values, "page.html.j2", filters)
    write_text(output, in_words_of(settings.modality, bool(headline[0]["n"]), page))


def case_values(
    settings: ReportSettings,
    pictures: PictureTables,
    comparison: Path,
    titles: Mapping[str, str],
    families: Sequence[str],
) -> dict[str, Any]:
    """Return the values of the gallery of cases.

    Parameters
    ----------
    settings
        Number of cases and size of their pictures.
    pictures
        Tables of images and masks.
    comparison
        Folder of the comparison.
    titles
        Titles of classifiers by name.
    families
        Feature families of the run.
    """
    rings = read_rings(comparison.parent / "settings", families)
    predictions = comparison / "predictions.csv"
    gallery = read_gallery(pictures, predictions, settings.gallery_px, settings.gallery, rings, titles)
    return {"gallery": gallery, "rings": rings}


def audit_section(audit: Path | None) -> Markup | None:
    """Return the section that the audit wrote for the report, None where there is no audit.

    Raises
    ------
    StudyError
        If the audit's folder does not hold it.
    """
    if audit is None:
        return None
    path = audit / "section.html"
    try:
        return Markup(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}); run the audit again") from error


def shown_features(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the similarity features, and the features of each family with the strongest separation."""
    defined = [row for row in rows if row["auc"] is not None]
    similarity = [row for row in rows if "similarity" in row["feature"]]
    shown = list(similarity)
    for family in dict.fromkeys(row["family"] for row in rows):
        others = [row for row in defined if row["family"] == family and row not in similarity]
        shown += sorted(others, key=lambda row: -abs(row["auc"] - 0.5))[:SHOWN_FEATURES]
    return shown
