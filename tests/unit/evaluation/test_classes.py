"""Tables of classifiers of several classes, against scikit-learn and against the tables of two classes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from mammoflow.errors import StudyError
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.class_figure import draw_class_confusion
from mammoflow.evaluation.class_scores import LARGEST_CLASS, ClassScored, read_class_predictions
from mammoflow.evaluation.class_tables import area_difference, class_tables
from mammoflow.evaluation.delong import area_difference as area_difference_of_two
from mammoflow.evaluation.delong import components
from mammoflow.tables.classes import CLASS_PREDICTIONS
from mammoflow.tables.files import write_table

NAMES = ["normal", "benign", "malignant"]
RULE = PatientBootstrap(200, 0.95, 0)
ROUNDING = 1e-12


def predictions(model: str, seed: int, names: list[str], strength: float = 1.5, images: int = 90) -> pd.DataFrame:
    """Return made-up predictions of images, two for each patient; the first third is train, the rest test."""
    generator = np.random.default_rng([seed, len(model)])
    label = np.arange(images) * 7 % 10 % len(names)
    logits = generator.normal(size=(images, len(names))) + strength * np.eye(len(names))[label]
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    number = np.arange(images)
    keys = pd.DataFrame(
        {
            "image_id": [f"I{image:03d}" for image in number],
            "patient_id": [f"P{image // 2:03d}" for image in number],
            "split": np.where(number < images // 3, "train", "test"),
            "image_class": np.array(names)[label],
        }
    )
    repeated = keys.loc[keys.index.repeat(len(names))].reset_index(drop=True)
    return repeated.assign(
        model=model, seed=seed, class_number=np.tile(np.arange(len(names)), images),
        predicted_class=names * images, probability=probability.ravel(),
    )  # fmt: skip


def read(tmp_path: Path, *tables: pd.DataFrame) -> pd.DataFrame:
    files = []
    for place, table in enumerate(tables):
        file = tmp_path / f"{place}.parquet"
        write_table(table, CLASS_PREDICTIONS, file)
        files.append(file)
    images = tables[0][["image_id", "split"]].drop_duplicates("image_id")
    return read_class_predictions(files, images)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    seeds = pd.concat([predictions("three", seed, NAMES) for seed in (0, 1)])
    return read(tmp_path_factory.mktemp("classes"), seeds, predictions("other", 0, NAMES, 0.7))


def of_test(table: pd.DataFrame, model: str) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and mean probabilities of the test images, without the code under test."""
    rows = table[(table["model"] == model) & (table["split"] == "test")]
    wide = rows.groupby(["image_id", "predicted_class"])["probability"].mean().unstack()[NAMES]
    label = rows.drop_duplicates("image_id").set_index("image_id").loc[wide.index, "image_class"].map(NAMES.index)
    return label.to_numpy(), wide.to_numpy()


