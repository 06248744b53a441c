"""Two views of a breast: which lesion stands beside which, what a network makes of both, and that both views agree."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mammoflow.classification.attention_crops import AttentionCrops
from mammoflow.classification.batches import Batch
from mammoflow.classification.cases import Cases, read_cases
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.inputs import context_two_views
from mammoflow.classification.learner import ClassifierLearner
from mammoflow.classification.network import PictureNetwork, SharedNetwork
from mammoflow.classification.samples import Job
from mammoflow.classification.two_views import TwoViewSamples, rows_of_other_view
from mammoflow.config.pictures import Combine, TwoViewOptions
from mammoflow.errors import StudyError
from mammoflow.tables.files import write_table
from mammoflow.tables.images import CANONICAL_IMAGES

SMALL = {"image_px": 32, "size_mm": 32.0}


def cases_of(*lesions: tuple[str, str, str, float], **columns: list[str]) -> Cases:
    """Return lesions of one patient: id, finding, view and side of the square box in pixels, one image each."""
    ids, findings, views, sides = zip(*lesions, strict=True)
    table = pd.DataFrame({
        "lesion_id": ids, "finding_id": findings, "view": views, "patient_id": "P", "laterality": "L", "split": "train",
        "y0": 10.0, "x0": 10.0, "y1": 10.0 + np.array(sides), "x1": 10.0 + np.array(sides),
        "image_index": range(len(lesions)),
    }).assign(**columns)  # fmt: skip
    return Cases(table, pd.DataFrame({"row_spacing_mm": [1.0] * len(lesions), "column_spacing_mm": 1.0}))


def test_a_lesion_stands_beside_that_of_its_finding_in_another_view() -> None:
    cases = cases_of(("a", "1", "CC", 9), ("b", "2", "MLO", 9), ("c", "1", "MLO", 9), ("d", "2", "CC", 9))
    assert rows_of_other_view(cases).tolist() == [2, 3, 0, 1]


def test_a_lesion_keeps_its_own_row_without_another_view() -> None:
    cases = cases_of(
        ("a", "1", "CC", 9), ("b", "1", "CC", 9), ("c", "2", "MLO", 9), ("d", "3", "", 9), ("e", "3", "CC", 9)
    )
    assert rows_of_other_view(cases).tolist() == [0, 1, 2, 3, 4]


def test_of_several_the_nearest_in_size_is_taken_and_of_equal_ones_the_first() -> None:
    cases = cases_of(("a", "1", "CC", 10), ("b", "1", "MLO", 20), ("c", "1", "MLO", 12), ("d", "1", "MLO", 8))
    assert rows_of_other_view(cases).tolist() == [2, 0, 0, 0]


def test_size_is_measured_in_millimetres() -> None:
    cases = cases_of(("a", "1", "CC", 10), ("b", "1", "MLO", 10), ("c", "1", "MLO", 20))
    cases.images["row_spacing_mm"] = cases.images["column_spacing_mm"] = [1.0, 2.0, 0.5]
    assert rows_of_other_view(cases).tolist() == [2, 0, 0]


def test_the_other_breast_and_the_other_side_of_the_split_are_never_shown() -> None:
    lesions = ("a", "1", "CC", 9), ("b", "1", "MLO", 9)
    assert rows_of_other_view(cases_of(*lesions, laterality=["L", "R"])).tolist() == [0, 1]
    assert rows_of_other_view(cases_of(*lesions, split=["train", "test"])).tolist() == [0, 1]


def test_a_finding_of_two_patients_is_refused() -> None:
    cases = cases_of(("a", "1", "CC", 9), ("b", "1", "MLO", 9), patient_id=["P", "Q"])
    with pytest.raises(StudyError, match=r"finding 1 has lesions of 2 patients, first \['P', 'Q'\]"):
        rows_of_other_view(cases)


@pytest.fixture
def two_views(tiny_study: Any) -> Any:
    """Return the tiny study with the images of patients 16 to 23 as the second views of patients 0 to 7."""

    def same_patient(table: pd.DataFrame) -> pd.DataFrame:
        second = table["patient_id"].str[1:].astype(int) - 16
        moved = second >= 0
        table.loc[moved, "patient_id"] = second[moved].map("P{:03d}".format)
        table.loc[moved, "view"] = "MLO"
        if "finding_id" in table:
            table.loc[moved, "finding_id"] = table.loc[moved, "patient_id"] + "_L_CC_0"
        return table

    tiny_study.rewrite_lesions(same_patient)
    for folder in tiny_study.images:
        file = folder / "images.parquet"
        write_table(same_patient(pd.read_parquet(file)), CANONICAL_IMAGES, file)
    return tiny_study


def read(study: Any, cache: Path, **options: Any) -> tuple[Cases, TwoViewSamples]:
    cases = read_cases(study.images)
    job = Job(cache, 1, torch.device("cpu"))
    samples = context_two_views.read(TwoViewOptions(**{**SMALL, **options}), cases, study.files(), job)
    assert isinstance(samples, TwoViewSamples)
    return cases, samples


def test_a_sample_is_its_own_picture_and_the_other_view(two_views: Any, tmp_path: Path) -> None:
    cases, samples = read(two_views, tmp_path)
    row_of = {lesion: row for row, lesion in enumerate(cases.lesions["lesion_id"])}
    cc, mlo, alone = row_of["P003_L_CC_0"], row_of["P019_L_CC_0"], row_of["P010_L_CC_0"]
    assert samples[cc]["picture"].shape == (2, 1, 32, 32)
    assert torch.equal(samples[cc]["picture"], samples[mlo]["picture"].flip(0))
    assert not torch.equal(*samples[cc]["picture"])
    assert torch.equal(*samples[alone]["picture"])
    # eight patients have one view, and the second lesion of P000 has a finding of its own
    assert samples.notes["lesions_without_other_view"] == 9
    assert (cases.lesions["patient_id"] == cases.lesions["patient_id"].to_numpy()[samples.partners]).all()


def test_training_changes_each_view_by_itself(two_views: Any, tmp_path: Path) -> None:
    _, samples = read(two_views, tmp_path)
    alone = int(np.flatnonzero(samples.partners == np.arange(len(samples)))[0])
    assert not torch.equal(*samples.drawn(alone, np.random.default_rng(0))["picture"])
    still = {"rotation_degrees": 0.0, "scale": 0.0, "shift_mm": 0.0, "contrast": 0.0, "brightness": 0.0}
    _, samples = read(two_views, tmp_path, **still)
    flipped = [samples.drawn(0, np.random.default_rng(seed))["picture"] for seed in range(12)]
    plain = samples[0]["picture"]
    same = {(bool(torch.equal(one[0], plain[0])), bool(torch.equal(one[1], plain[1]))) for one in flipped}
    assert {(True, False), (False, True)} <= same


def test_the_digest_follows_the_pairs(two_views: Any, tmp_path: Path) -> None:
    _, before = read(two_views, tmp_path)

    def part(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(finding_id=table["lesion_id"])

    two_views.rewrite_lesions(part)
    _, after = read(two_views, tmp_path)
    assert after.digest != before.digest
    assert after.pictures.digest == before.pictures.digest


@pytest.mark.parametrize("combine", ["mean", "max", "concatenate"])
def test_features_of_both_pictures_are_combined(combine: Combine) -> None:
    torch.manual_seed(0)
    levels = ((0.5,) * 3, (0.5,) * 3)
    one = PictureNetwork(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)), 4, levels)
    shared = SharedNetwork(one, combine, 2)
    pictures = torch.rand(5, 2, 1, 8, 8)
    features = shared({"picture": pictures})
    first, second = (one({"picture": pictures[:, view]}) for view in range(2))
    expected = {
        "mean": (first + second) / 2,
        "max": torch.maximum(first, second),
        "concatenate": torch.cat([first, second], dim=1),
    }[combine]
    torch.testing.assert_close(features, expected)
    assert shared.width == expected.shape[1]
    assert shared.levels == levels
    assert [*shared.parameters()] == [*one.parameters()]


def test_the_losses_of_the_network_itself_see_the_label_of_the_sample_for_each_picture() -> None:
    torch.manual_seed(0)
    one = AttentionCrops(8, crops=2, crop_share=0.5, top_share=0.1, sparsity=0.5)
    learner = ClassifierLearner.__new__(ClassifierLearner)
    learner.classifier = Classifier(SharedNetwork(one, "mean", 2), torch.zeros(1), torch.ones(1), 0, 0.0)
    learner.malignant_weight = 3.0
    labels, pictures = torch.tensor([1.0, 0.0, 0.0]), torch.rand(3, 2, 1, 32, 32)
    batch = Batch(np.arange(3), {"picture": pictures}, None, labels)
    outputs = learner.outputs(batch)
    added = learner.loss_of(outputs, batch) - learner.classification_loss(outputs, labels)
    one({"picture": torch.cat([pictures[:, 0], pictures[:, 1]])})
    expected = one.further_loss(torch.cat([labels, labels]), torch.tensor(3.0))
    torch.testing.assert_close(added, expected)
    assert float(added.detach()) > 0.1
    plain = PictureNetwork(nn.Identity(), 4, None)
    assert float(SharedNetwork(plain, "mean", 2).further_loss(labels, torch.tensor(3.0))) == 0


@pytest.mark.parametrize(("combine", "agree"), [("mean", True), ("max", True), ("concatenate", False)])
def test_both_lesions_of_a_finding_get_one_probability_where_the_order_does_not_matter(
    two_views: Any, tiny: ModuleType, combine: str, agree: bool
) -> None:
    values = {
        "input": "context_two_views", "network": "resnet_small", "network_options": {"width": 8, "blocks": 1},
        "epochs": 1, "batch_size": 8, "device": "cpu", "test_time_flips": "horizontal",
        "input_options": {**SMALL, "combine": combine, "mask_channel": True},
    }  # fmt: skip
    output = tiny.train(two_views, values, "two_views")
    table = pd.read_parquet(output / "predictions.parquet").set_index("lesion_id")["probability"]
    cc, mlo = (table[[f"P{number:03d}_L_CC_0" for number in range(low, low + 8)]] for low in (0, 16))
    assert cc.std() > 1e-4
    assert bool(np.allclose(cc, mlo, atol=1e-6)) == agree
    record = json.loads((output / "training.json").read_text(encoding="utf-8"))
    assert record["lesions_without_other_view"] == 9
