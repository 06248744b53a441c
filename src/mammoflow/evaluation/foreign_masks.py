"""Masks of other tools, scored against the reference as those of a model are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.cohort.table_files import ORIGIN, TableForm, read_text_table
from mammoflow.config.foreign import PLACE, ForeignMasks
from mammoflow.errors import ConfigError, StudyError
from mammoflow.evaluation.foreign_tables import EXAMPLES, LISTED, PATHS, SUFFIX, as_cohort, lesion_keys
from mammoflow.imaging.geometry import resize
from mammoflow.segmentation.scoring.references import References, score_rows
from mammoflow.storage.files import file_digest, read_image
from mammoflow.tables.detections import FOREIGN_MASKS
from mammoflow.tables.files import empty_table, read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import SEGMENTATION_SCORES

_COMMON: dict[str, Any] = {
    "field_of_view": "", "view_spacing_mm": np.nan, "prompt_id": None, "kind": "none", "origin": FOREIGN_MASKS,
    "draw": 0, "margin_mm": np.nan, "iteration": pd.NA, "chosen": True, "choice": None, "feed": "", "head": pd.NA,
    "head_choice": None, "seen": False,
    **{f"head_{head}_{of}": np.nan for head in (1, 2, 3) for of in ("predicted_iou", "dice")},
}  # fmt: skip


@dataclass(frozen=True)
class ScoredMasks:
    """Scores of other tools' masks.

    Attributes
    ----------
    scores
        Rows of the SEGMENTATION_SCORES schema; `origin` is `foreign`.
    problems
        Columns `LISTED`: lesions without a mask that can be used (`side` is `masks`), and files that no lesion takes
        (`side` is `files`).
    """

    scores: pd.DataFrame
    problems: pd.DataFrame


def score_foreign_masks(tools: Sequence[ForeignMasks], folders: Sequence[Path], models: Sequence[str]) -> ScoredMasks:
    """Score the masks of other tools.

    A mask has the size of the canonical image, or that of the film, from which it is brought to the canonical grid. A
    pixel is in the mask where it is brighter than half of the largest grey level.

    Parameters
    ----------
    tools
        Settings of each tool.
    folders
        Folders of the image stage, one a shard.
    models
        Names of the segmentation models of the run.

    Raises
    ------
    ConfigError
        If a tool has the name of a model.
    StudyError
        If no lesion has a mask of a tool that can be used.
    """
    scores, problems = [empty_table(SEGMENTATION_SCORES)], [pd.DataFrame(columns=LISTED)]
    for tool in tools:
        if tool.name in models:
            raise ConfigError(
                f"comparison.masks: the name {tool.name!r} is that of a segmentation model of the run; expected a name "
                "of its own; choose another one"
            )
        one = _score_tool(tool, folders)
        scores.append(one.scores)
        problems.append(one.problems)
    return ScoredMasks(joined_rows(scores), joined_rows(problems))


def joined_rows(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several tables; the first one where all are empty."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _score_tool(tool: ForeignMasks, folders: Sequence[Path]) -> ScoredMasks:
    """Score the masks of one tool on the lesions of all shards."""
    rows: list[dict[str, Any]] = []
    problems: list[tuple[str, str, str]] = []
    used: set[Path] = set()
    tables = [(folder, *_tables(folder)) for folder in folders]
    files = _files(tool, pd.concat([lesions for _, _, lesions in tables]) if tables else pd.DataFrame())
    several = files["files"].explode().dropna().value_counts()
    several = several[several > 1]
    for folder, images, lesions in tables:
        described = {str(row["image_id"]): row for row in images.to_dict("records")}
        for image_id, of_image in lesions.groupby("image_id", sort=False):
            image = described[str(image_id)]
            found: dict[str, npt.NDArray[np.bool_]] = {}
            for lesion_id in of_image.index.astype(str):
                named = files["files"][lesion_id]
                used |= {Path(tool.folder) / file for file in named}
                mask, problem = _only_mask(tool, named, image, several)
                if mask is None:
                    problems.append((lesion_id, str(files["row"][lesion_id]), problem))
                else:
                    found[lesion_id] = mask
            if found:
                rows += _scores(tool, folder, image, of_image.loc[[*found]], np.stack([*found.values()]))
    if not rows:
        raise StudyError(_no_match(tool, problems))
    table = pd.DataFrame(problems, columns=["value", "row", "problem"]).assign(side="masks", key="lesion_id")
    unused = [path for path in sorted(Path(tool.folder).rglob("*.png")) if path not in used]
    values = [str(path.relative_to(tool.folder)) for path in unused]
    strangers = pd.DataFrame({"value": values, "row": "", "problem": "no usable lesion of the run has this file"})
    listed = joined_rows([table, strangers.assign(side="files", key="file")]).assign(model=tool.name)
    return ScoredMasks(pd.DataFrame(rows)[[*SEGMENTATION_SCORES.columns]], listed.reindex(columns=LISTED))


def _tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images and lesions of a shard, indexed by image and lesion."""
    images = read_table(folder / "images.parquet", CANONICAL_IMAGES).set_index("image_id", drop=False)
    lesions = read_table(folder / "lesions.parquet", CANONICAL_LESIONS).set_index("lesion_id")
    return images, lesions.assign(image_path=lesions["image_id"].map(images["image_path"]))


