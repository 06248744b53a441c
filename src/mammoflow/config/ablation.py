"""Settings of an ablation: models that are trained again, each with a change, and compared with the unchanged one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from mammoflow.config.base import Settings, overlay
from mammoflow.config.default_classifiers import DEFAULT_RUN
from mammoflow.config.default_classifiers import entries as classifier_entries

JOINT = "-"
"""Stands between the names of a model and of a change."""

CHANGE_NAME = re.compile(r"[A-Za-z0-9._]+")

UNCHANGED = "unchanged"
"""What tables say of a model without a change."""

SMALL = "small"
"""The segmentation model that runs where the values name none."""

Changes = dict[str, dict[str, dict[str, Any]]]


class AblationSettings(Settings):
    """Overlays of models; the workflow trains a model for each, under the name `<model>-<change>`."""

    models: Changes = Field(
        default_factory=dict,
        description="Segmentation models of `segmentation.models` that the run trains, each with its changes by name: "
        "{unet: {without_augmentation: {train: {options: {augmentation: none}}}}}. A change is laid over the entry.",
    )
    classifiers: Changes = Field(
        default_factory=dict,
        description="Classifiers of malignancy, each with its changes by name: {context_crop: {random_weights: "
        '{weights: ""}}}.',
    )

    @model_validator(mode="after")
    def check_changes(self) -> Self:
        """Refuse a base without changes, a change of nothing, and a name that is no part of a model's name."""
        for kind, changes in (("models", self.models), ("classifiers", self.classifiers)):
            for base, named in changes.items():
                if not named:
                    raise ValueError(f"{kind}.{base} has no change; expected at least one, or no entry")
                for name, change in named.items():
                    if not CHANGE_NAME.fullmatch(name) or name == UNCHANGED:
                        raise ValueError(
                            f"{kind}.{base} names the change {name!r}; expected letters, digits, points and "
                            f"underscores, and not {UNCHANGED}"
                        )
                    if not change:
                        raise ValueError(f"{kind}.{base}.{name} changes nothing; expected keys of the entry of {base}")
        return self


def variant_name(base: str, change: str) -> str:
    """Return the name of a changed model."""
    return f"{base}{JOINT}{change}"


def variants(changes: Changes) -> Iterator[tuple[str, str, str]]:
    """Give base, change and name of every changed model, in the order of the settings."""
    for base, named in changes.items():
        for change in named:
            yield base, change, variant_name(base, change)


def with_variants(
    values: Mapping[str, Any],
    changes: Any,
    key: str,
    default_run: list[str],
    default_entries: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return plain values of `segmentation` or `classification` with an entry for each changed model.

    A base that is not in `run` is added to it, and its changes follow.

    Parameters
    ----------
    values
        Values of the section, not yet validated.
    changes
        Values of `comparison.ablation.<kind>`, not yet validated; what is malformed is left to the validation.
    key
        The key of the entries: `models` or `classifiers`.
    default_run, default_entries
        What the section has where its values do not say.

    Raises
    ------
    ValueError
        If a base has no entry, or a changed model has the name of another entry.
    """
    entries = dict(values.get(key) or {})
    run = list(values.get("run", default_run))
    known = {**default_entries, **entries}
    for base, named in changes.items():
        if not isinstance(known.get(base), Mapping):
            raise ValueError(
                f"comparison.ablation.{key} names {base!r}; expected an entry of this configuration, one of "
                f"{', '.join(known) or 'none'}"
            )
        if base not in run:
            run.append(base)
        place = run.index(base) + 1
        for change, above in named.items() if isinstance(named, Mapping) else ():
            name = variant_name(base, change)
            entry = _changed(entries.get(base, {}), above, default_entries.get(base, {}), str(change))
            if entries.setdefault(name, entry) != entry:
                raise ValueError(
                    f"{key}.{name} is an entry, and also the name of the change {change} of {base} in "
                    f"comparison.ablation.{key}; expected another name for one of them"
                )
            if name not in run:
                run.insert(place, name)
            place = run.index(name) + 1
    return {**values, key: entries, "run": run}


def _changed(entry: Mapping[str, Any], above: Any, default: Mapping[str, Any], change: str) -> dict[str, Any]:
    """Lay a change over an entry, with the change in the title where the entry has one."""
    changed = overlay(overlay(default, entry), above if isinstance(above, Mapping) else {})
    title = changed.get("title")
    if isinstance(title, str) and title and "title" not in above:
        changed["title"] = f"{title}: {change.replace('_', ' ')}"
    return changed


def with_ablation(values: dict[str, Any]) -> dict[str, Any]:
    """Return plain values of a configuration, with an entry for each changed model of its ablation.

    Parameters
    ----------
    values
        Values of the whole configuration, not yet validated.

    Raises
    ------
    ValueError
        If a changed model cannot be named or has no entry to start from.
    """
    comparison = values.get("comparison")
    ablation = comparison.get("ablation") if isinstance(comparison, dict) else None
    if not isinstance(ablation, dict):
        return values
    sections = {
        "models": ("segmentation", [SMALL], {}),
        "classifiers": ("classification", list(DEFAULT_RUN), classifier_entries()),
    }
    changed = dict(values)
    for key, (section, run, entries) in sections.items():
        changes, given = ablation.get(key), values.get(section, {})
        if isinstance(changes, dict) and changes and isinstance(given, dict):
            changed[section] = with_variants(given, changes, key, run, entries)
    return changed