def test_values_are_those_of_scikit_learn(table: pd.DataFrame) -> None:
    tables = class_tables(table, {"three": {"note": "published"}}, RULE, "phantom")
    rows = tables["classes"].set_index(["model", "class"])
    assert rows["note"].tolist() == ["phantom; published"] * 4 + ["phantom"] * 8
    for model in ("three", "other", LARGEST_CLASS):
        label, probability = of_test(table, model)
        called, everything = probability.argmax(axis=1), rows.loc[(model, "")]
        assert everything["n"] == 60
        assert everything["patients"] == 30
        assert everything["accuracy"] == pytest.approx((called == label).mean())
        assert everything["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, called))
        assert everything["f1"] == pytest.approx(f1_score(label, called, average="macro"))
        assert everything["auc"] == pytest.approx(roc_auc_score(label, probability, multi_class="ovr"))
        precision, recall, f1, n = precision_recall_fscore_support(label, called, zero_division=np.nan)
        for number, name in enumerate(NAMES):
            row, is_class = rows.loc[(model, name)], label == number
            assert row["n_class"] == n[number]
            assert row["sensitivity"] == pytest.approx(recall[number])
            assert row["precision"] == pytest.approx(precision[number], nan_ok=True)
            assert row["f1"] == pytest.approx(np.nan_to_num(f1[number]))
            assert row["specificity"] == pytest.approx((called[~is_class] != number).mean())
            assert row["auc"] == pytest.approx(roc_auc_score(is_class, probability[:, number]))
        cells = tables["class_confusion"]
        found = cells[cells["model"] == model]["n"].to_numpy().reshape(3, 3)
        assert (found == confusion_matrix(label, called)).all()
    shares = tables["class_confusion"].groupby(["model", "reference"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(np.ones(9))


def test_every_value_of_a_classifier_has_an_interval_around_it(table: pd.DataFrame) -> None:
    rows = class_tables(table, {}, RULE, "")["classes"]
    of_model = rows[rows["model"] == "three"].set_index("class")
    for name, metrics in (("", ["accuracy", "balanced_accuracy"]), ("malignant", ["sensitivity", "specificity"])):
        for metric in (*metrics, "f1", "auc"):
            value, low, high = (of_model.loc[name, f"{metric}{end}"] for end in ("", "_low", "_high"))
            assert 0 <= low <= value <= high <= 1, (name, metric)
            assert low < high
    single = PatientBootstrap(200, 0.95, 0, fewest_patients=40)
    assert class_tables(table, {}, single, "")["classes"].filter(like="_low").isna().all(axis=None)


def test_the_floor_is_the_largest_class_of_training(table: pd.DataFrame) -> None:
    train = table[(table["model"] == "other") & (table["split"] == "train")].drop_duplicates("image_id")
    largest = train["image_class"].value_counts().index[0]
    rows = class_tables(table, {}, RULE, "")["class_confusion"]
    floor = rows[rows["model"] == LARGEST_CLASS]
    assert set(floor.loc[floor["n"] > 0, "predicted"]) == {largest}


def test_images_of_one_patient_are_taken_together(table: pd.DataFrame) -> None:
    doubled = pd.concat([table, table.assign(image_id=table["image_id"] + "b")])
    once, twice = (
        class_tables(rows, {}, RULE, "")["classes"].set_index(["model", "class"]) for rows in (table, doubled)
    )
    for model_class, metric in ((("three", ""), "auc"), (("three", "benign"), "auc"), (("three", ""), "f1")):
        widths = [
            rows.loc[model_class, f"{metric}_high"] - rows.loc[model_class, f"{metric}_low"] for rows in (once, twice)
        ]
        assert widths[0] == pytest.approx(widths[1], rel=0.02)


def test_with_two_classes_the_difference_is_that_of_the_tables_of_two_classes(tmp_path: Path) -> None:
    names = ["benign", "malignant"]
    table = read(tmp_path, predictions("one", 0, names), predictions("second", 0, names, 0.5))
    one, second = (ClassScored.of(table, model) for model in ("one", "second"))
    found = area_difference(one, second)
    label = one.label.astype(float)
    ranked = [components(label, [scored.probabilities[:, 1]]) for scored in (one, second)]
    expected = area_difference_of_two(label, ranked[0], ranked[1], one.patients)
    assert found.value == pytest.approx(expected.value, abs=ROUNDING)
    # the error of two classes is enlarged by the patients of each class, this one by all patients
    assert found.error == pytest.approx(expected.error, rel=0.05)


def test_pairs_of_models_are_compared_on_the_images_of_both(table: pd.DataFrame) -> None:
    gone = (table["model"] == "other") & (table["image_id"] == "I080")
    pairs = class_tables(table.assign(probability=table["probability"].mask(gone)), {}, RULE, "")["class_differences"]
    assert pairs[["model_a", "model_b"]].to_numpy().tolist() == [
        ["three", "other"], ["three", LARGEST_CLASS], ["other", LARGEST_CLASS],
    ]  # fmt: skip
    assert pairs["n"].tolist() == [59, 60, 59]
    first = pairs.iloc[0]
    assert first["auc_difference"] > 0
    for metric in ("accuracy", "auc"):
        assert first[f"{metric}_difference_low"] < first[f"{metric}_difference"] < first[f"{metric}_difference_high"]
        assert 0 < first[f"{metric}_difference_p"] < 1


def test_a_class_without_test_images_gives_no_mean_and_says_so(table: pd.DataFrame) -> None:
    rest = table[(table["split"] == "train") | (table["image_class"] != "normal")]
    rows = class_tables(rest, {}, RULE, "")["classes"].set_index(["model", "class"])
    assert rows.loc[("three", ""), ["balanced_accuracy", "auc"]].isna().all()
    assert rows.loc[("three", ""), "note"] == "no test image of normal"
    assert rows.loc[("three", "malignant"), "auc"] > 0.5
    nothing = class_tables(table.assign(split="train"), {}, RULE, "")
    assert (nothing["classes"]["n"] == 0).all()
    assert nothing["classes"]["accuracy"].isna().all()


def test_predictions_of_another_split_are_refused(tmp_path: Path) -> None:
    table = predictions("three", 0, NAMES, images=12)
    file = tmp_path / "three.parquet"
    write_table(table, CLASS_PREDICTIONS, file)
    images = table[["image_id"]].drop_duplicates().assign(split="train")
    with pytest.raises(StudyError, match="say split 'test' for image I004"):
        read_class_predictions([file], images)
    assert read_class_predictions([], images).empty
    assert class_tables(read_class_predictions([], images), {}, RULE, "") == {}


@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        ["almost entirely fatty", "scattered fibroglandular", "heterogeneously dense", "extremely dense"],
        [f"class number {number}" for number in range(12)],
        ["normal", "Bindegewebsvermehrungsstörung", "malignant"],
    ],
)
def test_names_of_classes_do_not_cover_each_other(drawn: list[Figure], tmp_path: Path, names: list[str]) -> None:
    pairs = [(reference, predicted) for reference in names for predicted in names]
    cells = pd.DataFrame(pairs, columns=["reference", "predicted"]).assign(n=1234, share=0.3)
    both = pd.concat([cells.assign(model="first"), cells.assign(model="second")])
    draw_class_confusion(tmp_path / "class_confusion.png", both, False, {})
    for axes in drawn[0].axes:
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            boxes = [label.get_window_extent() for label in labels]
            assert not any(one.overlaps(other) for one, other in pairwise(boxes))
            assert min(min(box.x0, box.y0) for box in boxes) >= 0
        numbers = [text.get_window_extent() for text in axes.texts]
        assert not any(one.overlaps(other) for one, other in pairwise(numbers))
        assert axes.get_position().width * drawn[0].get_figwidth() > 0.35 * len(names)


def test_the_matrices_are_drawn_with_their_data(tmp_path: Path, table: pd.DataFrame) -> None:
    confusion = class_tables(table, {}, RULE, "")["class_confusion"]
    draw_class_confusion(tmp_path / "class_confusion.png", confusion, True, {"three": "Three classes"})
    svg = (tmp_path / "class_confusion.svg").read_text()
    assert "Three classes" in svg
    assert "phantom" in svg
    data = pd.read_csv(tmp_path / "class_confusion.csv")
    assert set(data["model"]) == {"three", "other"}
    assert data["n"].sum() == 120
