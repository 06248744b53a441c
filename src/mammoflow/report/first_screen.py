"""The first screen of the report: the finding in one sentence, and what it was made with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from mammoflow.config.foreign import FOREIGN
from mammoflow.evaluation.candidates import BIRADS, CLASSIFIER, FEATURE_MODEL, display_name
from mammoflow.evaluation.seen_patients import SEEN_NOTE
from mammoflow.report.content import Row, weights_rows
from mammoflow.report.page import number, signed
from mammoflow.storage.files import read_json
from mammoflow.tables.study import LEAKING, PHANTOM


@dataclass(frozen=True)
class Finding:
    """What the report says first.

    Attributes
    ----------
    marks
        What limits the sentence, such as `phantom`; each is shown at its start.
    sentence
        The finding.
    model
        The model that it is about; "" where no model could be chosen without the test split.
    """

    marks: tuple[str, ...]
    sentence: str
    model: str


def finding(
    headline: Sequence[Row],
    validation: Iterable[Row],
    tests: Iterable[Row],
    settings: Mapping[str, Any],
    titles: Mapping[str, str],
    study_marks: Sequence[str],
) -> Finding:
    """Say what was compared, on whom, how the chosen model did, and what could not have been detected.

    The model is that of the primary comparison, else the classifier or model on features with the highest AUC on
    validation. It is never chosen on the test split.

    Parameters
    ----------
    headline, validation, tests
        Rows of `comparison.csv`, `comparison_validation.csv` and `auc_tests.csv`.
    settings
        Of the comparison.
    titles
        Titles of classifiers by name.
    study_marks
        Marks of the whole study, such as `phantom`.
    """
    rows = {str(row["model"]): row for row in headline}
    primary = settings.get("primary") or {}
    against = str(primary.get("against") or BIRADS)
    areas = validation_areas(validation)
    model = str(primary.get("model") or max(areas, key=lambda name: areas[name], default=""))
    row, other = rows.get(model), rows.get(against)
    if row is None or other is None:
        reader = headline[0]
        return Finding(tuple(study_marks), _no_model(reader, settings), "")
    name, reference = (display_name(each, titles).replace(BIRADS, "BI-RADS") for each in (model, against))
    how = "the model of the primary comparison" if primary else _chosen_among(len(areas))
    pair = next((test for test in tests if (test["model_a"], test["model_b"]) == (model, against)), {})
    said = [
        f"On {row['n']:.0f} test lesions ({row['n_malignant']:.0f} malignant) of {row['patients']:.0f} patients, "
        f"the AUC of {name} ({how}) is {number(row['auc'])}"
        + _bounds(row.get("auc_low"), row.get("auc_high"), settings),
        _difference(pair, reference, settings),
    ]
    return Finding((*study_marks, *model_marks(row)), f"{', '.join(part for part in said if part)}.", model)


def validation_areas(validation: Iterable[Row]) -> dict[str, float]:
    """Return the AUC on validation of each classifier and model on features; of several folds the mean.

    Another tool may have been trained on the validation patients, so its AUC there chooses nothing.
    """
    areas: dict[str, list[float | None]] = {}
    for row in validation:
        if row["family"] in (CLASSIFIER, FEATURE_MODEL) and FOREIGN not in str(row.get("note") or ""):
            areas.setdefault(str(row["model"]), []).append(row["auc"])
    return {
        model: mean(area for area in found if area is not None) for model, found in areas.items() if None not in found
    }


def model_marks(row: Row) -> tuple[str, ...]:
    """Return the marks of a model's row: oracle, test patients seen, scores of another tool."""
    notes = str(row.get("note") or "").split("; ")
    marks = []
    for start, mark in (
        ("oracle", "oracle: uses the reference"),
        (SEEN_NOTE, "test patients seen"),
        (FOREIGN, FOREIGN),
    ):
        marks += [mark] if any(note.startswith(start) for note in notes) else []
    return tuple(marks)


def marks_of_study(phantom: bool, leaking: bool) -> tuple[str, ...]:
    """Return the marks of the study in words."""
    said = (
        (f"{PHANTOM}: not evidence about patients", phantom),
        (f"{LEAKING}: every figure is too high", leaking),
    )
    return tuple(mark for mark, applies in said if applies)


def _chosen_among(count: int) -> str:
    return f"highest AUC on validation of {count} models" if count > 1 else "the only model"


