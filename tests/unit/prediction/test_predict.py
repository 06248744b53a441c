"""The answer for one film: equal to that of a study, measured on the film, written whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pydicom
import pytest
from click.testing import CliRunner
from PIL import Image

import mammoflow
from mammoflow.cli import main
from mammoflow.config.images import ImagesSettings
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.errors import ConfigError, MammoflowError, StudyError
from mammoflow.imaging.film_masks import measure_mask, on_film
from mammoflow.imaging.geometry import longest_diameter_mm
from mammoflow.imaging.stage import prepare_images
from mammoflow.prediction.api import predict
from mammoflow.prediction.output import building, check_folder
from mammoflow.prediction.patients import patient_in
from mammoflow.prediction.results import PROGRAM, Prediction
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.storage.files import read_mask, write_mask, write_text
from mammoflow.tables.cohort import IMAGES, LESIONS
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS
from mammoflow.weights.registry import ModelSpec

MARGIN_MM = 5.0


def write_cohort(folder: Path, spacing_mm: float) -> None:
    """Write the tables of a cohort with the film and the mask of its disc."""
    keys = {"patient_id": "P1", "image_id": "P1-CC", "source": "made up", "laterality": "L", "view": "CC"}
    shared = {**keys, "official_split": "", "split": "test", "shard": 0}
    image = dict.fromkeys(IMAGES.columns) | shared | {"image_path": "film.dcm", "spacing_mm": spacing_mm}
    lesion = dict.fromkeys(LESIONS.columns) | shared | {"lesion_type": "mass", "mask_path": "mask.png"}
    lesion |= {"lesion_id": "P1-CC-1", "finding_id": "P1-1", "malignant": 1}
    optional = {name for table in (IMAGES, LESIONS) for name, column in table.columns.items() if not column.required}
    for name, schema, row in (("images", IMAGES, image), ("lesions", LESIONS, lesion)):
        table = pd.DataFrame([row]).drop(columns=list(optional), errors="ignore")
        write_table(table, schema, folder / f"{name}.parquet")


@pytest.fixture(scope="module")
def study(made_up: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one film, through the stages images, prompts and segment with `small`."""
    root = tmp_path_factory.mktemp("study")
    made_up.write_film(root / "film.dcm")
    write_mask(root / "mask.png", made_up.disc())
    write_cohort(root / "cohort", made_up.SPACING_MM)
    images, prompts = root / "images", root / "prompts.parquet"
    prepare_images(ImagesSettings(longest_side_px=200), root, root / "cohort", images, 1)
    settings = PromptSettings(margins_mm=[0.0, MARGIN_MM], default_margin_mm=MARGIN_MM)
    make_prompts(settings, images, prompts)
    spec = ModelSpec("small", "small")
    segment(SegmentSettings(), spec, images, [prompts], root / "store", MARGIN_MM, root / "masks", 1)
    return root


