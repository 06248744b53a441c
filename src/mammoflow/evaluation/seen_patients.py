"""Which patients the models behind a row have seen in their own training, and how a row says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

SEEN_MARK = "test patients seen"
"""The mark of figures that depend on a model that was trained on test patients."""

SEEN_NOTE = "seen: "
"""Start of the note of a row that rests on such a model."""


@dataclass(frozen=True)
class SeenPatients:
    """The patients that a segmentation model was trained on; a row rests on its masks or on its weights.

    Attributes
    ----------
    model
        Name of the segmentation model.
    patients
        Ids of its training patients, as far as its record says.
    """

    model: str
    patients: frozenset[str]

    @classmethod
    def of_scores(cls, model: str, scores: pd.DataFrame) -> SeenPatients:
        """Read the patients of a model from rows of the SEGMENTATION_SCORES schema."""
        rows = scores[(scores["model"] == model) & scores["seen"]]
        return cls(model, frozenset(rows["patient_id"]))

    @classmethod
    def pooled(cls, parts: Sequence[tuple[SeenPatients | None, Iterable[str]]]) -> SeenPatients | None:
        """Join what the models of several runs have seen of the test patients that each of them scores."""
        models = [(seen, set(patients)) for seen, patients in parts if seen is not None]
        if not models:
            return None
        return cls(models[0][0].model, frozenset().union(*(seen.patients & patients for seen, patients in models)))

    @classmethod
    def joined(cls, parts: Iterable[SeenPatients | None]) -> SeenPatients | None:
        """Join what several models have seen that one row rests on; None where it rests on none."""
        found = [seen for seen in parts if seen is not None]
        if not found:
            return None
        models = dict.fromkeys(seen.model for seen in found)
        return cls(" and ".join(models), frozenset().union(*(seen.patients for seen in found)))

    def among(self, patients: Iterable[str]) -> int:
        """Count how many distinct patients of those given the model was trained on."""
        return len(self.patients & set(patients))


def seen_columns(seen: SeenPatients | None, patients: Iterable[str], *notes: str) -> dict[str, object]:
    """Return the columns `seen_test_patients` and `note` of a row.

    Parameters
    ----------
    seen
        Of the model whose masks or weights the row rests on; None where it rests on none, or is of no test patients.
    patients
        Of the lesions that the row scores.
    *notes
        What else a reader of the row must know; "" is left out.

    Returns
    -------
    dict
        `seen_test_patients` is None, an empty field, where the row rests on no such model, and 0 where the model was
        trained on none of the patients. Where it was trained on some, the note says on how many of how many.
    """
    said = [note for note in notes if note]
    if seen is None:
        return {"seen_test_patients": None, "note": "; ".join(said)}
    tested = set(patients)
    count = seen.among(tested)
    if count:
        said.append(
            f"{SEEN_NOTE}masks or weights are of {seen.model}, which was trained on {count} of {len(tested)} test "
            "patients"
        )
    return {"seen_test_patients": count, "note": "; ".join(said)}
