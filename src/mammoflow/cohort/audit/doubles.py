"""What is in a study more than once: films, pixels, patients on two sides, several lesions and labels."""

from __future__ import annotations

import pandas as pd

from mammoflow.cohort.audit.study_tables import MALIGNANT, NORMAL, UNKNOWN, StudyTables, label_of
from mammoflow.cohort.step_counts import names_lesion

SHOWN_DIGEST = 16


def films_stored_twice(tables: StudyTables) -> pd.DataFrame:
    """Return one row per film that the case tables name more than once, under different files.

    Returns
    -------
    DataFrame
        `image_id`, `patient_id`, `files`, their `folders`, the `lesion_types` and `official_splits` of its rows, its
        `labels`, and `content`: whether the files hold the same pixels, as far as the reader compared them.
    """
    stored = tables.rows[tables.rows["image_name"].notna()]
    repeated = stored.groupby("image_id")["image_name"].nunique()
    stored = stored[stored["image_id"].isin(repeated.index[repeated > 1])]
    images = tables.images.set_index("image_id")
    contents = images["copy_content"] if "copy_content" in images.columns else pd.Series(dtype=object)
    films = []
    for image, rows in stored.groupby("image_id"):
        content = contents.get(image)
        names = sorted(set(rows["image_name"]))
        films.append(
            {
                "image_id": image,
                "patient_id": rows["patient_id"].iloc[0],
                "files": len(names),
                "folders": "; ".join(dict.fromkeys(name.split("/")[0] for name in names)),
                "lesion_types": _joined(rows["lesion_type"]),
                "official_splits": _joined(rows["official_split"]),
                "labels": _joined(rows["label"]),
                "content": content if isinstance(content, str) and content else "not compared",
            }
        )
    columns = ["image_id", "patient_id", "files", "folders", "lesion_types", "official_splits", "labels", "content"]
    return pd.DataFrame(films, columns=columns)


def identical_pixels(tables: StudyTables) -> pd.DataFrame:
    """Return one row per image whose canonical pixels are under another image's id too.

    Returns
    -------
    DataFrame
        `digest` (its first characters), `image_id`, `patient_id`, `split`, the image's `label`, and of its group
        `images`, `several_patients`, `several_splits` (in any fold, where the run makes every fold) and
        `label_conflict`.
    """
    columns = ["digest", "image_id", "patient_id", "split", "label"]
    more = ["images", "several_patients", "several_splits", "label_conflict"]
    same = tables.canonical[tables.canonical["digest"].duplicated(keep=False)]
    if same.empty:
        return pd.DataFrame(columns=[*columns, *more])
    labels = tables.usable.groupby("image_id")["malignant"].agg(label_of)
    unlabelled = ~same["labelled"] if "labelled" in same.columns else pd.Series(False, index=same.index)
    label = same["image_id"].map(labels).fillna(pd.Series(NORMAL, same.index).mask(unlabelled, UNKNOWN))
    same = same.assign(label=label).sort_values(["digest", "image_id"])
    groups = same.groupby("digest")
    same = same.assign(
        images=groups["image_id"].transform("size"),
        several_patients=groups["patient_id"].transform("nunique") > 1,
        several_splits=_on_several_sides(same, tables.folds),
        label_conflict=groups["label"].transform("nunique") > 1,
    )
    same["digest"] = same["digest"].str[:SHOWN_DIGEST]
    return same[[*columns, *more]].reset_index(drop=True)


