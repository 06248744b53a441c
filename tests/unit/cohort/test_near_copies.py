"""Near copies: what counts as one, what does not, and how pairs become groups."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammoflow.cohort.near_copies import fingerprint, fingerprints, groups_of, near_copies


@pytest.fixture
def scene(load_writer) -> np.ndarray:
    return load_writer("busi").scene(1, (240, 300))


def saved(folder: Path, name: str, picture: np.ndarray) -> str:
    assert cv2.imwrite(str(folder / name), picture)
    return name


def pairs(folder: Path, *pictures: np.ndarray) -> dict[tuple[int, int], float]:
    names = [saved(folder, f"{place}.png", picture) for place, picture in enumerate(pictures)]
    return {(one, other): close for one, other, close in near_copies(fingerprints(folder, names))}


def test_the_same_pixels_at_two_names_and_at_another_size(scene, tmp_path):
    smaller = cv2.resize(scene, (150, 120), interpolation=cv2.INTER_AREA)
    found = pairs(tmp_path, scene, scene, smaller)
    assert set(found) == {(0, 1), (0, 2), (1, 2)}
    assert found[0, 1] == pytest.approx(1, abs=1e-6)


def test_small_changes_of_the_same_scene(scene, tmp_path):
    shifted = np.roll(scene, (2, 3), axis=(0, 1))
    trimmed = scene[3:-1, 2:-4]
    darker = (scene * 0.8).astype(np.uint8)
    measured = scene.copy()
    cv2.line(measured, (100, 50), (130, 90), 255, 1)
    assert len(pairs(tmp_path, scene, shifted, trimmed, darker, measured)) == 10


def test_other_scenes_are_no_copies(load_writer, tmp_path):
    assert pairs(tmp_path, *(load_writer("busi").scene(number) for number in range(12))) == {}


def test_the_correlation_is_that_of_numpy(scene, load_writer, tmp_path):
    other = cv2.addWeighted(scene, 0.8, load_writer("busi").scene(2, scene.shape), 0.2, 0)
    names = [saved(tmp_path, "a.png", scene), saved(tmp_path, "b.png", other)]
    reduced = [cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA).ravel() for picture in (scene, other)]
    expected = np.corrcoef(reduced[0], reduced[1])[0, 1]
    marks = fingerprints(tmp_path, names)
    assert near_copies(marks, threshold=expected - 1e-4)[0][2] == pytest.approx(expected, abs=1e-5)
    assert near_copies(marks, threshold=expected + 1e-4) == []


def test_what_cannot_be_compared_is_nobodys_copy(scene, tmp_path):
    (tmp_path / "study").mkdir()
    saved(tmp_path, "outside.png", scene)
    study = tmp_path / "study"
    (study / "link.png").symlink_to(tmp_path / "gone.png")
    (study / "text.png").write_text("no picture")
    (study / "empty.png").write_bytes(b"")
    names = ["link.png", "text.png", "empty.png", "missing.png", "../outside.png"]
    names += [saved(study, f"{grey}.png", np.full((40, 50), grey, np.uint8)) for grey in (0, 255)]
    cut = (study / saved(study, "cut.png", scene)).read_bytes()
    (study / "cut.png").write_bytes(cut[: len(cut) // 40])
    marks = fingerprints(study, names)
    assert marks == [None] * 7
    assert near_copies(marks) == []
    assert fingerprint(study / "cut.png") is None or fingerprint(study / "cut.png").shape == (1024,)


@given(
    st.integers(1, 12).flatmap(
        lambda count: st.tuples(
            st.just(count), st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=15)
        )
    )
)
def test_groups_hold_what_links_connect_and_nothing_else(case):
    count, links = case
    groups = groups_of(count, links)
    reached = np.eye(count, dtype=bool)
    for one, other in links:
        reached[one, other] = reached[other, one] = True
    for _ in range(count):
        reached = reached @ reached
    assert len(groups) == count
    assert np.array_equal(np.equal.outer(groups, groups), reached)
