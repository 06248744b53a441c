"""The command `audit`: counts and checks of a study before anything is measured on it."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import file, input_folder, input_folders, output_folder


@main.command()
@click.option("--settings", type=file(exists=True), help="Settings of the stage (YAML); defaults if omitted.")
@input_folder("--cohort", "Folder of the cohort tables.")
@input_folders("--images", "Folder of a shard of images; once for each shard, or none.", required=False)
@output_folder("Folder of the audit's tables and page.")
def audit(settings: Path | None, cohort: Path, images: tuple[Path, ...], output: Path) -> None:
    """Count the cases of a study; find duplicates and leaks.

    The page shows the flow diagram of exclusions.
    """
    from mammoflow.config.audit import AuditSettings
    from mammoflow.config.base import read_settings
    from mammoflow.report.audit_stage import write_audit

    chosen = read_settings(AuditSettings, settings) if settings else AuditSettings()
    audit = write_audit(chosen, cohort, list(images), output)
    width = max(len(finding.state) for finding in audit.findings)
    for finding in audit.findings:
        count = "" if finding.count is None else f"{finding.count:,}"
        click.echo(f"{finding.state:<{width}}  {count:>7}  {finding.question}")
    click.echo(f"page: {output / 'audit.html'}")
