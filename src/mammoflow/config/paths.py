"""Paths and names that a user chooses: what the workflow cannot pass on safely is refused with the settings."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator

LONGEST_PART = 200
"""Bytes of one folder or file name: file systems allow 255, and temporary names are longer than the name itself."""

LONGEST_PATH = 3000
"""Bytes of a whole path: Linux allows 4096, and the run adds its own folders and files below."""

LONGEST_NAME = 100
"""Characters of a name that becomes a folder, a log file and a row of the tables."""

_BRACES = re.compile(r"[{}]")
_CONTROL = ("Cc", "Cs", "Zl", "Zp")


def check_path(text: str) -> str:
    """Return a path that the workflow can pass on.

    Snakemake reads braces in a path as wildcards, and a path with control characters breaks log files and tables.
    Everything else works, such as blanks, quotes, `&`, `$`, `*` and letters of any language.

    Parameters
    ----------
    text
        The path, or "" for none.

    Raises
    ------
    ValueError
        If it has braces, control characters, or names that are too long; the message says what to do.
    """
    if _BRACES.search(text):
        raise ValueError(
            "a path without the braces { and }, which Snakemake reads as a wildcard; rename the folder or file, or "
            "name a symbolic link to it that has no braces"
        )
    if any(unicodedata.category(character) in _CONTROL for character in text):
        raise ValueError(
            "a path without line breaks, tabs and other control characters; rename the folder or file, or name a "
            "symbolic link to it"
        )
    longest = max((len(os.fsencode(part)) for part in PurePosixPath(text).parts), default=0)
    if longest > LONGEST_PART or len(os.fsencode(text)) > LONGEST_PATH:
        raise ValueError(
            f"a path of at most {LONGEST_PATH} bytes, with at most {LONGEST_PART} bytes in each folder or file name; "
            f"the longest name here has {longest}; choose a shorter one"
        )
    return text


def user_path(text: str) -> str:
    """Return a path of the settings with `~` and `~user` expanded, and without `./` and doubled slashes.

    Raises
    ------
    ValueError
        If the workflow cannot pass it on, or if there is no such user.
    """
    if not text:
        return text
    expanded = os.path.expanduser(text)  # noqa: PTH111  Path would expand ./~ as well
    if expanded.startswith("~"):
        raise ValueError(
            f"a path; {text.split('/')[0]!r} names no user of this machine; write ./{text} for a folder of this name"
        )
    path = str(PurePosixPath(check_path(expanded)))
    return f"./{path}" if path.startswith("~") else path


def check_name(key: str, name: str) -> None:
    """Refuse a name that is too long for a folder.

    Raises
    ------
    ValueError
        Naming the key, if the name is longer than `LONGEST_NAME`.
    """
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{key} names {name!r}; expected at most {LONGEST_NAME} characters, found {len(name)}")


def output_path(text: str) -> str:
    """Return a path of the settings in which a run writes.

    Raises
    ------
    ValueError
        See `user_path`, and if it is the root of the file system.
    """
    path = user_path(text)
    if os.path.normpath(path) in ("/", "//"):
        raise ValueError("a folder below the root of the file system, such as results; found the root itself")
    return path


OutputPath = Annotated[str, AfterValidator(output_path)]
"""A folder on this machine in which a run writes."""

UserPath = Annotated[str, AfterValidator(user_path)]
"""A path on this machine, relative to the working folder or absolute."""

StudyPath = Annotated[str, AfterValidator(check_path)]
"""A path relative to the study folder; `~` is a usual character in it."""
