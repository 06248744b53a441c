from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mammoflow.cohort.phantom.appearance import MassAppearance
from mammoflow.cohort.phantom.population import Breast, Finding, draw_study
from mammoflow.config.phantom import PhantomSettings

SEEDS = (2016, 1, 2, 3, 4)


def rows_of(breasts: list[Breast], lesion_type: str = "") -> list[Finding]:
    """One entry a lesion and view, as in the case tables."""
    return [
        finding
        for breast in breasts
        for finding in breast.findings
        for _ in finding.views
        if lesion_type in ("", finding.lesion_type)
    ]


def auc(rows: list[Finding], values: list[float]) -> float:
    return float(roc_auc_score([row.malignant for row in rows], values))


@pytest.fixture(scope="module", params=SEEDS)
def study(request: pytest.FixtureRequest) -> list[Breast]:
    return draw_study(PhantomSettings(seed=request.param))


def test_the_same_settings_draw_the_same_study() -> None:
    assert draw_study(PhantomSettings(seed=5)) == draw_study(PhantomSettings(seed=5))
    assert draw_study(PhantomSettings(seed=5)) != draw_study(PhantomSettings(seed=6))


def test_the_default_study_has_the_size_and_shares_that_are_promised(study: list[Breast]) -> None:
    rows = rows_of(study)
    assert len({breast.patient_id for breast in study}) == 120
    assert 250 <= sum(len(breast.views) for breast in study) <= 300
    normal = [breast for breast in study if not breast.findings]
    assert [breast.views for breast in normal] == [("CC", "MLO")] * 12
    assert {breast.split for breast in normal} == {"Training", "Test"}
    assert {row.patient_id for row in rows}.isdisjoint(breast.patient_id for breast in normal)
    assert 0.50 <= np.mean([row.lesion_type == "mass" for row in rows]) <= 0.62
    assert 0.40 <= np.mean([row.malignant for row in rows]) <= 0.50
    assert {breast.density for breast in study} == {1, 2, 3, 4}
    one_view = np.mean([len(finding.views) == 1 for breast in study for finding in breast.findings])
    assert 0.05 <= one_view <= 0.2
    assert 0.15 <= np.mean([breast.fine_scanner for breast in study]) <= 0.35


def test_the_hidden_suspicion_is_the_ceiling(study: list[Breast]) -> None:
    for lesion_type in ("", "mass", "calcification"):
        rows = rows_of(study, lesion_type)
        assert auc(rows, [row.suspicion for row in rows]) == pytest.approx(0.95, abs=0.025)


def test_birads_separates_the_classes_as_the_real_tables_do(study: list[Breast]) -> None:
    rows, masses = rows_of(study), rows_of(study, "mass")
    assert auc(rows, [row.assessment.birads for row in rows]) == pytest.approx(0.81, abs=0.03)
    assert auc(masses, [row.assessment.birads for row in masses]) == pytest.approx(0.84, abs=0.03)
    # Real tables: 2,206 of 3,568 rows are above 3, and 238 are 0.
    assert np.mean([row.assessment.birads > 3 for row in rows]) == pytest.approx(2206 / 3568, abs=0.06)
    assert np.mean([row.assessment.birads == 0 for row in rows]) == pytest.approx(238 / 3568, abs=0.04)


def test_size_and_contrast_alone_hardly_separate_the_classes(study: list[Breast]) -> None:
    for lesion_type in ("", "mass", "calcification"):
        rows = rows_of(study, lesion_type)
        assert 0.42 <= auc(rows, [row.diameter_mm for row in rows]) <= 0.58
        assert 0.42 <= auc(rows, [row.contrast for row in rows]) <= 0.58


@pytest.mark.parametrize("lesion_type", ["mass", "calcification"])
def test_what_can_be_seen_separates_the_classes_well_but_not_perfectly(lesion_type: str) -> None:
    rows = rows_of(draw_study(PhantomSettings(patients=400, seed=1)), lesion_type)
    seen = np.array([[float(value) for value in vars(row.appearance).values()] for row in rows])
    truth = np.array([row.malignant for row in rows])
    model = make_pipeline(StandardScaler(), LogisticRegression())
    probability = cross_val_predict(model, seen, truth, cv=5, method="predict_proba")[:, 1]
    assert 0.88 <= roc_auc_score(truth, probability) <= 0.96


def test_the_classes_overlap_in_what_the_reader_writes() -> None:
    masses = rows_of(draw_study(PhantomSettings(patients=400, seed=1)), "mass")
    spiculated = [row.malignant for row in masses if row.assessment.margins == "SPICULATED"]
    smooth = [row.malignant for row in masses if row.assessment.margins in ("CIRCUMSCRIBED", "OBSCURED")]
    assert 0.6 <= np.mean(spiculated) <= 0.97
    assert 0.03 <= np.mean(smooth) <= 0.35
    irregular = {row.assessment.shape for row in masses if "IRREGULAR" in row.assessment.shape and not row.malignant}
    assert irregular


def test_only_benign_findings_are_without_callback(study: list[Breast]) -> None:
    names = {(row.malignant, row.assessment.pathology) for row in rows_of(study)}
    assert names == {(True, "MALIGNANT"), (False, "BENIGN"), (False, "BENIGN_WITHOUT_CALLBACK")}


def test_no_patient_is_on_two_sides_of_one_type_but_some_are_over_both(study: list[Breast]) -> None:
    sides: dict[tuple[str, str], set[str]] = {}
    for row in rows_of(study):
        sides.setdefault((row.patient_id, row.lesion_type), set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())
    pooled: dict[str, set[str]] = {}
    for (patient, _), side in sides.items():
        pooled.setdefault(patient, set()).update(side)
    assert any(len(side) == 2 for side in pooled.values())
    tested = [side == {"Test"} for side in sides.values()]
    assert 0.15 <= np.mean(tested) <= 0.28


@pytest.mark.parametrize("patients", [6, 7, 8, 12])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_smallest_studies_fill_every_table_and_hold_every_oddity(patients: int, seed: int) -> None:
    breasts = draw_study(PhantomSettings(patients=patients, seed=seed))
    rows = rows_of(breasts)
    assert len({breast.patient_id for breast in breasts}) == patients
    assert len({row.patient_id for row in rows}) == max(6, patients - round(0.1 * patients))
    assert {(row.lesion_type, row.split) for row in rows} == {
        (lesion_type, split) for lesion_type in ("mass", "calcification") for split in ("Training", "Test")
    }
    assert {(row.lesion_type, row.malignant) for row in rows} == {
        (lesion_type, ill) for lesion_type in ("mass", "calcification") for ill in (False, True)
    }
    assert any({finding.lesion_type for finding in breast.findings} == {"mass", "calcification"} for breast in breasts)
    assert any(finding.number == 2 for breast in breasts for finding in breast.findings)


def test_finding_names_are_unique_and_sizes_plausible(study: list[Breast]) -> None:
    findings = [finding for breast in study for finding in breast.findings]
    assert len({finding.finding_id for finding in findings}) == len(findings)
    diameters = np.array([f.diameter_mm for f in findings if isinstance(f.appearance, MassAppearance)])
    assert np.mean((diameters >= 10) & (diameters <= 30)) > 0.8
    assert all(finding.patient_id >= "P_90001" for finding in findings)
