"""Files that the run does not make: scores and masks of other tools, and the comparison of two protocols."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.evaluation import PROTOCOL_TABLE
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


def protocol_files(config: StudyConfig) -> list[str]:
    """Return the table of two protocols that the report shows, if the configuration names one."""
    return [str(Path(config.report.protocols) / PROTOCOL_TABLE)] if config.report.protocols else []


def check_foreign(config: StudyConfig) -> None:
    """Check that each table and folder of another tool exists, and the comparison of two protocols.

    Raises
    ------
    ConfigError
        Naming the key and the path.
    """
    for path in protocol_files(config):
        if not Path(path).is_file():
            raise ConfigError(
                f"report.protocols: found {config.report.protocols!r}, which has no {PROTOCOL_TABLE}; expected the "
                "folder that `mammoflow protocols` wrote"
            )
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
