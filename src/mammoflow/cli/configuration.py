"""Commands that show the configuration."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    file,
)
from mammoflow.errors import ConfigError


@main.group()
def config() -> None:
    """Show the configuration, its defaults and its schema."""


@config.command("show")
@click.argument("files", nargs=-1, type=file(exists=True))
@click.option("--stage", help="Show only the settings file of one stage.")
def config_show(files: tuple[Path, ...], stage: str | None) -> None:
    """Check FILES, each of which overlays the one before, and print the resulting configuration."""
    from mammoflow.config.documentation import settings_text
    from mammoflow.config.reading import read_config

    study = read_config(list(files))
    stages = study.stages()
    if stage is not None and stage not in stages:
        raise ConfigError(f"found stage {stage!r}; expected one of {', '.join(stages)}")
    click.echo(settings_text(study if stage is None else stages[stage]), nl=False)


@config.command("results")
@click.argument("files", nargs=-1, type=file(exists=True))
def config_results(files: tuple[Path, ...]) -> None:
    """Print the paths of the report and the comparison table of a configuration's run."""
    from mammoflow.config.reading import read_config

    study = read_config(list(files))
    run = (Path(study.results) / study.run).absolute()
    click.echo(f"report            {run / 'report' / 'report.html'}")
    exam = run / "real_exam" / "real_exam.html"
    if exam.is_file():
        click.echo(f"real exam         {exam}")
    click.echo(f"comparison table  {run / 'comparison' / 'comparison.csv'}")


@config.command("defaults")
def config_defaults() -> None:
    """Print the documented default `config.yaml`."""
    from mammoflow.config.documentation import default_config

    click.echo(default_config(), nl=False)


@config.command("recipe")
@click.argument("name")
def config_recipe(name: str) -> None:
    """Print the documented options of the training recipe NAME, such as tune."""
    from mammoflow.config.documentation import documented_options
    from mammoflow.config.recipes import RECIPES

    click.echo(documented_options(RECIPES, name), nl=False)


@config.command("schema")
def config_schema() -> None:
    """Print the JSON schema of the configuration."""
    from mammoflow.config.documentation import config_schema as schema

    click.echo(schema(), nl=False)
