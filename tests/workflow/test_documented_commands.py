"""The commands in README, CONTRIBUTING and docs: each is read by the program that it calls, or says what it needs.

A misspelt option, target or command fails. Cheap commands of mammoflow run. Commands of Snakemake are planned in a dry
run here, or in `test_targets.py` where they are one named target. `init`, `check` and `predict` run on made-up films.
Other commands of mammoflow are parsed only: tests of their stages run them. A command that no test can run has a
comment that says so, such as `# needs a network`.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from snakemake.cli import get_argument_parser

from mammoflow.cli import main
from tests.unit.imaging.conftest import dicom_dataset

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.long(10)

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("snakemake", "mammoflow", "make")
MARK = re.compile(r"#.*\bneeds (a GPU|a cluster|a network|real data)\b")
START = re.compile(rf"^\s*(?:\.venv/bin/)?({'|'.join(PROGRAMS)})\s")
CHEAP = (("config", "show"), ("weights", "list"), ("store",), ("init",), ("birads", "cases.csv"))
TABLE = "patient,image,x0,y0,x1,y1,label,assessment,histology,id\n" + "".join(
    f"P{n},f{n}.png,1,1,9,9,{'malignant' if n % 2 else 'benign'},{4 if n % 3 else 2},"
    f"{'malignant' if n % 2 else 'benign'},P{n}\n"
    for n in range(20)
)


@dataclass(frozen=True)
class Command:
    """A command of a page."""

    place: str
    words: tuple[str, ...]
    mark: str

    @property
    def program(self) -> str:
        """The name of the program."""
        return Path(self.words[0]).name

    def __str__(self) -> str:
        return f"{self.place} {' '.join(self.words)[:50]}"


def commands(text: str, page: str) -> list[Command]:
    """Return the commands in the indented and fenced blocks of shell commands of a page."""
    found, fence, note, lines = [], None, False, text.splitlines()
    for number, line in enumerate(lines):
        if line and not line.startswith(" "):
            note = line.startswith(("!!!", "???"))  # the indented lines below are prose
        if line.startswith("```"):
            fence = line[3:].strip() if fence is None else None
            continue
        inside = fence in ("", "bash", "console", "sh") or (fence is None and not note and line.startswith("    "))
        if not inside or not START.match(line):
            continue
        whole = line
        for following in lines[number + 1 :]:
            if not whole.endswith("\\"):
                break
            whole = whole[:-1] + following
        mark = MARK.search(whole)
        words = tuple(shlex.split(whole, comments=True))
        found.append(Command(f"{page}:{number + 1}", words, mark[1] if mark else ""))
    return found


ALL = [one for page in PAGES for one in commands(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))]


def of(program: str) -> list[Command]:
    """Return the commands that call a program."""
    return [command for command in ALL if command.program == program]


def parse_mammoflow(words: tuple[str, ...]) -> None:
    """Parse the words after `mammoflow` as its command line does, without running the command."""
    group: click.Command = main
    rest, parent = list(words), None
    while isinstance(group, click.Group):
        # with its settings: click keeps the names of the option for help from the first context of a command
        parent = click.Context(group, parent=parent, **group.context_settings)
        name, command, rest = group.resolve_command(parent, rest)
        if command is None:
            raise AssertionError(f"no command {name}")
        group = command
    group.make_context(group.name, rest, parent=parent)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the documentation names."""
    tables = [f"mass_case_description_{side}_set.csv" for side in ("train", "test")]
    for name in ("film.dcm", "picture.png", "films.csv", *tables):
        (tmp_path / name).write_text("", encoding="utf-8")
    folders = (
        "FOLDER",
        "my-study",
        "results/my-study",
        "results/busi/fold-0",
        "results/RUN/cohort",
        "results/tutorial",
        "results/store",
        "results/RUN/images/00",
    )
    folders += tuple(f"results/RUN/images/{shard}" for shard in ("00", "01"))
    folders += tuple(
        f"results/phantom/{name}" for name in ("classification/context_crop", "images/00", "segmentation/small/00")
    )
    for name in (*folders, "results/fold-0/settings", *(f"results/fold-{number}" for number in range(5))):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    for name in ("cases.csv", "my-study/cases.csv", "results/tutorial/cases.csv"):
        (tmp_path / name).write_text(TABLE, encoding="utf-8")
    for name in (
        "results/fold-0/settings/compare.yaml",
        "phantom.yaml",
        "my-study.yaml",
        "tutorial.yaml",
        "saliency.yaml",
    ):
        (tmp_path / name).write_text("run: my-study\n", encoding="utf-8")
    for folder in ("my-study", "results/tutorial"):
        for number in range(20):
            Image.new("L", (16, 16)).save(tmp_path / folder / f"f{number}.png")
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_have_commands_of_each_program() -> None:
    assert {command.program for command in ALL} == set(PROGRAMS)
    assert len(ALL) > 50


@pytest.mark.parametrize("command", of("mammoflow"), ids=str)
def test_a_command_of_mammoflow_has_options_that_exist(command: Command, place: Path) -> None:
    parse_mammoflow(command.words[1:])


