"""Code digests follow imports and data files, not modification times."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mammoflow.errors import ConfigError
from mammoflow.run.provenance import code_digest, code_modules, outside_imports, run_record

FILES = {
    "__init__.py": "",
    "ground.py": "import numpy\n",
    "room/__init__.py": "",
    "room/stage.py": "from mammoflow.room import tool\nfrom mammoflow.ground import value\n",
    "room/tool.py": "def run():\n    from .inner.deep import thing\n    import mammoflow.late\n",
    "room/inner/__init__.py": "",
    "room/inner/deep.py": "import cv2.data\nfrom .. import sibling\n",
    "room/inner/weights.bin": "weights",
    "room/sibling.py": "",
    "room/data/table.csv": "a,b",
    "room/page.md": "a page",
    "late.py": "from mammoflow import other\n",
    "other.py": "",
    "unused/__init__.py": "",
    "unused/stage.py": "import mammoflow.ground\n",
}
STAGE = "mammoflow.room.stage"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "mammoflow" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_modules_behind_a_stage(sources: Path) -> None:
    assert code_modules(STAGE, sources=sources) == (
        "mammoflow",
        "mammoflow.ground",
        "mammoflow.late",
        "mammoflow.other",
        "mammoflow.room",
        "mammoflow.room.inner",
        "mammoflow.room.inner.deep",
        "mammoflow.room.sibling",
        "mammoflow.room.stage",
        "mammoflow.room.tool",
    )


def test_imports_from_outside(sources: Path) -> None:
    assert outside_imports(STAGE, sources=sources) == {"numpy", "cv2"}
    assert outside_imports(STAGE, without=frozenset({"mammoflow.ground"}), sources=sources) == {"cv2"}


@pytest.mark.parametrize(
    "changed",
    [
        "room/stage.py",
        "room/inner/deep.py",
        "other.py",
        "room/inner/__init__.py",
        "room/inner/weights.bin",
        "room/data/table.csv",
    ],
)
def test_the_digest_follows_what_the_stage_uses_and_returns_after_a_revert(sources: Path, changed: str) -> None:
    before = code_digest(STAGE, sources=sources)
    path = sources / "mammoflow" / changed
    original = path.read_text(encoding="utf-8")
    path.write_text(original + "\n#", encoding="utf-8")
    assert code_digest(STAGE, sources=sources) != before
    path.write_text(original, encoding="utf-8")
    assert code_digest(STAGE, sources=sources) == before


@pytest.mark.parametrize("changed", ["unused/stage.py", "unused/__init__.py", "room/page.md"])
def test_the_digest_ignores_what_the_stage_does_not_use(sources: Path, changed: str) -> None:
    before = code_digest(STAGE, sources=sources)
    (sources / "mammoflow" / changed).write_text("changed = True\n", encoding="utf-8")
    assert code_digest(STAGE, sources=sources) == before


def test_the_digest_ignores_times_and_the_folder(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = code_digest(STAGE, sources=sources)
    for path in sources.rglob("*.py"):
        os.utime(path, (1, 1))
    assert code_digest(STAGE, sources=sources) == before
    moved = tmp_path_factory.mktemp("other") / "src"
    sources.rename(moved)
    assert code_digest(STAGE, sources=moved) == before


def test_a_renamed_data_file_changes_the_digest(sources: Path) -> None:
    before = code_digest(STAGE, sources=sources)
    folder = sources / "mammoflow" / "room" / "data"
    (folder / "table.csv").rename(folder / "renamed.csv")
    assert code_digest(STAGE, sources=sources) != before


def test_an_unknown_module_is_an_error(sources: Path) -> None:
    with pytest.raises(ConfigError, match=r"mammoflow\.rom\.stage"):
        code_digest("mammoflow.rom.stage", sources=sources)


def test_stages_of_the_library_are_apart() -> None:
    gabor = "mammoflow.features.gabor_bank"
    assert gabor in code_modules("mammoflow.features.families.gabor")
    for stage in (
        "features.stage",
        "features.families.radiomics",
        "segmentation.prompted.stage",
        "imaging.stage",
        "cohort.stage",
    ):
        assert gabor not in code_modules(f"mammoflow.{stage}")
    prompted = "mammoflow.classification.prompted_front"
    assert prompted in code_modules("mammoflow.classification.inputs.prompted")
    for member in ("stage", "inputs.masked_crop", "inputs.whole_image", "networks.efficientnet_b0"):
        modules = code_modules(f"mammoflow.classification.{member}")
        assert prompted not in modules
        of_segmentation = {name for name in modules if name.startswith("mammoflow.segmentation.")}
        # numbers of masks, and their components; no model and no training
        assert not [name for name in of_segmentation if ".scoring" not in name and not name.endswith(".matching")]


def test_digests_of_all_stages_are_fast() -> None:
    start = time.process_time()
    for stage in ("cohort.stage", "imaging.stage", "segmentation.prompted.stage", "evaluation.stage", "report.stage"):
        code_digest(f"mammoflow.{stage}")
    assert time.process_time() - start < 2


def test_run_record(tmp_path: Path) -> None:
    words = ["/opt/bin/snakemake", "--cores", "4", "--configfile", str(Path.home() / "a b.yaml")]
    record = run_record("slurm", tmp_path, words, [tmp_path / "config.yaml", tmp_path / "mine.yaml"])
    assert record["command"] == "snakemake --cores 4 --configfile '~/a b.yaml'"
    assert record["configuration"] == ["config.yaml", "mine.yaml"]
    assert record["executor"] == "slurm"
    assert record["git_revision"] == ""
    assert record["packages"]["numpy"]
