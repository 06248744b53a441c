from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors

from mammoflow.errors import StudyError
from mammoflow.evaluation.curves import Curve, draw_precision_recall, precision_points, roc_points
from mammoflow.evaluation.drawing import COLOURS, drawing, marked_figures, name_artists, put_title, write_data
from mammoflow.report import figures
from mammoflow.report.figures import FIGURES, Figure, drawn, read_figures


@pytest.fixture
def figure(tmp_path: Path) -> Figure:
    path = tmp_path / "roc.png"
    with drawing(path, 2.0) as shown:
        axes = shown.subplots()
        put_title(shown, "Two curves", phantom=True)
        for place, name in enumerate(("first & best", "second")):
            name_artists(name, axes.plot([0, 1], [place, 1], color=COLOURS[place], label=name))
    svg = path.with_suffix(".svg").read_text(encoding="utf-8")
    return Figure("roc", "Two curves.", ("phantom",), svg, (), "comparison/figures/roc.*")


def test_a_drawing_becomes_a_part_of_the_page(figure: Figure) -> None:
    svg = str(drawn(figure, 'Two "curves"'))
    assert svg.startswith("<svg ")
    assert 'role="img" aria-label="Two &quot;curves&quot;. phantom"' in svg
    assert "<?xml" not in svg
    ids = re.findall(r' id="([^"]*)"', svg)
    assert len(ids) == len(set(ids)) > 0
    assert all(each.startswith("roc-") for each in ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= set(ids)
    assert re.findall(r'class="series" data-name="(.*?)"', svg) == ["first &amp; best", "second"]
    assert "Two curves (phantom)" in svg  # text stays text


def test_every_colour_of_the_house_is_a_variable_of_the_style(figure: Figure) -> None:
    svg = str(drawn(figure, "Two curves"))
    assert "var(--figure-blue)" in svg
    assert "var(--figure-vermilion)" in svg
    assert COLOURS[0].lower() not in svg.lower()
    style = (Path(figures.__file__).parent / "templates" / "figures.css").read_text(encoding="utf-8")
    defined = dict(re.findall(r"--figure-(\w+): light-dark\((#\w+),", style))
    for colour, name in figures.COLOURS.items():
        if name != "ground":
            assert defined[name] == colour
    assert {colour.lower() for colour in COLOURS} <= set(figures.COLOURS)
    assert all(colors.is_color_like(value) for value in defined.values())


def test_figures_have_their_files_and_every_mark(tmp_path: Path) -> None:
    for name in FIGURES:
        (tmp_path / f"{name}.svg").write_text('<svg viewBox="0 0 1 1"></svg>', encoding="utf-8")
        (tmp_path / f"{name}.png").write_bytes(b"png")
    (tmp_path / "roc.csv").write_text("a\n1\n", encoding="utf-8")
    found = read_figures(tmp_path, phantom=True, leaking=True, seen=["small saw 2"])
    assert [file.kind for file in found["roc"].files] == ["SVG", "PNG", "CSV"]
    assert [file.kind for file in found["auc"].files] == ["SVG", "PNG"]
    assert "froc" not in found
    for one in found.values():
        assert one.marks == ("phantom", "leaking split", "test patients seen")
        assert "Leaking split" in one.caption
        assert "small saw 2" in one.caption
    (tmp_path / "auc.svg").unlink()
    with pytest.raises(StudyError, match=r"auc\.svg does not exist; run the comparison again"):
        read_figures(tmp_path)


def test_the_data_of_a_figure_name_its_marks(tmp_path: Path) -> None:
    with marked_figures("leaking split"):
        write_data(tmp_path / "a.png", pd.DataFrame({"x": [1], "y": [2], "z": [3]}), True, ("y", "x", "absent"))
    table = pd.read_csv(tmp_path / "a.csv")
    assert table.to_dict("records") == [{"y": 2, "x": 1, "figure_marks": "phantom; leaking split"}]


def test_points_of_curves_are_those_counted_by_hand(tmp_path: Path) -> None:
    label, score = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.7, 0.1])
    curve = Curve("net", "Net", "classifier", label, [score], 0.5, "oracle: uses the reference; 1 seed")
    roc = roc_points([curve])
    assert roc["recall"].tolist() == [0, 0.5, 0.5, 1, 1]
    assert roc["false_positive_rate"].tolist() == [0, 0, 0.5, 0.5, 1]
    assert roc["n"].unique().tolist() == [4]
    precision = precision_points([curve]).set_index("threshold")
    assert precision.loc[0.9, ["recall", "precision"]].tolist() == [0.5, 1.0]
    assert precision.loc[0.7, ["recall", "precision"]].tolist() == pytest.approx([1.0, 2 / 3])
    draw_precision_recall(tmp_path / "pr.png", [curve], phantom=False)
    data = pd.read_csv(tmp_path / "pr.csv")
    assert data["note"].tolist() == ["oracle: uses the reference; 1 seed", *["oracle: uses the reference"] * 3]
    draw_precision_recall(tmp_path / "none.png", [], phantom=False)
    assert "no curve" in (tmp_path / "none.svg").read_text(encoding="utf-8")
