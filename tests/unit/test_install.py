"""The installer of `.venv`, in a project of its own, with programs that take the places of pip and uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

INSTALLER = Path(__file__).resolve().parents[2] / "tools" / "install.sh"

# A Python 3.11 whose pip has the settings of a file, and installs a uv that only notes how it is called.
PYTHON = f"""#!/usr/bin/env bash
if [[ "$1 $2" != "-m pip" ]]; then exec {sys.executable} "$@"; fi
if [[ "$3 $4" == "config get" ]]; then sed -n "s|^$5=||p" "$0.settings" | grep . && exit 0 || exit 1; fi
printf '#!/usr/bin/env bash\\necho "uv $* from ${{UV_DEFAULT_INDEX-its default}}" >>"$CALLS"\\n' >.venv/bin/uv
chmod +x .venv/bin/uv
"""


@dataclass(frozen=True)
class Project:
    """A folder with the installer and the files that it reads."""

    folder: Path
    python: Path
    calls: Path

    @property
    def venv(self) -> Path:
        """The environment."""
        return self.folder / ".venv"

    def install(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the installer with these environment variables; the file of calls holds those of this time only."""
        self.calls.write_text("", encoding="utf-8")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        environment = {**inherited, "PYTHON": str(self.python), "CALLS": str(self.calls), **variables}
        command = ["bash", str(self.folder / "tools" / "install.sh")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def indexes(self) -> set[str]:
        """Return the indexes from which the last call installed the packages."""
        calls = self.calls.read_text(encoding="utf-8").splitlines()
        return {call.partition(" from ")[2] for call in calls}

    def is_installed(self) -> bool:
        """Tell whether the last call installed the packages."""
        return "uv pip install" in self.calls.read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "a project"
    (folder / "tools").mkdir(parents=True)
    shutil.copy2(INSTALLER, folder / "tools")
    (folder / "requirements.txt").write_text("uv==1.0 \\\n    --hash=sha256:0\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text("", encoding="utf-8")
    python = tmp_path / "python"
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    Path(f"{python}.settings").touch()
    return Project(folder, python, tmp_path / "calls")


def take_interpreter(venv: Path) -> None:
    """Let the interpreter of an environment be gone, as after an update of the system's Python."""
    (venv / "bin" / "python3.11").unlink(missing_ok=True)
    for name in ("python", "python3"):
        (venv / "bin" / name).unlink()
        (venv / "bin" / name).symlink_to("python3.11")
    (venv / "bin" / "python3.11").symlink_to("/nowhere/python3.11")


def test_an_environment_is_made_once(project: Project) -> None:
    done = project.install()
    assert done.returncode == 0, done.stderr
    assert project.is_installed()
    done = project.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert not project.is_installed()


def test_an_environment_whose_interpreter_is_gone_is_made_anew(project: Project) -> None:
    project.install()
    take_interpreter(project.venv)
    (project.venv / "of before").touch()
    done = project.install()
    assert done.returncode == 0, done.stderr
    assert project.is_installed()
    assert not (project.venv / "of before").exists()
    assert subprocess.run([project.venv / "bin" / "python", "--version"], check=False).returncode == 0


def test_an_environment_of_another_python_is_made_anew(project: Project) -> None:
    project.install()
    (project.venv / "bin" / "python").unlink()
    (project.venv / "bin" / "python").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (project.venv / "bin" / "python").chmod(0o755)
    done = project.install()
    assert done.returncode == 0, done.stderr
    assert "made anew" in done.stderr
    assert project.is_installed()


def test_a_linked_environment_is_brought_up_to_date_and_never_cleared(project: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", elsewhere], check=True)
    project.venv.symlink_to(elsewhere)
    done = project.install()
    assert done.returncode == 0, done.stderr
    assert project.is_installed()
    take_interpreter(elsewhere)
    (elsewhere / "of before").touch()
    done = project.install()
    assert done.returncode == 1
    assert str(elsewhere) in done.stderr
    assert "remove the link" in done.stderr
    assert (elsewhere / "of before").exists()
    assert not project.is_installed()


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_an_environment_of_a_moved_or_copied_project_is_made_anew(
    project: Project, tmp_path: Path, how: Callable[..., object]
) -> None:
    project.install()
    arguments = {"symlinks": True} if how is shutil.copytree else {}
    how(project.folder, tmp_path / "new place", **arguments)
    new = replace(project, folder=tmp_path / "new place")
    assert (new.venv / "bin" / "python").exists()
    done = new.install()
    assert done.returncode == 0, done.stderr
    assert new.is_installed()
    assert str(new.venv) in (new.venv / "bin" / "activate").read_text(encoding="utf-8")
    assert not new.install().stderr


def test_a_folder_that_is_reached_through_a_link_keeps_its_environment(project: Project, tmp_path: Path) -> None:
    project.install()
    (tmp_path / "link").symlink_to(project.folder)
    linked = replace(project, folder=tmp_path / "link")
    assert linked.install(PWD=str(linked.folder)).returncode == 0
    assert not linked.is_installed()


@pytest.mark.parametrize(("finished", "code"), [(True, 0), (False, 1)])
def test_a_link_to_the_environment_of_another_project_is_left_alone(
    project: Project, tmp_path: Path, finished: bool, code: int
) -> None:
    project.install()
    if not finished:
        (project.venv / "installed").unlink()
    other = replace(project, folder=tmp_path / "other")
    shutil.copytree(project.folder, other.folder, ignore=shutil.ignore_patterns(".venv"))
    (other.folder / "requirements.txt").write_text("uv==2.0 \\\n    --hash=sha256:0\n", encoding="utf-8")
    other.venv.symlink_to(project.venv)
    done = other.install()
    assert done.returncode == code
    assert str(project.venv) in done.stderr
    assert not other.is_installed()


def test_the_programs_of_an_environment_on_the_path_do_not_make_it(project: Project, tmp_path: Path) -> None:
    old, new = project.venv, replace(project, folder=tmp_path / "new place")
    project.install()
    old.parent.rename(new.folder)
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "python3.11").symlink_to(project.python)
    path = f"{new.venv / 'bin'}:{tmp_path / 'programs'}:{os.environ['PATH']}"
    done = new.install(PYTHON="", PATH=path)
    assert done.returncode == 0, done.stderr
    assert new.is_installed()


def test_a_link_to_nothing_is_named(project: Project) -> None:
    project.venv.symlink_to("nowhere")
    done = project.install()
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "remove the link" in done.stderr


def test_a_machine_without_python_is_told_what_to_do(project: Project, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "readlink", "grep", "sed"):
        (programs / name).symlink_to(shutil.which(name) or name)
    done = project.install(PYTHON="", PATH=str(programs))
    assert done.returncode == 1
    assert "found no Python, expected Python 3.11" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_a_python_that_does_not_exist_is_named(project: Project) -> None:
    done = project.install(PYTHON="/nowhere/python3.11")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("/nowhere/python3.11 does not run, expected Python 3.11")
    assert "make PYTHON=" in done.stderr


MIRROR = "https://mirror.example/simple"


@pytest.mark.parametrize(
    ("settings", "variables", "index"),
    [
        ("", {}, "its default"),
        (f"global.index-url={MIRROR}", {}, MIRROR),
        ("", {"PIP_INDEX_URL": MIRROR}, MIRROR),
        ("global.index-url=http://old.example/simple", {"PIP_INDEX_URL": MIRROR}, MIRROR),
        (f"global.index-url={MIRROR}", {"UV_DEFAULT_INDEX": "https://own.example"}, "https://own.example"),
        (f"global.index-url={MIRROR}", {"UV_INDEX_URL": "https://own.example"}, "its default"),
        ("global.index-url=file:///srv/packages", {}, "its default"),
        ("global.index-url=/srv/packages", {}, "its default"),
        (f"global.extra-index-url={MIRROR}", {}, "its default"),
        (f"global.index-url={MIRROR}\nglobal.extra-index-url=https://more.example/simple", {}, "its default"),
        (f"global.index-url={MIRROR}", {"PIP_EXTRA_INDEX_URL": "https://more.example/simple"}, "its default"),
    ],
)
def test_uv_installs_from_the_mirror_of_pip(
    project: Project, settings: str, variables: dict[str, str], index: str
) -> None:
    Path(f"{project.python}.settings").write_text(settings, encoding="utf-8")
    done = project.install(**variables)
    assert done.returncode == 0, done.stderr
    assert project.indexes() == {index}
    written = [file for file in project.folder.rglob("*") if file.is_file() and not file.is_symlink()]
    assert not [file for file in written if b".example" in file.read_bytes()]