def test_the_mask_equals_that_of_a_study(study: Path, made_up: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammoflow.prediction.api.ImagesSettings", lambda: ImagesSettings(longest_side_px=200))
    answered = predict(
        study / "film.dcm", [made_up.BOX], spacing_mm=made_up.SPACING_MM, margin_mm=MARGIN_MM, threads=1
    ).lesions[0]
    row = read_table(study / "masks" / "masks.parquet", MASKS).iloc[0]
    of_study = read_mask(study / "masks" / str(row["mask_file"]))
    assert of_study.shape == (200, 150)
    assert np.array_equal(answered.mask, on_film(of_study, made_up.SIZE))
    assert answered.predicted_iou == pytest.approx(row["predicted_iou"])
    assert answered.area_mm2 == pytest.approx(row["area_mm2"], rel=0.03)


@pytest.fixture(scope="module")
def answered(made_up: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    """The answer for the film, written to `film/` beside it."""
    root = tmp_path_factory.mktemp("answer")
    film = made_up.write_film(root / "film.dcm")
    return predict(
        film, [made_up.BOX], out=root / "film", spacing_mm=made_up.SPACING_MM, finding="mass", threads=1, device="cpu"
    )


def test_mask_lies_on_the_lesion_and_is_measured_on_the_film(answered: Prediction, made_up: ModuleType) -> None:
    lesion = answered.lesions[0]
    disc = made_up.disc()
    assert lesion.mask.shape == made_up.SIZE
    assert 2 * (lesion.mask & disc).sum() / (lesion.mask.sum() + disc.sum()) > 0.85
    assert lesion.area_mm2 == pytest.approx(lesion.mask.sum() * made_up.SPACING_MM**2)
    assert lesion.longest_diameter_mm == pytest.approx(longest_diameter_mm(lesion.mask, made_up.SPACING_MM))


def test_folder_holds_what_result_json_lists(answered: Prediction) -> None:
    folder = answered.image.parent / "film"
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    files = content["files"]
    listed = {*files["masks"], files["overlay"], files["segmentation"], files["report"], "result.json"}
    assert {path.name for path in folder.iterdir()} == listed
    assert np.array_equal(read_mask(folder / "mask_1.png"), answered.lesions[0].mask)


def test_result_says_what_made_it_and_for_what_it_may_be_used(answered: Prediction) -> None:
    content = json.loads((answered.image.parent / "film" / "result.json").read_text(encoding="utf-8"))
    assert content["version"] == mammoflow.__version__
    assert content["notice"].startswith("Research only: not a medical device")
    assert content["model"]["name"] == "small"
    assert len(content["model"]["sha256"]) == 64
    assert content["model"]["patient_in_training"] is False
    assert (content["image"]["laterality"], content["image"]["view"]) == ("L", "CC")
    assert content["image"]["row_spacing_mm"] == 0.25
    lesion = content["lesions"][0]
    assert lesion["box"] == {"x0": 76.0, "y0": 126.0, "x1": 124.0, "y1": 174.0}
    assert lesion["area_mm2"] == pytest.approx(answered.lesions[0].area_mm2, abs=1e-3)


def test_result_has_no_patient_of_the_header(answered: Prediction) -> None:
    text = (answered.image.parent / "film" / "result.json").read_text(encoding="utf-8")
    assert "09999" not in text


def test_patient_of_the_weights_is_recognised_in_a_longer_id(made_up: ModuleType, tmp_path: Path) -> None:
    known = frozenset({"P_00012"})
    seen = made_up.write_film(tmp_path / "seen.dcm", "Mass-Training_P_00012_RIGHT_MLO")
    other = made_up.write_film(tmp_path / "other.dcm", "Mass-Test_P_00013_RIGHT_MLO")
    longer = made_up.write_film(tmp_path / "longer.dcm", "P_000123")
    anonymous = made_up.write_film(tmp_path / "anonymous.dcm", "")
    picture = made_up.write_picture(tmp_path / "film.png")
    films = (seen, other, longer, anonymous, picture)
    assert [patient_in(path, known) for path in films] == [True, False, False, None, None]
    assert patient_in(seen, frozenset()) is None


def test_picture_needs_a_spacing_and_gets_no_dicom(made_up: ModuleType, tmp_path: Path) -> None:
    picture = made_up.write_picture(tmp_path / "film.png")
    with pytest.raises(StudyError, match="expected --spacing, the millimetres per pixel"):
        predict(picture, [made_up.BOX], threads=1)
    predict(picture, [made_up.BOX], out=tmp_path / "film", spacing_mm=0.25, threads=1)
    content = json.loads((tmp_path / "film" / "result.json").read_text(encoding="utf-8"))
    assert "no DICOM objects are written for a picture" in content["dicom_note"]
    assert not list((tmp_path / "film").glob("*.dcm"))


def test_a_film_whose_lengths_are_in_pixels_gets_no_objects_that_state_millimetres(
    made_up: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammoflow.prediction.api.ImagesSettings", lambda: ImagesSettings(without_spacing="pixels"))
    predict(made_up.write_film(tmp_path / "film.dcm"), [made_up.BOX], out=tmp_path / "film", threads=1)
    content = json.loads((tmp_path / "film" / "result.json").read_text(encoding="utf-8"))
    assert content["image"]["spacing_origin"] == "pixels"
    assert "the image has no pixel spacing, and the objects state millimetres" in content["dicom_note"]
    assert not list((tmp_path / "film").glob("*.dcm"))


@pytest.mark.parametrize("name", [" lead.png", "trail.png ", "back\\slash.png", "colon:", "M\udcfcller.png"])
def test_a_file_that_a_case_table_cannot_name_is_answered(made_up: ModuleType, tmp_path: Path, name: str) -> None:
    made_up.write_picture(tmp_path / "film.png").rename(tmp_path / name)
    answered = predict(tmp_path / name, [made_up.BOX], spacing_mm=0.25, threads=1)
    assert answered.lesions[0].mask.any()
    assert answered.facts["image"]["file"] == name


def test_turned_picture_is_answered_as_displayed_or_refused(made_up: ModuleType, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # a viewer turns the stored picture clockwise
    upright = Image.fromarray((made_up.grey() // 257).astype(np.uint8))
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    try:
        lesion = predict(tmp_path / "turned.jpg", [made_up.BOX], spacing_mm=0.25, threads=1).lesions[0]
    except StudyError as problem:
        assert "turned.jpg" in str(problem)  # noqa: PT017
    else:
        assert lesion.mask.shape == made_up.SIZE
        assert (lesion.mask & made_up.disc()).sum() > 0.7 * made_up.disc().sum()


def test_points_prompt_small_and_are_refused_by_lite_medsam(film: Path, made_up: ModuleType) -> None:
    y, x = made_up.CENTRE
    box_and_point = predict(film, [made_up.BOX], [(x, y), (200, 300)], spacing_mm=0.25, threads=1)
    assert [lesion.request.prompt_kind for lesion in box_and_point.lesions] == ["box_point", "point"]
    assert box_and_point.lesions[0].mask[int(y), int(x)]
    with pytest.raises(ConfigError, match="lite_medsam was trained on boxes alone"):
        predict(film, points=[(x, y)], model="lite_medsam", spacing_mm=0.25)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smal", "did you mean small"),
        ("medsam", "did you mean .*medsam"),
        ("unet", "takes no prompts"),
        ("sam_vit_b", "prefetch"),
    ],
)
def test_models_that_cannot_be_used(film: Path, made_up: ModuleType, name: str, words: str) -> None:
    with pytest.raises(MammoflowError, match=words):
        predict(film, [made_up.BOX], model=name, spacing_mm=0.25, threads=1)


def test_folder_with_other_files_is_refused_and_untouched(film: Path, made_up: ModuleType, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(StudyError, match=r"1 files that mammoflow predict did not write \(notes.txt\)"):
        predict(film, [made_up.BOX], out=mine.parent, spacing_mm=0.25)
    assert [path.name for path in mine.parent.iterdir()] == ["notes.txt"]
    with pytest.raises(StudyError, match="is a file"):
        predict(film, [made_up.BOX], out=film, spacing_mm=0.25)


def test_a_store_inside_the_answer_is_refused_before_any_work(film: Path, made_up: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "t.csv").write_text("image,x0,y0,x1,y1\nfilm.dcm,76,126,124,174\n", encoding="utf-8")
    for asked in ([str(film), "--box", ",".join(map(str, made_up.BOX))], [str(tmp_path / "t.csv")]):
        words = ["predict", *asked, "--spacing", "0.25", "--out", str(out), "--store", str(out / "store")]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 2
        assert "which holds the answer alone; expected a store elsewhere" in result.output
        assert not out.exists()


def test_a_later_answer_takes_the_place_of_an_earlier_one(film: Path, made_up: ModuleType, tmp_path: Path) -> None:
    out, other = tmp_path / "out", (20.0, 200.0, 60.0, 240.0)
    predict(film, [made_up.BOX, other], out=out, spacing_mm=0.25, threads=1)
    assert (out / "mask_2.png").is_file()
    predict(film, [made_up.BOX], out=out, spacing_mm=0.25, threads=1)
    assert not (out / "mask_2.png").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_stays_known_if_the_removal_of_an_earlier_answer_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, masks = tmp_path / "out", [f"mask_{number}.png" for number in range(20)]
    for folder, files in ((out, {"table": "results.csv"}), (out / "film", {"masks": masks})):
        write_text(folder / "result.json", json.dumps({"program": PROGRAM, "files": files}))
    for name in ("results.csv", *(f"film/{mask}" for mask in masks)):
        write_text(out / name, "")
    removed: list[str] = []

    def stop_at_the_last(path: Path, missing_ok: bool = False) -> None:
        if len(removed) == len(masks) + 2:
            raise KeyboardInterrupt
        removed.append(path.name)
        remove(path, missing_ok)

    remove = Path.unlink
    monkeypatch.setattr(Path, "unlink", stop_at_the_last)
    with pytest.raises(KeyboardInterrupt), building(out):
        pass
    assert removed[-1] == "result.json"
    assert "result.json" not in removed[:-1]
    check_folder(out)


def test_film_that_is_none_is_refused(made_up: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("no film", encoding="utf-8")
    with pytest.raises(StudyError, match=r"text\.dcm"):
        predict(tmp_path / "text.dcm", [made_up.BOX], spacing_mm=0.25)
    with pytest.raises(StudyError, match=r"absent\.dcm"):
        predict(tmp_path / "absent.dcm", [made_up.BOX], spacing_mm=0.25)


def test_command_prints_what_was_found(film: Path, made_up: ModuleType, tmp_path: Path) -> None:
    box = ",".join(f"{value:g}" for value in made_up.BOX)
    arguments = ["predict", str(film), "--box", box, "--spacing", "0.25", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*arguments, "--threads", "1"])
    assert result.exit_code == 0, result.output
    assert "lesion 1: area" in result.output
    assert "not a medical device" in result.output


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        ("70", "found 70 mm a pixel; expected 0.005 to 10 mm a pixel; if it is in micrometres, write 0.07"),
        ("nan", "found nan mm a pixel; expected 0.005 to 10 mm a pixel\n"),
        ("-0.1", "found -0.1 mm a pixel; expected 0.005 to 10 mm a pixel\n"),
    ],
)
def test_command_refuses_an_impossible_spacing(
    film: Path, made_up: ModuleType, tmp_path: Path, spacing: str, words: str
) -> None:
    box = ",".join(map(str, made_up.BOX))
    arguments = ["predict", str(film), "--box", box, "--spacing", spacing, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert not (tmp_path / "out").exists()


def test_command_refuses_a_box_in_words(film: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["predict", str(film), "--box", "left,top", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "found 'left,top'; expected --box x0,y0,x1,y1 in pixels of the film" in result.output


def test_help_says_unit_and_order_of_a_box() -> None:
    words = " ".join(CliRunner().invoke(main, ["predict", "--help"]).output.split())
    assert "in pixels of the film as it is displayed" in words
    assert "x (column) before y (row)" in words
    assert "half-open" in words


def test_import_of_the_package_loads_neither_torch_nor_pandas() -> None:
    code = "import sys, mammoflow; print([name for name in ('torch', 'pandas', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert mammoflow.predict is predict
    with pytest.raises(AttributeError, match="no attribute 'prdict'"):
        mammoflow.prdict  # noqa: B018


def test_tiny_mask_does_not_vanish_on_a_coarser_film() -> None:
    mask = np.zeros((40, 40), dtype=np.bool_)
    mask[7, 9] = True
    assert on_film(mask, (40, 40)).sum() == 1
    assert on_film(mask, (160, 160)).sum() >= 1
    assert not on_film(np.zeros((40, 40), dtype=np.bool_), (80, 80)).any()


def test_measures_know_oblong_pixels() -> None:
    mask = np.zeros((20, 20), dtype=np.bool_)
    mask[5:10, 5:15] = True
    area, diameter = measure_mask(mask, (0.2, 0.1))
    assert area == pytest.approx(50 * 0.02)
    assert diameter == pytest.approx(np.hypot(1.0, 1.0))
    assert np.isnan(measure_mask(np.zeros((4, 4), dtype=np.bool_), (0.2, 0.1))[1])


def test_a_lesion_that_is_left_out_has_neither_mask_nor_measurements(film: Path, made_up: ModuleType) -> None:
    out, whole = film.parent / "out", (0, 0, made_up.SIZE[1], made_up.SIZE[0])
    words = [word for box in (made_up.BOX, whole) for word in ("--box", ",".join(map(str, box)))]
    words = ["predict", str(film), *words, "--spacing", "0.25", "--out", str(out), "--threads", "1"]
    said = CliRunner().invoke(main, words).output.splitlines()
    assert said[1].startswith("lesion 2: not measured; this lesion was left out: lesion covers too much of its image")
    content = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert content["files"]["masks"] == ["mask_1.png"]
    assert not (out / "mask_2.png").exists()
    measures = ("mask_pixels", "area_mm2", "longest_diameter_mm", "predicted_iou")
    assert [content["lesions"][1][name] for name in measures] == [None] * 4


def test_lesions_with_the_same_box_have_different_tracking_uids(
    answered: Prediction, made_up: ModuleType, tmp_path: Path
) -> None:
    boxes = [made_up.BOX, made_up.BOX]
    predict(answered.image, boxes, out=tmp_path / "out", spacing_mm=made_up.SPACING_MM, finding="mass", threads=1)
    once, twice = (
        [str(segment.TrackingUID) for segment in pydicom.dcmread(folder / "segmentation.dcm").SegmentSequence]
        for folder in (answered.image.parent / "film", tmp_path / "out")
    )
    assert once == twice[:1]
    assert len(set(twice)) == 2


def test_flags_and_lesions_that_are_left_out_are_said(
    film: Path, made_up: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mammoflow.prediction import answers
    from mammoflow.prediction.films import PreparedFilms

    def flagged(*arguments: object) -> PreparedFilms:
        prepared = prepare(*arguments)
        images = prepared.images.assign(flag_view_conflict=True)
        lesions = prepared.lesions.assign(flag_odd=True)
        lesions = write_table(lesions[:1], CANONICAL_LESIONS, prepared.folder / "lesions.parquet")
        return PreparedFilms(prepared.folder, images, lesions, {}, {"film-0-lesion-1": "its box is odd"})

    prepare = answers.prepare_films
    monkeypatch.setattr(answers, "prepare_films", flagged)
    answered = predict(film, [made_up.BOX, made_up.BOX], spacing_mm=0.25, threads=1)
    assert answered.facts["image"]["flags"] == ["view_conflict"]
    assert answered.lesions[0].notes == ("flagged: odd",)
    assert answered.lesions[1].notes == ("this lesion was left out: its box is odd",)
    assert not answered.lesions[1].mask.any()
    assert answered.as_json()["lesions"][1]["predicted_iou"] is None
