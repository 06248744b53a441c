"""Classifiers of a finished run are applied by the workflow, and run again where that run's weights change."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.long(8)

OVERLAY = """
run: applied
cohort: {split: {method: apply}}
classification: {from_run: results/phantom, run: [context_crop, perceptron_frozen]}
"""


def test_a_run_applies_the_classifiers_of_another_run(project: Project) -> None:
    trained = project.root / "results" / "phantom" / "classification"
    for folder in trained.iterdir():  # the stand-ins write no records
        settings = {"input": "context_crop", "network": "resnet_small", "seeds": [0]}
        record = json.dumps({"settings": settings, "seeds": {"0": {}}})
        (folder / "training.json").write_text(record, encoding="utf-8")
        (folder / "seeds" / "0" / "record.json").write_text("{}", encoding="utf-8")
    overlay = project.root / "overlay.yaml"
    overlay.write_text(OVERLAY, encoding="utf-8")
    arguments = ("classify", "--configfile", str(overlay))
    assert project.planned(*arguments)["train_classifier"] == 2
    printed = project.snakemake(*arguments, "--printshellcmds")
    assert "--trained results/phantom/classification/context_crop" in printed
    assert "--validation-classes 0" in printed
    assert project.planned(*arguments) == {}
    weights = trained / "context_crop" / "seeds" / "0" / "model.safetensors"
    weights.write_text("other weights", encoding="utf-8")
    assert project.planned(*arguments)["train_classifier"] == 1
    shutil.rmtree(trained / "context_crop")
    printed = project.snakemake(*arguments, check=False)
    assert "run names 'context_crop', which the run results/phantom did not train" in printed
