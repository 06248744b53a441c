"""Files of other tools that the comparison reads: tables of scores, and masks."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError


def foreign_files(config: StudyConfig) -> list[str]:
    """Return the tables and masks of other tools; those that do not exist are left out, and `check_foreign` names them.

    Parameters
    ----------
    config
        The configuration.
    """
    comparison = config.comparison
    tables = [one.table for one in comparison.predictions] + [one.table for one in comparison.masks if one.table]
    folders = [Path(one.folder) for one in comparison.masks]
    masks = (str(path) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    return list(dict.fromkeys([*tables, *masks]))


def check_foreign(config: StudyConfig) -> None:
    """Check that each table and folder of another tool exists.

    Raises
    ------
    ConfigError
        Naming the key and the path.
    """
    path_said = "correct the path, which is relative to the working folder, or absolute"
    tables = {
        "predictions": [(one.name, one.table) for one in config.comparison.predictions],
        "masks": [(one.name, one.table) for one in config.comparison.masks],
    }
    for kind, named in tables.items():
        for place, (name, table) in enumerate(named):
            if table and not Path(table).is_file():
                what = "scores" if kind == "predictions" else "masks"
                raise ConfigError(
                    f"comparison.{kind}.{place}.table: found {table!r}, which is no file; expected the table of "
                    f"{name}'s {what}; {path_said}"
                )
    for place, tool in enumerate(config.comparison.masks):
        if not Path(tool.folder).is_dir():
            raise ConfigError(
                f"comparison.masks.{place}.folder: found {tool.folder!r}, which is no folder; expected the folder of "
                f"{tool.name}'s masks; {path_said}"
            )
