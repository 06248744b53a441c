"""The stage on bright discs: what it learns, what it writes, how it goes on after a kill, and who loads the result."""

from __future__ import annotations

import csv
import json
import math
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.config.recipes import RecipeSettings
from mammoflow.config.tuning import TuneSettings, TuningMethod
from mammoflow.errors import StudyError, WeightsError
from mammoflow.segmentation import training_stage
from mammoflow.segmentation.loading import load_promptable
from mammoflow.segmentation.models.small import WEIGHTS as SMALL_WEIGHTS
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.segmentation.tuning import stored
from mammoflow.segmentation.tuning.decoding import Decoding
from mammoflow.segmentation.tuning.learner import TuneLearner
from mammoflow.segmentation.tuning.lesions import draw_prompts, exact_prompts, read_lesions
from mammoflow.storage.files import file_digest
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_LESIONS
from mammoflow.tables.masks import SEGMENTATION_SCORES
from mammoflow.weights.header import BaseWeights, read_header
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import seen_patients

pytestmark = pytest.mark.long(25)

CPU = torch.device("cpu")
MARGIN = 2.0


def settings(**changes: object) -> TuneSettings:
    values = {
        "epochs": 3,
        "patience": 3,
        "batch_size": 3,
        "learning_rate": 3e-3,
        "encoder_learning_rate": 1e-3,
        "added_learning_rate": 3e-3,
        "adapter_width": 4,
        "margins_mm": [0.0, 4.0],
        "jitter_mm": 1.0,
        "device": "cpu",
        **changes,
    }
    return TuneSettings(**values)  # type: ignore[arg-type]


def run(
    discs: Path,
    weights: Path,
    output: Path,
    method: TuningMethod = "decoder",
    model: str = "thin",
    architecture: str = "sam_vit_b",
    **changes: object,
) -> dict:
    recipe = RecipeSettings(recipe="tune", options=settings(method=method, **changes))
    start = ModelSpec(model, architecture, weights)
    train_segmenter(recipe, architecture, start, [discs], output.parent / "store", MARGIN, output, 1)
    record: dict = json.loads((output / "record.json").read_text(encoding="utf-8"))
    return record


def mine(weights: Path, architecture: str = "sam_vit_b") -> ModelSpec:
    return ModelSpec("mine", architecture, weights)