def _no_model(reader: Row, settings: Mapping[str, Any]) -> str:
    alone = (
        f"BI-RADS alone has an AUC of {number(reader['auc'])}"
        f"{_bounds(reader.get('auc_low'), reader.get('auc_high'), settings)} on {reader['n']:.0f} test lesions "
        f"({reader['n_malignant']:.0f} malignant) of {reader['patients']:.0f} patients."
        if reader["n"]
        else "The study gives no BI-RADS assessment."
    )
    return f"No model is named here, because none has an AUC on validation and none was named beforehand. {alone}"


def _difference(pair: Row, reference: str, settings: Mapping[str, Any]) -> str:
    """Say how the model differs from its reference on the lesions of both, and what could not have been detected."""
    if not pair or pair.get("difference") is None:
        return f"and no difference to {reference} can be given, because no lesions of both classes have both scores"
    low, high = pair.get("low"), pair.get("high")
    others = "" if pair["n"] is None else f" on {pair['n']:.0f} lesions of both"
    text = (
        f"and that of {reference} {number(pair['auc_b'])}{others}: a difference of {signed(pair['difference'])}"
        f"{_bounds(low, high, settings)}"
    )
    smallest = pair["detectable"]
    if low is None or high is None or smallest is None:
        return f"{text}, for which there are too few patients for an interval"
    contains = ", an interval that includes no difference" if low <= 0 <= high else ""
    which = f"a true difference smaller than {number(smallest, 2)}" if smallest < 1 else "a true difference of any size"
    missed = f"{which} could not be detected with a power of {100 * settings['power']:g} %"
    return f"{text}{contains}; {missed}"


def _bounds(low: float | None, high: float | None, settings: Mapping[str, Any]) -> str:
    if low is None or high is None:
        return " (no interval)"
    digits = [number(low, 2), number(high, 2)] if low >= 0 else [signed(low, 2), signed(high, 2)]
    return f" ({100 * float(settings['confidence']):g} % interval {' to '.join(digits)})"


def run_facts(run_folder: Path, provenance: Row) -> list[tuple[str, str]]:
    """Return what the run was made with, in the order of the page.

    Parameters
    ----------
    run_folder
        The folder with `run.json`, which a run of the workflow writes; without it the first facts are missing.
    provenance
        The record of the comparison.
    """
    path = run_folder / "run.json"
    record = read_json(path) if path.is_file() else {}
    revision = str(record.get("git_revision") or "")
    facts = [
        ("Date", str(record.get("started") or "")),
        ("Revision", f"{revision} with changes" if revision and record.get("git_changes") else revision),
        ("Command", str(record.get("command") or "")),
        ("Configuration files", ", ".join(record.get("configuration") or [])),
    ]
    training = provenance.get("training", {})
    seeds = {name: ", ".join(map(str, dict(entry.get("seeds") or {}))) for name, entry in training.items()}
    facts.append(("Seeds", "; ".join(f"{name}: {found}" for name, found in seeds.items() if found)))
    facts.append(("Seed of the bootstrap", str(provenance["comparison"].get("seed", ""))))
    of_seeds = [seed for entry in training.values() for seed in dict(entry.get("seeds") or {}).values()]
    devices = dict.fromkeys(str(seed["device"]) for seed in of_seeds if seed.get("device"))
    facts.append(("Devices", ", ".join(devices)))
    weights = [
        f"{row['name']}: {row['title']}, sha256 {row['sha256'][:16]}"
        for row in weights_rows(provenance)
        if row["sha256"]
    ]
    facts.append(("Weights and tables", "; ".join(weights)))
    return [(name, value or "not recorded") for name, value in facts]


def discordant_rows(rows: Iterable[Row], model: str, shown: int = 40) -> list[tuple[str, int, list[Row]]]:
    """Return the lesions that a model and BI-RADS call differently, by who is right: heading, count, first rows.

    Parameters
    ----------
    rows
        Of `discordant.csv`.
    model
        The model; of several seeds the first is shown.
    shown
        Most rows of each part.
    """
    of_model = [row for row in rows if row["model"] == model]
    of_seed = [row for row in of_model if row["seed"] == of_model[0]["seed"]]
    parts = [
        (heading, [row for row in of_seed if row["right"] == right])
        for right, heading in (
            ("model", "The model is right and BI-RADS is wrong"),
            ("BI-RADS", "BI-RADS is right and the model is wrong"),
        )
    ]
    return [(heading, len(part), sorted(part, key=lambda row: -row["malignant"])[:shown]) for heading, part in parts]