@pytest.mark.parametrize(
    "command",
    [one for one in of("mammoflow") if not one.mark and any(one.words[1 : 1 + len(c)] == c for c in CHEAP)],
    ids=str,
)
def test_a_cheap_command_runs(command: Command, place: Path) -> None:
    words = list(command.words[1:])
    if words[0] == "init":
        (place / "my-study.yaml").unlink()
        (place / "tutorial.yaml").unlink()
        words += ["--yes"]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "words", sorted({one.words[1:] for one in of("mammoflow") if one.words[1] == "check"}), ids=str
)
def test_a_study_is_checked_after_init_as_the_pages_do_it(words: tuple[str, ...], place: Path) -> None:
    (target,) = words[1:]
    (place / target).unlink()
    for command in (["init", "my-study/cases.csv", "--out", target, "--yes"], list(words)):
        result = CliRunner().invoke(main, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert "20 of 20 lesions usable" in result.output


def predictions() -> list[tuple[str, ...]]:
    """Return the commands that segment films and need nothing else, each once."""
    return sorted({one.words[1:] for one in of("mammoflow") if one.words[1] == "predict" and not one.mark})


@pytest.mark.parametrize("words", predictions(), ids=str)
def test_a_documented_prediction_is_made(words: tuple[str, ...], place: Path) -> None:
    rows, columns = np.ogrid[:2700, :1400]
    breast = np.hypot((rows - 1350) / 1300, columns / 1350) < 1
    lesion = np.hypot((rows - 2437) / 130, (columns - 1085) / 150) < 1
    film = (400 + 18000 * breast + 20000 * lesion).astype(np.uint16)
    dicom_dataset(film, ImagerPixelSpacing=[0.05, 0.05]).save_as(place / "film.dcm", enforce_file_format=True)
    (place / "films.csv").write_text("image,x0,y0,x1,y1\nfilm.dcm,933,2307,1237,2568\n", encoding="utf-8")
    result = CliRunner().invoke(main, [*words, "--threads", "1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (mask,) = place.rglob("mask_1.png")
    found = np.asarray(Image.open(mask)) > 0
    assert 2 * (found & lesion).sum() / (found.sum() + lesion.sum()) > 0.8


def rules() -> set[str]:
    """Return the names of all rules."""
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "workflow" / "rules").glob("*.smk")]
    return {name for text in texts for name in re.findall(r"^ *(?:rule|checkpoint) (\w+):", text, re.MULTILINE)}


@pytest.mark.parametrize("command", of("snakemake"), ids=str)
def test_a_command_of_snakemake_has_options_targets_and_presets_that_exist(command: Command) -> None:
    parsed = get_argument_parser().parse_args(list(command.words[1:]))
    for target in parsed.targets:
        assert target in rules() or target.startswith("results/"), f"no rule {target}"
    for file in map(str, parsed.configfile or []):
        assert (ROOT / file).is_file() or not file.startswith("workflow/"), f"no file {file}"
        assert Path(file).suffix == ".yaml", f"--configfile takes {file}; write targets first"


def targets_planned_elsewhere() -> set[str]:
    """Return the named targets that `test_targets.py` plans."""
    module = ast.parse(Path(__file__).with_name("test_targets.py").read_text(encoding="utf-8"))
    (table,) = [
        one.value for one in module.body if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "BELOW"
    ]
    return set(ast.literal_eval(table))


def planned_elsewhere(command: Command) -> bool:
    """Tell whether `test_targets.py` plans the command: one named target of the phantom study."""
    parsed = get_argument_parser().parse_args(list(command.words[1:]))
    return len(parsed.targets) == 1 and set(parsed.targets) <= targets_planned_elsewhere()


def in_need_of_a_dry_run() -> list[Command]:
    """Return the commands of Snakemake that nothing else plans, each combination of words once."""
    wanted = [one for one in of("snakemake") if not one.mark and not planned_elsewhere(one)]
    return list({frozenset(one.words) - {"1", "2", "4", "8", "16"}: one for one in wanted}.values())


@pytest.mark.parametrize("command", in_need_of_a_dry_run(), ids=str)
def test_a_command_of_snakemake_is_planned(command: Command, finished_project: Project) -> None:
    root = finished_project.root
    search = re.search(r"^```yaml\n(.*?)^```", (ROOT / "docs/search.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert search
    overlay = "classification: {run: [context_crop]}\n"
    files = {"my-study.yaml": overlay, "tutorial.yaml": overlay, "search.yaml": search[1]}
    files |= {word: overlay for word in command.words if word.startswith("results/")}  # what a search writes
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    try:
        finished_project.snakemake("--dry-run", *command.words[1:])
    finally:  # other tests use the same project
        for name in files:
            (root / name).unlink()
        shutil.rmtree(root / "results" / "search", ignore_errors=True)


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_a_target_of_make_exists_and_says_that_it_installs(command: Command) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in command.words[1:]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make has no target {target}"
    assert command.mark, f"{command.place}: the command installs packages; expected the comment `# needs a network`"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    mammoflow predict film.dcm --boxes 1,2,3,4 --out a", "No such option"),
        ("```bash\nmammoflow predikt film.dcm\n```", "No such command"),
        ("    mammoflow store prune \\\n      --to-sizes 5G", "No such option"),
    ],
)
def test_a_misspelt_command_fails(text: str, words: str, place: Path) -> None:
    (command,) = commands(text, "page")
    with pytest.raises(click.UsageError, match=words):
        parse_mammoflow(command.words[1:])


@pytest.mark.parametrize("text", ["    snakemake --coress 4 --configfil e.yaml", "    snakemake --no-such-option"])
def test_a_misspelt_option_of_snakemake_fails(text: str) -> None:
    (command,) = commands(text, "page")
    with pytest.raises(SystemExit):
        get_argument_parser().parse_args(list(command.words[1:]))
