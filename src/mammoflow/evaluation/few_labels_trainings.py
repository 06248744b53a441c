"""The trainings behind the models of a run, as far as their records say whose labels they used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SUPERVISED, MASKS = "supervised", "masks"
CLASSIFIER = "classifier"


@dataclass(frozen=True)
class Training:
    """One training: what it was, and where its values are.

    Attributes
    ----------
    network
        What the trainings of a comparison share: an architecture with its settings, or the settings of a classifier.
    method
        The trainer.
    labels
        What the labels were: `masks`, or something weaker.
    supplementary
        Training data that were added, in words; "" without.
    fraction, draw, seed
        Share of the training patients with labels, number of the draw, seed.
    facts
        Counts of the record: labelled and unlabelled patients, steps.
    model
        Name of the model.
    title
        What the table calls the network.
    """

    network: str
    method: str
    labels: str
    supplementary: str
    fraction: float
    draw: int
    seed: int
    facts: Mapping[str, float]
    model: str
    title: str

    @property
    def cell(self) -> tuple[str, str, str, str, float]:
        """What a row of the table joins."""
        return self.network, self.method, self.labels, self.supplementary, self.fraction

    @property
    def plain(self) -> bool:
        """Whether it is supervised learning from masks without anything added."""
        return (self.method, self.labels, self.supplementary) == (SUPERVISED, MASKS, "")


def training_of(model: str, seed: int = 0) -> Training:
    """Return a training that is known by its model alone, for what measures trainings.

    Parameters
    ----------
    model
        Name of the model.
    seed
        Of a classifier's training.
    """
    return Training(model, model, MASKS, "", 1.0, 0, seed, {}, model, model)


def segmentation_trainings(weights: Mapping[str, Any]) -> list[Training]:
    """Return the trainings behind the automatic models of a run, from what `weights.json` says of each.

    A network is an architecture with its settings. Without a digest of the settings it is the architecture alone.
    """
    trainings = []
    for model, origin in weights.items():
        facts = origin.get("training")
        if not facts or "label_fraction" not in facts:
            continue
        trainings.append(
            Training(
                " ".join([origin["architecture"], facts.get("settings_digest", "")]).strip(),
                facts["trainer"],
                facts["labels"],
                _added(facts.get("supplementary") or {}),
                float(facts["label_fraction"]),
                int(facts["label_draw"]),
                int(facts["seed"]),
                facts,
                model,
                origin["architecture"],
            )
        )
    return trainings


def classifier_trainings(training: Mapping[str, Any]) -> list[Training]:
    """Return the trainings of the classifiers of a run, one for each seed, from their records."""
    trainings = []
    for model, record in training.items():
        if "label_fraction" not in record:
            continue
        settings = record["settings"]
        left_out = ("trainer", "trainer_options", "few_labels", "title", "note", "seeds")
        shared = json.dumps({key: settings[key] for key in sorted(settings) if key not in left_out})
        for seed in settings["seeds"]:
            trainings.append(
                Training(
                    shared, settings["trainer"], MASKS, "", float(record["label_fraction"]),
                    int(record["label_draw"]), int(seed), record, model, CLASSIFIER,
                )
            )  # fmt: skip
    return trainings


def network_names(trainings: Iterable[Training]) -> dict[str, str]:
    """Return what the table calls each network: its title, with a number for classifiers and for one of several."""
    titles = {one.network: one.title for one in trainings}
    names = {}
    for title in dict.fromkeys(titles.values()):
        networks = [network for network, other in titles.items() if other == title]
        for number, network in enumerate(networks, 1):
            if title == CLASSIFIER:
                names[network] = f"{title} {number}"
            else:
                names[network] = f"{title}, settings {number}" if len(networks) > 1 else title
    return names


def _added(supplementary: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in supplementary.items())