def patients_on_both_sides(tables: StudyTables) -> pd.DataFrame:
    """Return one row per patient with rows in both the official training and the official test side.

    Returns
    -------
    DataFrame
        `patient_id`, `train_rows`, `test_rows`, `train_types`, `test_types`, and the `split` that this run gave it
        ("" where nothing of the patient can be used).
    """
    official = tables.rows[tables.rows["official_split"].isin(["train", "test"])]
    sides = official.groupby("patient_id")["official_split"].nunique()
    given = tables.images.groupby("patient_id")["split"].agg(_joined)
    patients = []
    for patient, rows in official[official["patient_id"].isin(sides.index[sides > 1])].groupby("patient_id"):
        train, test = (rows[rows["official_split"] == side] for side in ("train", "test"))
        patients.append(
            {
                "patient_id": patient,
                "train_rows": len(train),
                "test_rows": len(test),
                "train_types": _joined(train["lesion_type"]),
                "test_types": _joined(test["lesion_type"]),
                "split": given.get(patient, ""),
            }
        )
    columns = ["patient_id", "train_rows", "test_rows", "train_types", "test_types", "split"]
    return pd.DataFrame(patients, columns=columns)


def several_lesions(rows: pd.DataFrame, key: str = "film") -> pd.DataFrame:
    """Return one row per film with more than one lesion.

    Parameters
    ----------
    rows
        The table of rows.
    key
        "film": a file as the case tables name it, so that a film that is stored twice is two; "image_id": patient,
        side and view, so that it is one.

    Returns
    -------
    DataFrame
        `film` or `image_id`, `patient_id`, `lesions`, `malignant`, `benign`, and `mixed`: malignant and benign ones.
    """
    lesions = rows[names_lesion(rows)].drop_duplicates("lesion_id")
    lesions = lesions.assign(film=lesions["image_name"].where(lesions["image_name"].notna(), lesions["image_id"]))
    counted = lesions.groupby(key).agg(
        patient_id=("patient_id", "first"),
        lesions=("lesion_id", "size"),
        malignant=("label", lambda labels: int((labels == MALIGNANT).sum())),
        benign=("label", lambda labels: int((labels == "benign").sum())),
    )
    counted = counted[counted["lesions"] > 1].reset_index()
    return counted.assign(mixed=(counted["malignant"] > 0) & (counted["benign"] > 0))


def conflicting_findings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per finding that is malignant on one view and benign on another.

    Returns
    -------
    DataFrame
        `finding_id`, `patient_id`, `lesions`, and `labels`: lesion and label of each.
    """
    labelled = rows[rows["label"].isin(["malignant", "benign"]) & rows["finding_id"].notna()]
    labels = labelled.groupby("finding_id")["label"].nunique()
    labelled = labelled[labelled["finding_id"].isin(labels.index[labels > 1])]
    conflicts = []
    for finding, group in labelled.groupby("finding_id"):
        pairs = zip(group["lesion_id"], group["label"], strict=True)
        conflicts.append(
            {
                "finding_id": finding,
                "patient_id": group["patient_id"].iloc[0],
                "lesions": len(group),
                "labels": "; ".join(f"{lesion}: {label}" for lesion, label in pairs),
            }
        )
    return pd.DataFrame(conflicts, columns=["finding_id", "patient_id", "lesions", "labels"])


def patients_on_two_sides_of_the_split(tables: StudyTables) -> pd.DataFrame:
    """Return the patients that this run's own split puts on more than one side; `patient_id`, `splits`."""
    sides = tables.images.groupby("patient_id")["split"].agg(_joined)
    shared = sides[sides.str.contains("; ", regex=False)]
    return shared.rename("splits").rename_axis("patient_id").reset_index()


def _on_several_sides(images: pd.DataFrame, folds: pd.DataFrame | None) -> pd.Series:
    """Tell of each image whether those of its digest are on several sides; with folds, on those of any fold."""
    if folds is None:
        return images.groupby("digest")["split"].transform("nunique") > 1
    sides = folds.pivot(index="patient_id", columns="fold", values="split").reindex(images["patient_id"])
    return (sides.set_axis(images.index).groupby(images["digest"]).transform("nunique") > 1).any(axis=1)


def _joined(values: pd.Series) -> str:
    return "; ".join(sorted({str(value) for value in values.dropna() if str(value)}))