def _files(tool: ForeignMasks, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the different files that are named for each lesion, and the rows of the table that name them."""
    if not tool.table:
        parts = tuple(dict.fromkeys(PLACE.findall(tool.file)))
        names = [_file_name(tool.file, dict(zip(parts, key, strict=True))) for key in lesion_keys(parts, lesions)]
        return pd.DataFrame({"files": [[name] for name in names], "row": ""}, index=lesions.index.astype(str))
    table = read_text_table(Path(tool.table), TableForm(tool.encoding, tool.delimiter, tool.sheet), [])
    columns = [*tool.key_columns(), tool.file]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise StudyError(
            f"{tool.table} of {tool.name} lacks the columns {', '.join(missing)}; found {', '.join(table.columns)}; "
            "name the key and the file in comparison.masks: key, columns and file"
        )
    named: dict[tuple[str, ...], dict[str, str]] = {}
    for *values, file, origin in table[[*columns, ORIGIN]].itertuples(index=False, name=None):
        key = tuple(as_cohort(part, str(value)) for part, value in zip(tool.key_parts(), values, strict=True))
        if str(file):
            named.setdefault(key, {}).setdefault(str(file).replace("\\", "/"), str(origin))
    found = [named.get(key, {}) for key in lesion_keys(tool.key_parts(), lesions)]
    rows = [", ".join(files.values()) for files in found]
    return pd.DataFrame({"files": [[*files] for files in found], "row": rows}, index=lesions.index.astype(str))


def _file_name(pattern: str, key: Mapping[str, str]) -> str:
    """Return the file that a pattern names for a key; of a path it takes the name without its ending."""
    name = pattern
    for part, value in key.items():
        name = name.replace(f"{{{part}}}", SUFFIX.sub("", PurePosixPath(value).name) if part in PATHS else value)
    return name


def _only_mask(
    tool: ForeignMasks, named: Sequence[str], image: Mapping[Any, Any], several: pd.Series
) -> tuple[npt.NDArray[np.bool_] | None, str]:
    """Return the mask of the one file that is named for a lesion, or why there is none."""
    if not named:
        return None, "no row of the table names a file"
    if len(named) > 1:
        return (
            None,
            f"the table names {len(named)} files: {', '.join(named[:EXAMPLES])}; expected one for each lesion",
        )
    return _mask(tool, named[0], image, several)


def _mask(
    tool: ForeignMasks, file: str, image: Mapping[Any, Any], several: pd.Series
) -> tuple[npt.NDArray[np.bool_] | None, str]:
    """Return a mask on the canonical grid, or why there is none."""
    if file in several.index:
        return None, f"{file} is the file of {several[file]} lesions; expected one file for each lesion"
    path = Path(tool.folder) / file
    if not path.resolve().is_relative_to(Path(tool.folder).resolve()):
        return None, f"{file} leads out of the folder of the masks"
    if not path.is_file():
        return None, f"{file} does not exist"
    try:
        grey = read_image(path)
    except StudyError:
        return None, f"{file} cannot be read as a picture"
    if grey.ndim != 2:
        return None, f"{file} has {grey.shape[2]} channels; expected a grey picture"
    levels = grey.astype(np.float64)
    mask = np.asarray(levels > levels.max() / 2) if levels.any() else np.zeros(grey.shape, dtype=np.bool_)
    size, film = ((int(image[f"{of}height"]), int(image[f"{of}width"])) for of in ("", "film_"))
    if grey.shape == size:
        return mask, ""
    if grey.shape == film:
        return resize(mask, size), ""
    return None, (
        f"{file} has {grey.shape[0]} x {grey.shape[1]} pixels (rows x columns); expected {film[0]} x {film[1]} as the "
        f"film, or {size[0]} x {size[1]} as the canonical image"
    )


def _scores(
    tool: ForeignMasks, folder: Path, image: Mapping[Any, Any], lesions: pd.DataFrame, masks: npt.NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Return the rows of the masks of one image."""
    references = References(folder, image, lesions)
    scored = references.score([*lesions.index.astype(str)], masks)
    table = lesions.reset_index()[["lesion_id", "image_id", "patient_id"]].assign(model=tool.name, **_COMMON)
    return score_rows(table, scored, np.full(len(table), np.nan))


def _no_match(tool: ForeignMasks, problems: Sequence[tuple[str, str, str]]) -> str:
    cases = "; ".join(f"{lesion}: {problem}" for lesion, _, problem in problems[:EXAMPLES])
    return (
        f"no lesion of the run has a mask of {tool.name} in {tool.folder} that can be used, for instance {cases}; "
        "check comparison.masks: folder, file and key"
    )


def masks_record(tools: Sequence[ForeignMasks]) -> dict[str, Any]:
    """Return the folder of each tool's masks, their number, and the digest of its table."""
    return {
        one.name: {
            "folder": Path(one.folder).name,
            "files": sum(path.is_file() for path in Path(one.folder).rglob("*")),
            **({"table": Path(one.table).name, "sha256": file_digest(Path(one.table))} if one.table else {}),
        }
        for one in tools
    }
