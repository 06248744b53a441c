"""Reading YAML strictly: a key that occurs twice is an error, and a key such as `yes` stays a word."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import yaml

from mammoflow.errors import ConfigError

LARGEST_NUMBER = 2**63 - 1
LONGEST_NUMBER = 70  # characters: 64 binary digits with sign and prefix
UNREADABLE = (ValueError, OverflowError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for values that its grammar allows: a date that does not exist, `!!int` without a number."""

NUMBER_TAG = "tag:yaml.org,2002:int"
MERGE_TAG = "tag:yaml.org,2002:merge"
BOOLEAN_TAG = "tag:yaml.org,2002:bool"
BOOLEAN_WORDS = {True: ("yes", "true", "on"), False: ("no", "false", "off")}
"""The words that YAML 1.1 reads as true and as false."""


class _StrictConstructor(yaml.constructor.SafeConstructor):
    """Keeps the text of keys such as `yes` and `off`, and refuses a key that occurs twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping, its keys first.

        Raises
        ------
        yaml.constructor.ConstructorError
            If a key occurs twice, or keys such as 1 and true are one key to YAML.
        """
        seen: dict[object, yaml.Node] = {}
        for key_node, _ in node.value:
            if key_node.tag == MERGE_TAG:
                continue
            if key_node.tag == BOOLEAN_TAG and isinstance(key_node, yaml.ScalarNode):
                key_node.tag = "tag:yaml.org,2002:str"
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    f"the key {key!r} occurs twice, first in line {seen[key].start_mark.line + 1}",
                    node.start_mark,
                    "one of the two values would be lost; remove or rename one",
                    key_node.start_mark,
                )
            if isinstance(key, Hashable):
                seen[key] = key_node
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """Construct a whole number of at most 64 bits; larger ones take long to read and cannot be shown."""
        number: int = self.construct_yaml_int(node) if len(node.value) <= LONGEST_NUMBER else LARGEST_NUMBER + 1
        if abs(number) > LARGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, f"the number {node.value[:20]}... is too large; write a smaller one", node.start_mark
            )
        return number


class _Loader(_StrictConstructor, yaml.SafeLoader):
    """Reads in Python: its errors show the place in the text."""


class _FastLoader(_StrictConstructor, yaml.CSafeLoader):
    """Reads in C, ten times as fast."""


def _number(loader: Any, node: yaml.ScalarNode) -> Any:
    """Construct a whole number, by the loader that reads the text."""
    return loader.construct_number(node)


_Loader.add_constructor(NUMBER_TAG, _number)
_FastLoader.add_constructor(NUMBER_TAG, _number)


def load_yaml(text: str, origin: str) -> object:
    """Read a YAML text.

    Raises
    ------
    ConfigError
        If it is not YAML, or a key occurs twice in one mapping; the message has the line.
    """
    with contextlib.suppress(yaml.YAMLError, RecursionError, *UNREADABLE):
        return yaml.load(text, Loader=_FastLoader)
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        hint = "; indent with blanks, YAML allows no tabs" if "'\\t'" in str(error) else ""
        said = str(error).replace('"<unicode string>"', origin)
        raise ConfigError(f"{origin} cannot be read as YAML: {said}{hint}; correct the file") from error
    except UNREADABLE as error:
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{origin} has a value that YAML cannot read ({said}); quote it, or correct it") from error
    except RecursionError as error:
        raise ConfigError(f"{origin} nests lists or mappings too deeply; correct the file") from error


def keep_words(values: Mapping[Any, Any], texts: Mapping[Any, Any]) -> dict[Any, Any]:
    """Put back the words that another loader read as booleans where they are keys.

    Parameters
    ----------
    values
        A mapping as Snakemake reads it: the keys `1`, `yes` and `true` are one key.
    texts
        The same files as `load_yaml` reads them, laid over each other.
    """
    kept: dict[Any, Any] = {}
    for key, value in values.items():
        words = [word for word in texts if isinstance(word, str) and word not in values and _reads_as(word, key)]
        if isinstance(key, bool) and words:
            kept |= {word: texts[word] for word in words}
            continue
        below = texts.get(key)
        if words:  # 1 and yes: the number stays with its own value
            kept |= {key: below if key in texts else value} | {word: texts[word] for word in words}
        elif isinstance(value, Mapping) and isinstance(below, Mapping):
            kept[key] = keep_words(value, below)
        elif isinstance(value, list) and isinstance(below, list) and len(value) == len(below):
            kept[key] = [
                keep_words(one, other) if isinstance(one, Mapping) and isinstance(other, Mapping) else one
                for one, other in zip(value, below, strict=True)
            ]
        else:
            kept[key] = value
    return kept


def text_hint(value: object) -> str:
    """Explain why a word of the configuration is no text; "" where YAML did not change it."""
    if isinstance(value, bool):
        return (
            f"; YAML reads {', '.join(BOOLEAN_WORDS[value])} as {str(value).lower()}: put the word in quotation marks"
        )
    kind = "a date" if isinstance(value, datetime.date) else "a number" if isinstance(value, int | float) else ""
    return f"; to YAML this is {kind}: put it in quotation marks" if kind else ""


def text_keys(values: object, value_words: Mapping[object, str] | None = None) -> object:
    """Return a mapping of words with its keys as text; anything but a mapping stays as it is.

    Parameters
    ----------
    values
        A mapping from the configuration. A number is its text; true means the words that YAML reads as true, yes,
        true and on, unless the mapping names one of them itself.
    value_words
        Values that are replaced by a word, such as the boolean true by "yes".

    Raises
    ------
    ValueError
        If a key is a date, a blank or no single value.
    """
    if not isinstance(values, Mapping):
        return values
    words: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, bool | int | float) and value_words is not None:
            value = value_words.get(value, _number_text(value)) if isinstance(value, bool) else _number_text(value)
        for word in _words_of(key):
            if word in words and words[word] != value:
                raise ValueError(f"{word!r} means both {words[word]!r} and {value!r}; put the words in quotation marks")
            words[word] = value
    return words


def _words_of(key: object) -> Iterable[str]:
    if isinstance(key, str):
        return (key,)
    if isinstance(key, bool):
        return BOOLEAN_WORDS[key]
    if isinstance(key, int | float):
        return (_number_text(key),)
    kind = "a date" if isinstance(key, datetime.date) else "blank" if key is None else f"{type(key).__name__}"
    raise ValueError(f"the key {key!r} is {kind} to YAML; expected a word of the table: put it in quotation marks")


def _number_text(number: float) -> str:
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _reads_as(word: str, key: object) -> bool:
    return isinstance(key, bool | int) and any(
        word.lower() in words and key == truth for truth, words in BOOLEAN_WORDS.items()
    )
