"""Commands on the store of embeddings."""

from __future__ import annotations

import re
from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import folder

_SIZES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

place_option = click.option(
    "--store", "place", default="results/store", show_default=True, type=folder(), help="Folder of the store."
)


class Size(click.ParamType[int]):
    """A number of bytes, such as 500M or 20G."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> int:
        """Turn text into bytes."""
        size = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", str(value).strip().upper())
        if not size:
            self.fail(f"{value!r} is no size, expected one such as 500M or 20G", param, context)
        return int(float(size[1]) * _SIZES[size[2]])


@main.group()
def store() -> None:
    """Show, verify and prune the store of embeddings.

    All runs share it.
    """


@store.command("show")
@place_option
def store_show(place: Path) -> None:
    """Show size and content by model, kind and shape."""
    from mammoflow.storage.content import check_store, entries, summary, unfinished

    check_store(place)
    stored = list(entries(place))
    if stored:
        click.echo(summary(stored).to_string(index=False))
    click.echo(f"{place}: {len(stored)} entries, {_amount(sum(entry.size for entry in stored))}")
    left = unfinished(place)
    if left:
        click.echo(
            f"{len(left)} half written files of killed jobs, {_amount(_sizes(left))}; `store prune` removes them"
        )


@store.command("verify")
@place_option
@click.option("--remove", "removing", is_flag=True, help="Remove damaged entries; a run computes them again.")
@click.pass_context
def store_verify(context: click.Context, place: Path, removing: bool) -> None:
    """Read every entry and list the damaged ones; exit with 1 if damaged or unreadable entries remain."""
    from mammoflow.storage.content import check_store, damaged_entries, remove

    check_store(place)
    damaged, unreadable = damaged_entries(place)
    for entry in damaged:
        click.echo(f"{entry.path}  {entry.model} {entry.kind}, image {entry.image}")
    for entry, reason in unreadable:
        click.echo(f"{entry.path}  cannot be read: {reason}")
    click.echo(f"{len(damaged)} damaged entries{', removed' if damaged and removing else ''}")
    if unreadable:
        click.echo(f"{len(unreadable)} entries cannot be read and are left alone; check their permissions and the disk")
    if removing:
        remove([entry.path for entry in damaged])
    elif damaged:
        click.echo("a run computes them again when it needs them; --remove removes them now")
    if unreadable or (damaged and not removing):
        context.exit(1)


@store.command("prune")
@place_option
@click.option("--model", "models", multiple=True, help="Only entries of this model, named as in `store show`.")
@click.option("--unused-days", type=click.FloatRange(min=0), help="Only entries that were not used for this many days.")
@click.option(
    "--to-size",
    type=Size(),
    help="Largest size of the store, such as 20G; entries unused for longest are removed first.",
)
@click.option("--yes", is_flag=True, help="Remove the entries; without this option they are only counted.")
def store_prune(
    place: Path, models: tuple[str, ...], unused_days: float | None, to_size: int | None, yes: bool
) -> None:
    """Remove entries by model, by last use, or down to a size. Without --yes nothing is removed."""
    from mammoflow.storage.content import check_store, entries, remove, summary, to_prune, unfinished

    check_store(place)
    stored = list(entries(place))
    conditions = bool(models) or unused_days is not None or to_size is not None
    chosen = to_prune(stored, models, unused_days, to_size) if conditions else []
    left = unfinished(place)
    if chosen:
        click.echo(summary(chosen).to_string(index=False))
    freed = sum(entry.size for entry in chosen) + _sizes(left)
    click.echo(
        f"{len(chosen)} of {len(stored)} entries and {len(left)} half written files, {_amount(freed)}: "
        f"{'removed' if yes else 'would be removed; run it again with --yes'}"
    )
    if not conditions:
        click.echo("no entries were asked for; give --model, --unused-days or --to-size")
    if yes:
        remove([*(entry.path for entry in chosen), *left])


def _amount(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"


def _sizes(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())