def history(output: Path) -> list[dict[str, str]]:
    with (output / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "method",
    [
        "decoder",
        "lora",
        "vpt",
        *(pytest.param(name, marks=SLOW) for name in ("all", "adapters", "sam_adapter", "bitfit")),
    ],
)
def test_a_tuning_learns_and_its_weights_load(
    method: TuningMethod, discs: Path, sam_weights: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tuning" / "mine"
    record = run(discs, sam_weights, output, method, epochs=8, patience=8)
    losses = [float(row["train_loss"]) for row in history(output)]
    assert losses[-1] < 0.8 * losses[0]
    assert record["chosen_epoch"] > 0
    assert record["validation_dice"] > record["validation_dice_before"] + 0.05
    assert record["validation_dice"] == max(float(row["validation_dice"]) for row in history(output))
    weights = output / "model.safetensors"
    tuned, header = load_file(weights), read_header(weights)
    assert sum(tensor.numel() for tensor in tuned.values()) == record["trainable_parameters"]
    assert header.base == BaseWeights("thin", str(sam_weights), file_digest(sam_weights))
    assert header.adapter_width == (4 if method == "adapters" else None)
    assert (header.lora is not None) == (method == "lora")
    # what is loaded is what was validated
    model = load_promptable(mine(weights), CPU)
    data = read_lesions([discs])
    decoding = Decoding(model, data, _encoder(model, data), settings())
    found = float(np.mean(decoding.dice(data.rows("validation"), MARGIN)))
    assert found == pytest.approx(record["validation_dice"], abs=0.02)


def _encoder(model, data):  # type: ignore[no-untyped-def]
    from mammoflow.segmentation.embedding.training_sources import EncoderSource

    return EncoderSource(model, data.images, recompute=False)


def test_the_record_says_what_was_done(discs: Path, sam_weights: Path, tmp_path: Path) -> None:
    record = run(discs, sam_weights, tmp_path / "tuning" / "mine", "lora", epochs=1)
    assert record["patients"] == [f"discs/P_{number}" for number in range(4)]
    assert record["validation_patients"] == ["discs/P_4", "discs/P_5"]
    assert (record["name"], record["from"], record["method"]) == ("mine", "thin", "lora")
    assert (record["architecture"], record["recipe"], record["trainer"]) == ("sam_vit_b", "tune", "supervised")
    assert 0 < record["trainable_parameters"] < record["total_parameters"]
    assert record["peak_memory_bytes"] > 1_000_000
    assert record["lesions"] == {"discs": 4}
    assert (record["threads"], record["device"], record["halvings"], record["phantom"]) == (1, "cpu", 0, False)


def test_weights_and_record_of_phantoms_say_so(discs: Path, sam_weights: Path, tmp_path: Path) -> None:
    lesions = read_table(discs / "lesions.parquet", CANONICAL_LESIONS)
    write_table(lesions.assign(phantom=1), CANONICAL_LESIONS, discs / "lesions.parquet")
    record = run(discs, sam_weights, tmp_path / "mine", epochs=1)
    assert record["phantom"] is True
    with safe_open(tmp_path / "mine" / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["training"])["phantom"] is True


class Killed(RuntimeError):
    pass


@pytest.mark.parametrize("method", ["decoder", "lora"])
def test_a_killed_tuning_goes_on_as_if_it_had_not_been(
    method: TuningMethod, discs: Path, sam_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(discs, sam_weights, tmp_path / "whole" / "mine", method)
    plain = TuneLearner.loss

    def die(learner: TuneLearner, batch: np.ndarray, epoch: int, step: int) -> torch.Tensor:
        if epoch == 2:
            raise Killed
        return plain(learner, batch, epoch, step)

    monkeypatch.setattr(TuneLearner, "loss", die)
    output = tmp_path / "killed" / "mine"
    with pytest.raises(Killed):
        run(discs, sam_weights, output, method)
    assert not output.exists()
    monkeypatch.setattr(TuneLearner, "loss", plain)
    record = run(discs, sam_weights, output, method)
    assert record["resumed_from"] == 2
    whole = tmp_path / "whole" / "mine"
    assert history(output) == history(whole)
    found, expected = load_file(output / "model.safetensors"), load_file(whole / "model.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not (tmp_path / "killed" / ".training").exists()


def kill_after_the_fit(patched: pytest.MonkeyPatch) -> None:
    """Let the stage die when the training has ended and nothing is written."""

    def die(*_: object) -> None:
        raise Killed

    patched.setattr(stored, "tuned_state", die)


def test_a_killed_tuning_starts_anew_where_the_references_are_others(
    discs: Path, sam_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_after_the_fit(patched)
        with pytest.raises(Killed):
            run(discs, sam_weights, tmp_path / "mine", epochs=1)
    lesions = read_table(discs / "lesions.parquet", CANONICAL_LESIONS)
    before = lesions["area_mm2"].to_numpy()
    write_table(lesions.assign(area_mm2=before + 1), CANONICAL_LESIONS, discs / "lesions.parquet")
    assert run(discs, sam_weights, tmp_path / "mine", epochs=1)["resumed_from"] == 0
    with monkeypatch.context() as patched:
        kill_after_the_fit(patched)
        with pytest.raises(Killed):
            run(discs, sam_weights, tmp_path / "mine", epochs=1)
    assert run(discs, sam_weights, tmp_path / "mine", epochs=1)["resumed_from"] == 1


@pytest.mark.parametrize("row", [0, 1], ids=["trained on", "beside it"])
def test_another_mask_with_the_same_box_and_area_is_another_reference(discs: Path, row: int) -> None:
    lesions = read_table(discs / "lesions.parquet", CANONICAL_LESIONS)
    lesions.loc[1, "image_id"], lesions.loc[1, "malignant"] = lesions.loc[0, "image_id"], None
    lesions["digest"] = "of the first mask"
    write_table(lesions, CANONICAL_LESIONS, discs / "lesions.parquet")
    before = read_lesions([discs])
    assert len(before.rows("train")) == 3
    lesions.loc[row, "digest"] = "of another mask"
    write_table(lesions, CANONICAL_LESIONS, discs / "lesions.parquet")
    assert read_lesions([discs]).content() != before.content()
    write_table(lesions.drop(columns="digest"), CANONICAL_LESIONS, discs / "lesions.parquet")
    assert read_lesions([discs]).content() != before.content()


def test_a_killed_tuning_starts_anew_where_the_code_is_another(
    discs: Path, sam_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_after_the_fit(patched)
        patched.setattr(training_stage, "code_digest", lambda *_: "before an edit")
        with pytest.raises(Killed):
            run(discs, sam_weights, tmp_path / "mine", epochs=1)
    assert run(discs, sam_weights, tmp_path / "mine", epochs=1)["resumed_from"] == 0


def test_an_epoch_without_a_number_decides_nothing(
    discs: Path, sam_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # before tuning, then after each of three epochs
    figures = iter([0.1, math.nan, 0.5, 0.3])
    monkeypatch.setattr(TuneLearner, "dice", lambda *_: next(figures))
    output = tmp_path / "tuning" / "mine"
    record = run(discs, sam_weights, output)
    assert (record["chosen_epoch"], record["validation_dice"]) == (2, 0.5)
    assert math.isnan(float(history(output)[0]["validation_dice"]))


@pytest.mark.parametrize("method", [pytest.param("decoder", marks=SLOW), "all"])
def test_tuning_leaves_the_statistics_of_batch_normalisation(method: TuningMethod, discs: Path, tmp_path: Path) -> None:
    run(discs, SMALL_WEIGHTS, tmp_path / "mine", method, "mine", "small", epochs=1, learning_rate=1e-4)
    model = load_promptable(mine(tmp_path / "mine" / "model.safetensors", "small"), CPU)
    tuned, before = model.network.state_dict(), load_file(SMALL_WEIGHTS)
    statistics = [name for name in before if "running_" in name]
    assert statistics
    assert all(torch.equal(tuned[name], before[name].float()) for name in statistics)
    assert not torch.equal(tuned["mask_decoder.masks.weight"], before["mask_decoder.masks.weight"].float())


def test_running_out_of_memory_changes_nothing_but_time(
    discs: Path, sam_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Decoding.loss

    def narrow(self: Decoding, rows: np.ndarray, epoch: int, kind: object) -> torch.Tensor:
        if len(rows) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return plain(self, rows, epoch, kind)  # type: ignore[arg-type]

    run(discs, sam_weights, tmp_path / "whole" / "mine", epochs=1)
    monkeypatch.setattr(Decoding, "loss", narrow)
    assert run(discs, sam_weights, tmp_path / "narrow" / "mine", epochs=1)["halvings"] > 0
    losses = [float(history(tmp_path / name / "mine")[0]["train_loss"]) for name in ("whole", "narrow")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_tuning_that_helps_nothing_keeps_the_weights_at_the_start(
    discs: Path, sam_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([0.999, 0.5])
    monkeypatch.setattr(TuneLearner, "dice", lambda *_: next(figures))
    output = tmp_path / "tuning" / "mine"
    record = run(discs, sam_weights, output, "lora", epochs=1)
    assert (record["chosen_epoch"], record["validation_dice"]) == (0, 0.999)
    found = load_promptable(mine(output / "model.safetensors"), CPU).network.state_dict()
    expected = load_file(sam_weights)
    assert all(torch.allclose(found[name], expected[name], atol=1e-7) for name in expected)


@pytest.mark.parametrize("heads", ["three", "both"])
def test_points_heads_and_losses(heads: str, discs: Path, sam_weights: Path, tmp_path: Path) -> None:
    changes = {"kinds": ["point", "box_point", "box"], "negative_points": 2, "iou_loss": "all_l1", "iterations": 3}
    record = run(discs, sam_weights, tmp_path / "tuning" / "mine", "adapters", epochs=2, heads=heads, **changes)
    assert record["epochs"] == 2


def test_segmentation_with_tuned_weights_marks_the_patients_that_they_saw(
    discs: Path, sam_weights: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tuning" / "mine"
    run(discs, sam_weights, output, "adapters", epochs=1)
    lesions = read_table(discs / "lesions.parquet", CANONICAL_LESIONS)
    lesions = lesions[lesions["split"] != "test"].assign(split="test")
    lesions.loc[lesions["patient_id"] == "P_0", "patient_id"] = "P_new"
    write_table(lesions, CANONICAL_LESIONS, discs / "lesions.parquet")
    make_prompts(PromptSettings(margins_mm=[MARGIN], default_margin_mm=MARGIN), discs, tmp_path / "prompts.parquet")
    chosen = SegmentSettings(device="cpu", iterations=1)
    weights = output / "model.safetensors"
    arguments = (discs, [tmp_path / "prompts.parquet"], tmp_path / "store", MARGIN, tmp_path / "masks", 1)
    segment(chosen, mine(weights), *arguments)
    scores = read_table(tmp_path / "masks" / "scores.parquet", SEGMENTATION_SCORES)
    own = scores[scores["model"] == "mine"]
    assert dict(zip(own["patient_id"], own["seen"].astype(bool), strict=True)) == {
        "P_new": False,
        **{f"P_{number}": True for number in range(1, 6)},
    }
    # a record of other weights says nothing about these
    save_file({name: tensor + 0 for name, tensor in load_file(sam_weights).items()}, weights)
    assert seen_patients(weights) == frozenset()


@pytest.mark.parametrize("name", ["thin", "phantom_tuned"])
def test_a_tuned_model_has_seen_what_its_start_had_seen(
    name: str, discs: Path, sam_weights: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "tuning" / "first", tmp_path / "tuning" / "second"
    run(discs, sam_weights, first, epochs=1)
    content = json.loads((first / "record.json").read_text(encoding="utf-8"))
    content["patients"].append("elsewhere/P_900")
    (first / "record.json").write_text(json.dumps(content), encoding="utf-8")
    run(discs, first / "model.safetensors", second, model=name, epochs=1)
    assert {"P_900", "P_0", "P_5"} <= seen_patients(second / "model.safetensors")


def test_phantoms_are_not_counted_as_seen(sam_weights: Path) -> None:
    from mammoflow.storage.files import file_digest

    patients = {"patients": ["phantom/P_1", "real/P_2"], "weights_sha256": file_digest(sam_weights)}
    (sam_weights.parent / "record.json").write_text(json.dumps(patients), encoding="utf-8")
    assert seen_patients(sam_weights) == {"P_2"}
    (sam_weights.parent / "record.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="is not JSON"):
        seen_patients(sam_weights)


def test_weights_for_another_architecture_are_refused(discs: Path, sam_weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "tuning" / "mine"
    run(discs, sam_weights, output, epochs=1)
    with pytest.raises(WeightsError, match=r"says that it is for sam_vit_b, expected medsam_vit_b"):
        load_promptable(mine(output / "model.safetensors", "medsam_vit_b"), CPU)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ('{"adapters": {"width": 4}}', "cannot be read"),
        ('{"architecture": "sam_vit_b", "adapters": {"width": 0}}', "width 0"),
        ('{"architecture": "sam_vit_b", "adapters": {"width": 5}}', "do not fit the network"),
    ],
)
def test_a_header_that_does_not_fit_is_told(text: str, message: str, sam_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_file(load_file(sam_weights), path, metadata={"mammoflow": text})
    with pytest.raises(WeightsError, match=message):
        load_promptable(mine(path), CPU)


def test_tuned_weights_that_carry_code_are_refused(discs: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("executed",)

    path = tmp_path / "harm.pth"
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(WeightsError, match="refused"):
        run(discs, path, tmp_path / "mine")


def test_a_study_without_validation_lesions_is_refused(discs: Path, sam_weights: Path, tmp_path: Path) -> None:
    lesions = read_table(discs / "lesions.parquet", CANONICAL_LESIONS)
    write_table(lesions[lesions["split"] != "validation"], CANONICAL_LESIONS, discs / "lesions.parquet")
    with pytest.raises(StudyError, match="no validation lesion"):
        run(discs, sam_weights, tmp_path / "mine")


def test_two_runs_with_the_same_ids_are_not_mixed_up(discs: Path) -> None:
    with pytest.raises(StudyError, match=r"6 images have an id that another one has too, such as 'image0'"):
        read_lesions([discs, discs])


def test_margins_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="smaller one first"):
        settings(margins_mm=[5.0, 1.0])
    with pytest.raises(ValueError, match="each once"):
        settings(kinds=["box", "box"])


@pytest.fixture(scope="module")
def with_adapters(written_discs: Path, written_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with adapters, tuned for an epoch."""
    output = tmp_path_factory.mktemp("tuning") / "first"
    run(written_discs, written_weights, output, "adapters", epochs=1)
    return output


@pytest.mark.parametrize("method", ["decoder", "lora", "adapters", "vpt"])
def test_tuning_goes_on_from_a_model_with_adapters(
    method: TuningMethod, discs: Path, with_adapters: Path, tmp_path: Path
) -> None:
    first = Path(shutil.copytree(with_adapters, tmp_path / "tuning" / "first"))
    second = tmp_path / "tuning" / "second"
    run(discs, first / "model.safetensors", second, method, epochs=1)
    weights = second / "model.safetensors"
    header = read_header(weights)
    assert header.adapter_width == 4
    assert header.base is not None
    assert header.base.name == "thin"
    # the base of the second is the first, and the base of the first is the network without adapters
    names = set(load_promptable(mine(weights), CPU).network.state_dict())
    before = set(load_promptable(mine(first / "model.safetensors"), CPU).network.state_dict())
    assert {name for name in names - before if ".visual_prompts." not in name} == before - names == set()


def test_tuned_weights_need_their_base(discs: Path, sam_weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "tuning" / "mine"
    run(discs, sam_weights, output, epochs=1)
    weights = output / "model.safetensors"
    shutil.move(sam_weights, output / sam_weights.name)
    load_promptable(mine(weights), CPU)  # beside them it is found as well
    save_file({name: tensor + 1 for name, tensor in load_file(output / sam_weights.name).items()}, sam_weights)
    (output / sam_weights.name).unlink()
    with pytest.raises(WeightsError, match=r"only what was tuned of thin; found no file with the digest"):
        load_promptable(mine(weights), CPU)


@pytest.mark.parametrize(("method", "shared"), [("decoder", True), ("bitfit", False)])
def test_models_with_the_same_encoder_share_embeddings(
    method: TuningMethod, shared: bool, discs: Path, sam_weights: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tuning" / "mine"
    run(discs, sam_weights, output, method, epochs=1, tune_prompt_encoder=True)
    base = load_promptable(ModelSpec("thin", "sam_vit_b", sam_weights), CPU)
    tuned = load_promptable(mine(output / "model.safetensors"), CPU)
    assert tuned.digest != base.digest
    assert (tuned.embedding_digest == base.embedding_digest) is shared


@pytest.mark.parametrize("changes", [{"patients": 2}, {"patients": 3, "validation_patients": 1}])
def test_fewer_patients_are_part_of_more(changes: dict[str, int], discs: Path) -> None:
    fewer, all_of_them = read_lesions([discs], settings(**changes)), read_lesions([discs], settings())
    for split, most in (("train", changes["patients"]), ("validation", changes.get("validation_patients", 2))):
        patients = fewer.patients(split)
        assert len(patients) == most
        assert set(patients) < set(all_of_them.patients(split)) or most == len(all_of_them.patients(split))
    two = read_lesions([discs], settings(patients=2)).patients("train")
    assert set(two) <= set(fewer.patients("train"))
    assert set(fewer.images["image_id"]) == set(fewer.lesions["image_id"])


def test_an_image_without_a_lesion_is_trained_on_from_its_middle(
    discs: Path, sam_weights: Path, tmp_path: Path
) -> None:
    lesions = read_table(discs / "lesions.parquet", CANONICAL_LESIONS)
    write_table(lesions[lesions["patient_id"] != "P_1"], CANONICAL_LESIONS, discs / "lesions.parquet")
    with pytest.raises(ValueError, match=r"empty_images is true and kinds is \['box'\]"):
        settings(empty_images=True)
    chosen = settings(empty_images=True, kinds=["point"], positive_points=2)
    data = read_lesions([discs], chosen)
    row = int(np.flatnonzero(data.lesions["empty"])[0])
    assert (len(data.rows("train")), len(data.rows("validation"))) == (4, 2)
    assert not data.mask(row).any()
    drawn = draw_prompts(data, row, "point", chosen, np.random.default_rng(0))
    height, width = data.size(int(data.lesions["image_index"].iloc[row]))
    assert drawn.boxes is None
    assert drawn.points is not None
    assert drawn.labels is not None
    assert drawn.points[0].tolist() == [[width / 2, height / 2], [0, 0]]
    assert drawn.labels[0].tolist() == [1, -1]
    record = run(discs, sam_weights, tmp_path / "mine", epochs=1, empty_images=True, kinds=["point"])
    assert math.isfinite(record["validation_dice"])
    assert (sum(record["lesions"].values()), record["empty_images"]) == (3, 1)
    assert (record["validation_lesions"], record["images"]) == (2, 4)


def test_images_without_a_lesion_are_no_lesions_to_tune_on(discs: Path) -> None:
    lesions = read_table(discs / "lesions.parquet", CANONICAL_LESIONS)
    write_table(lesions[lesions["split"] != "train"], CANONICAL_LESIONS, discs / "lesions.parquet")
    with pytest.raises(StudyError, match="no train lesion with a mask"):
        read_lesions([discs], settings(empty_images=True, kinds=["point"]))


def test_validation_is_by_the_first_kind_of_prompt(discs: Path, sam_weights: Path) -> None:
    data = read_lesions([discs])
    row = int(data.rows("validation")[0])
    point, box = (exact_prompts(data, row, kind, MARGIN) for kind in ("point", "box"))
    assert point.boxes is None
    assert point.points is not None
    assert box.points is None
    x, y = point.points[0, 0]
    assert data.mask(row)[int(y), int(x)]
    both = exact_prompts(data, row, "box_point", MARGIN)
    assert both.boxes is not None
    assert np.array_equal(both.points, point.points)
