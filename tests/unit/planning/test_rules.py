"""The commands of the rules survive a shell: every placeholder is quoted."""

from __future__ import annotations

import ast
import re
import shlex
import string
from pathlib import Path

import pytest
from snakemake.utils import format as format_command

ROOT = Path(__file__).resolve().parents[3]
RULES = sorted([ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")])


def commands(text: str) -> list[str]:
    """Return the commands of all rules of a file."""
    blocks = re.findall(r"^ *shell:\s*((?:\s*f?\"(?:[^\"\\]|\\.)*\"\s*\n)+)", text, re.MULTILINE)
    return [str(ast.literal_eval("(" + block.strip() + ")")) for block in blocks]


def unquoted(command: str) -> list[str]:
    """Return the placeholders of a command that a shell would read anew."""
    parts = string.Formatter().parse(command)
    return [name for _, name, spec, _ in parts if name is not None and spec != "q"]


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_every_placeholder_is_quoted(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    found = commands(text)
    assert len(found) == len(re.findall(r"^ *shell:", text, re.MULTILINE))
    for command in found:
        assert unquoted(command) == [], command
        assert re.findall(r"\btee (?!-- )", command) == [], "a path with a dash first would be an option of tee"


@pytest.mark.parametrize(
    ("command", "expected"),
    [("a {input}", ["input"]), ("a {log:q} | tee {log}", ["log"]), ("{params.x:q} {threads}", ["threads"])],
)
def test_an_unquoted_placeholder_is_found(command: str, expected: list[str]) -> None:
    assert unquoted(command) == expected
    assert commands(f'rule a:\n    shell:\n        "{command}"\n') == [command]


def test_a_list_of_words_is_quoted_word_by_word() -> None:
    words = ["--images", "a b/'c' & $HOME; *", "--images", "-x\n"]
    assert shlex.split(format_command("{words:q}", words=words)) == words
    assert format_command("{words:q}", words=[]) == ""


def test_no_rule_passes_a_path_of_the_settings_as_a_plain_parameter() -> None:
    """Snakemake reads wildcards in a parameter that is text; of functions it takes the result as it is."""
    for file in RULES:
        plain = re.findall(r"^ +\w+=(CONFIG\.(?:store|results|download|prefetch)\b.*)$", file.read_text(), re.MULTILINE)
        assert plain == [], file.name


def not_compared(text: str) -> list[str]:
    """Return the parameters losses, content and code whose functions take what Snakemake derives: it compares none."""
    functions = re.findall(r"\b(losses|content|code)=lambda ([^:]*):", text)
    return [name for name, arguments in functions if arguments.replace(" ", "") != "wildcards"]


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_every_parameter_that_tells_of_changes_is_compared(file: Path) -> None:
    assert not_compared(file.read_text(encoding="utf-8")) == []


def test_a_parameter_that_is_not_compared_is_found() -> None:
    assert not_compared("losses=lambda wildcards, input: losses(*input.masks),") == ["losses"]


def test_a_rule_names_both_files_of_a_figure() -> None:
    """A figure is a PNG with an SVG beside it; Snakemake removes and makes again only what a rule names."""
    figures = [figure for file in RULES for figure in re.findall(r"^ +figure=(.*),$", file.read_text(), re.MULTILINE)]
    assert len(figures) == 4
    assert [figure for figure in figures if '".png", ".svg"' not in figure] == []


@pytest.mark.parametrize("made", ["rules.phantom.output if", "COHORTS_OF_FOLDS,"])
def test_rules_that_read_phantoms_or_folds_count_their_losses(made: str) -> None:
    rules = [
        rule for file in RULES for rule in re.split(r"^(?:rule|checkpoint) ", file.read_text(), flags=re.MULTILINE)
    ]
    reading = [rule for rule in rules if f"={made}" in rule]
    assert reading
    assert [rule.partition(":")[0] for rule in reading if made not in rule.partition(" losses=")[2]] == []


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_where_a_study_is_does_not_make_a_job_run_again(file: Path) -> None:
    """Snakemake compares the parameters of functions that take wildcards alone."""
    compared = re.findall(r"^ +\w+=(?:lambda wildcards: )?STUDY\b.*$", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert compared == []


def documented() -> list[tuple[str, str]]:
    """Return every command of Snakemake with `--configfile` in documentation, presets and comments, with its file."""
    files = [ROOT / "README.md", ROOT / "config.yaml", *RULES, *(ROOT / "docs").rglob("*.md")]
    files += (ROOT / "workflow" / "presets").glob("*.yaml")
    return [
        (file.name, command)
        for file in files
        for command in re.findall(r"snakemake [^`#\n]*--configfile[^`#\n]*", file.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("file", "command"), documented())
def test_a_documented_command_names_its_targets_first(file: str, command: str) -> None:
    """Snakemake takes every word after --configfile as a file; docs/running.md shows the mistake once."""
    after = command.partition("--configfile")[2].partition("  ")[0].replace(" does this", "").partition(" -")[0].split()
    wrong = [word for word in after if not re.fullmatch(r"\S+\.yaml|FILE", word)]
    assert wrong == (["images"] if "my-study.yaml images" in command and file == "running.md" else [])
