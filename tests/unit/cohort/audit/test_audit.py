"""The audit on tables made by hand, where every answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from pandera.pandas import DataFrameSchema

from mammoflow.cohort.audit.audit import Audit, audit_study
from mammoflow.cohort.audit.counts import assessment_by_pathology, count_groups
from mammoflow.cohort.audit.study_tables import StudyTables
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS, ROWS
from mammoflow.tables.files import validate_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS


def row(patient: str, view: str, number: int, label: str | None, **values: Any) -> dict[str, Any]:
    image = f"{patient}_LEFT_{view}"
    return {
        "patient_id": patient,
        "image_id": image,
        "lesion_id": f"{image}_mass_{number}",
        "finding_id": f"{patient}_LEFT_mass_{number}",
        "source": "made up",
        "laterality": "L",
        "view": view,
        "lesion_type": "mass",
        "label": label,
        "pathology": None if label is None else label.upper(),
        "birads": 4,
        "density": 2,
        "official_split": "train",
        "image_name": f"Mass-Training_{image}/1/2/000000.dcm",
    } | values


# P1: two lesions on a film, one of them malignant there and benign on the other view; on both official sides.
# P2: a film stored twice. P3 and P4: the same pixels, other labels, other sides. P5: a row without a label.
ROWS_READ = [
    row("P1", "CC", 1, "malignant"),
    row("P1", "CC", 2, "benign", birads=2),
    row("P1", "MLO", 1, "benign", birads=0, official_split="test"),
    row("P2", "CC", 1, "benign"),
    row("P2", "CC", 2, "malignant", image_name="Calc-Training_P2_LEFT_CC/1/2/000000.dcm", birads=1),
    row("P3", "CC", 1, "malignant", birads=5, density=None),
    row("P4", "CC", 1, "benign", birads=None),
    row("P5", "CC", 1, None),
]
SPLIT = {"P1": "test", "P2": "train", "P3": "train", "P4": "test"}
DIGEST = {"P3": "d" * 64, "P4": "d" * 64}


def required(schema: DataFrameSchema) -> list[str]:
    return [name for name, column in schema.columns.items() if column.required]


def study(prepared: bool = True, step_lesions: int = 7, **changed: Any) -> StudyTables:
    rows = pd.DataFrame(ROWS_READ)
    used = rows[rows["label"].notna()].assign(
        malignant=(rows["label"] == "malignant").astype("Int64"), split=rows["patient_id"].map(SPLIT), shard=0
    )
    lesions = used.reindex(columns=list(LESIONS.columns)).assign(laterality="L", official_split="train")
    films = used.drop_duplicates("image_id").reset_index(drop=True)
    images = films.reindex(columns=list(IMAGES.columns)).assign(official_split="train")
    images["image_path"] = films["image_name"]
    images["copy_content"] = ["" if patient != "P2" else "different pixels" for patient in films["patient_id"]]
    canonical = images.reindex(columns=required(CANONICAL_IMAGES)).assign(
        film_spacing_mm=[0.05, 0.05, 0.0435, 0.042, 0.05],
        row_spacing_mm=0.1,
        column_spacing_mm=0.1,
        spacing_origin=["default", "default", "table", "imager", "default"],
        image_file="a",
        breast_file="b",
        digest=films["patient_id"].map(DIGEST).fillna(films["image_id"]),
        flag_laterality_conflict=[True, False, False, False, False],
        flag_for_processing=False,
        flags=["", "late; two labels", "", "", ""],
    )
    usable = lesions.reindex(columns=required(CANONICAL_LESIONS)).assign(
        y0=0.0, x0=0.0, y1=1.0, x1=1.0, patch_file="p", patch_breast_file="p", patch_spacing_mm=0.1,
        patch_y0=0.0, patch_x0=0.0,
        flag_outside_breast=[True, True, False, False, False, False, False],
        flag_box_clipped=[False, True, True, False, False, False, False], flag_mask_tiny=False,
    )  # fmt: skip
    excluded = pd.DataFrame(
        [
            [
                "cohort",
                "lesion",
                "P5",
                "P5_LEFT_CC",
                "P5_LEFT_CC_mass_1",
                "",
                "malignancy is unknown",
                "pathology is None",
            ]
        ],
        columns=list(EXCLUDED.columns),
    )
    recorded = [
        {"step": "rows", "lesions": 8, "images": 6, "patients": 5, "excluded": {}},
        {"step": "malignancy known", "lesions": step_lesions, "images": 5, "patients": 4,
         "excluded": {"malignancy is unknown": 1}},
    ]  # fmt: skip
    values: dict[str, Any] = {
        "study": {"name": "made up", "reader": "table", "phantom": False, "flow": recorded, "counts": {"rows": 8}},
        "rows": validate_table(rows, ROWS, "rows"),
        "images": validate_table(images, IMAGES, "images"),
        "lesions": validate_table(lesions, LESIONS, "lesions"),
        "canonical": validate_table(canonical, CANONICAL_IMAGES, "canonical"),
        "usable": validate_table(usable, CANONICAL_LESIONS, "usable"),
        "excluded": validate_table(excluded, EXCLUDED, "excluded"),
        "prepared": prepared,
    }
    if not prepared:
        values |= {"canonical": values["canonical"].iloc[:0], "usable": values["lesions"]}
    return StudyTables(**values | changed)


@pytest.fixture(scope="module")
def audit() -> Audit:
    return audit_study(study())


def counts_of(audit: Audit) -> dict[str, int | None]:
    return {finding.key: finding.count for finding in audit.findings}


def test_every_question_has_its_answer(audit: Audit) -> None:
    assert counts_of(audit) == {
        "patients_in_several_splits": 0,
        "patients_in_both_official_splits": 1,
        "similar_patients": 0,
        "films_stored_twice": 1,
        "copies_that_differ": 1,
        "identical_pixels": 2,
        "identical_pixels_across_splits": 2,
        "identical_pixels_with_label_conflict": 2,
        "images_with_several_lesions": 1,
        "images_with_mixed_labels": 1,
        "conflicting_findings": 1,
        "birads_zero": 1,
        "malignant_below_birads_three": 1,
        "default_spacing": 3,
        "flagged_images": 2,
        "flagged_lesions": 3,
        "lost_without_reason": 0,
    }
    states = {finding.key: finding.state for finding in audit.findings}
    problems = {key for key, state in states.items() if state == "problem"}
    assert problems == {
        "copies_that_differ",
        "identical_pixels",
        "identical_pixels_across_splits",
        "identical_pixels_with_label_conflict",
    }


def test_a_film_stored_twice_has_its_lesions_on_two_files_and_on_one_image(audit: Audit) -> None:
    # P2's two rows stand on two files, so by file only P1's film has several lesions; by image P2's has, too.
    assert audit.tables["several_lesions"]["patient_id"].tolist() == ["P1"]
    meaning = next(finding for finding in audit.findings if finding.key == "images_with_several_lesions").meaning
    assert "once: 2, 2 of them mixed" in meaning
    twice = audit.tables["films_stored_twice"].iloc[0]
    assert (twice["image_id"], twice["files"], twice["content"]) == ("P2_LEFT_CC", 2, "different pixels")


def test_assessment_crossed_with_pathology(audit: Audit) -> None:
    crossed = audit.tables["birads_by_pathology"].set_index("birads")
    assert crossed.columns.tolist() == ["MALIGNANT", "BENIGN", "not given", "all", "malignant_share"]
    assert crossed.index.tolist() == ["0", "1", "2", "4", "5", "not given", "all"]
    assert crossed.loc["4", ["MALIGNANT", "BENIGN", "not given", "all"]].tolist() == [1, 1, 1, 3]
    assert crossed.loc["4", "malignant_share"] == pytest.approx(0.5)  # the row without a label has no part in it
    assert crossed.loc["all", ["MALIGNANT", "BENIGN", "all"]].tolist() == [3, 4, 8]
    assert crossed.loc["all", "malignant_share"] == pytest.approx(3 / 7)


def test_counts_by_group_and_split(audit: Audit) -> None:
    counts = audit.tables["counts"].set_index(["grouping", "value"])
    everything = counts.loc[("all", "all")]
    assert (everything["rows"], everything["rows_malignant"], everything["usable"]) == (8, 3, 7)
    assert (everything["images"], everything["patients"]) == (5, 4)
    assert (everything["train"], everything["train_malignant"]) == (3, 2)
    assert (everything["validation"], everything["test"], everything["test_malignant"]) == (0, 4, 1)
    assert counts.loc[("density", "not given"), "usable"] == 1
    assert counts.loc[("label", "not given"), "rows"] == 1
    for _, group in counts.drop("all", level="grouping").groupby("grouping"):
        assert group["rows"].sum() == 8
        assert group["usable"].sum() == 7


def test_free_text_in_place_of_pathology_is_counted_by_label() -> None:
    labels = ["malignant", "benign", None] * 7
    rows = pd.DataFrame([row(f"P{place}", "CC", 1, label) for place, label in enumerate(labels)])
    rows["pathology"] = [f"report of patient {place}" for place in range(21)]
    rows = validate_table(rows, ROWS, "rows")
    crossed = assessment_by_pathology(rows).set_index("birads")
    assert crossed.loc["all", ["malignant", "benign", "unknown", "all"]].tolist() == [7, 7, 7, 21]
    assert "report of patient 1" in assessment_by_pathology(rows.head(20)).columns
    groups = count_groups(replace(study(), rows=rows))
    assert "label" in set(groups["grouping"])
    assert not groups["value"].str.contains("report").any()


def test_spacing_and_flags(audit: Audit) -> None:
    spacing = audit.tables["spacing"].set_index("origin")
    assert spacing["images"].to_dict() == {"default": 3, "imager": 1, "table": 1}
    assert spacing.loc["default", ["least_mm", "median_mm", "largest_mm"]].tolist() == [0.05, 0.05, 0.05]
    assert spacing["share"].sum() == pytest.approx(1)
    flagged = audit.tables["flagged_images"]
    assert set(zip(flagged["image_id"], flagged["flag"], strict=True)) == {
        ("P1_LEFT_CC", "laterality conflict"),
        ("P1_LEFT_MLO", "late"),
        ("P1_LEFT_MLO", "two labels"),
    }
    lesions = audit.tables["flagged_lesions"]
    assert lesions[["lesion_id", "flag"]].values.tolist() == [
        ["P1_LEFT_CC_mass_2", "box clipped"],
        ["P1_LEFT_MLO_mass_1", "box clipped"],
        ["P1_LEFT_CC_mass_1", "outside breast"],
        ["P1_LEFT_CC_mass_2", "outside breast"],
    ]
    assert audit.tables["lesion_flags"].values.tolist() == [["box clipped", 2, 1], ["outside breast", 2, 1]]
    meaning = next(finding.meaning for finding in audit.findings if finding.key == "flagged_lesions")
    assert meaning == "box clipped: 2; outside breast: 2"


def test_the_flow_adds_up_and_names_what_is_gone() -> None:
    flow = audit_study(study()).flow
    assert [step.lesions for step in flow.steps] == [8, 7, 7]
    assert flow.steps[1].excluded == {"malignancy is unknown": 1}
    assert sum(counts["lesions"] for counts in flow.splits.values()) == 7
    lost = audit_study(study(usable=study().usable.iloc[:5])).flow
    assert lost.unexplained() == 2
    assert lost.steps[-1].excluded == {"lost without a reason": 2}


def test_before_the_images_are_prepared_nothing_is_made_up() -> None:
    audit = audit_study(study(prepared=False))
    later = {finding.key for finding in audit.findings if finding.state == "not looked at"}
    assert later == {"identical_pixels", "default_spacing", "flagged_images", "flagged_lesions"}
    assert audit.tables["identical_pixels"].empty
    assert audit.tables["spacing"]["images"].sum() == 5
    assert [step.lesions for step in audit.flow.steps] == [8, 7]


def test_a_leak_of_the_split_is_a_problem() -> None:
    images = study().images
    images.loc[images["image_id"] == "P1_LEFT_MLO", "split"] = "train"
    found = next(f for f in audit_study(study(images=images)).findings if f.key == "patients_in_several_splits")
    assert (found.count, found.state) == (1, "problem")


@pytest.mark.parametrize(("sides", "count"), [(["test", "train"], 2), (["test", "test"], 0)])
def test_twins_on_two_sides_of_a_fold_are_a_problem_though_every_patient_is_test(sides: list[str], count: int) -> None:
    folds = pd.DataFrame(
        [
            {"patient_id": patient, "fold": fold, "split": split}
            for fold, (of_p3, of_p4) in enumerate([("train", "train"), sides])
            for patient, split in {"P1": "train", "P2": "train", "P3": of_p3, "P4": of_p4}.items()
        ]
    )
    tables = study()
    audit = audit_study(replace(tables, canonical=tables.canonical.assign(split="test"), folds=folds))
    assert counts_of(audit)["identical_pixels_across_splits"] == count


def test_nothing_odd_is_in_order() -> None:
    tables = study()
    quiet = tables.canonical.assign(digest=tables.canonical["image_id"], flag_laterality_conflict=False, flags="")
    audit = audit_study(study(canonical=quiet, images=tables.images.assign(copy_content="identical pixels")))
    assert not [finding for finding in audit.findings if finding.state == "problem"]
    without = quiet.drop(columns=["flag_laterality_conflict", "flag_for_processing", "flags"])
    flags = next(f for f in audit_study(study(canonical=without)).findings if f.key == "flagged_images")
    assert (flags.count, flags.state) == (None, "not looked at")
