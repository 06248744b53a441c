"""From a 4808 x 3024 16-bit DICOM file to what features and models read, against the usual way in the same run.

The usual way is pydicom's `pixel_array`, scikit-image's `resize` with anti-aliasing, and PNG written by scikit-image.
Two comparisons: the small image alone (ours finds the breast as well), and the small image with a lesion: its mask, and
the 100 mm patches of film and mask at film resolution (ours measures the lesion and cuts the breast region as well).
A third compares two workers with one on the same films, through the stage's own processes, and gives the peak memory of
a worker; it says something only while both cores are idle, so it prints how busy they were.
Run: `python benchmarks/bench_images.py [--repeat N]`; it prints one JSON line a comparison. Processor seconds depend
little on what else the machine does; wall-clock seconds include waiting for the disk and for other programs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pydicom
import skimage.io
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from skimage.transform import resize

from mammoflow.config.images import ImagesSettings
from mammoflow.imaging.case import Case, CaseResult, prepare_case
from mammoflow.imaging.stage import LONGEST_S, WORKER_BYTES
from mammoflow.run.workers import Lost, map_isolated
from mammoflow.tables.cohort import IMAGES, LESIONS
from mammoflow.tables.files import empty_table

SHAPE = (4808, 3024)
LONGEST_SIDE = 1024
SPACING_MM = 0.0435
FILMS = 16  # for the comparison of workers


def film_pixels() -> np.ndarray:
    """Make a film of tissue-like blur and 8 bit of grain on a black background, (height, width) uint16."""
    random = np.random.default_rng(0)
    coarse = random.random((38, 24)).astype(np.float32)
    tissue = cv2.resize(coarse, SHAPE[::-1], interpolation=cv2.INTER_CUBIC) * 20000 + 25000
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    inside = ((rows - 2400) / 2000) ** 2 + (columns / 1900) ** 2 < 1
    grain = random.integers(-128, 128, SHAPE)
    return np.where(inside, np.clip(tissue + grain, 0, 65535), 0).astype(np.uint16)


def write_dicom(path: Path, pixels: np.ndarray) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid(entropy_srcs=[path.name])
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *pixels.shape, 1
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def usual_small(source: Path, target: Path) -> np.ndarray:
    pixels = pydicom.dcmread(source).pixel_array
    shape = (LONGEST_SIDE, round(pixels.shape[1] * LONGEST_SIDE / pixels.shape[0]))
    small = resize(pixels, shape, anti_aliasing=True, preserve_range=True).astype(pixels.dtype)
    skimage.io.imsave(target, small, check_contrast=False)
    return pixels


def usual_lesion(study: Path) -> None:
    film = usual_small(study / "film.dcm", study / "usual.png")
    mask = usual_small(study / "mask.dcm", study / "usual_mask.png")
    side = round(100 / SPACING_MM)
    rows, columns = np.nonzero(mask)
    top, left = max(0, int(rows.mean()) - side // 2), max(0, int(columns.mean()) - side // 2)
    for name, pixels in (("film", film), ("mask", mask)):
        cut = pixels[top : top + side, left : left + side]
        skimage.io.imsave(study / f"usual_patch_{name}.png", cut, check_contrast=False)


def case(study: Path, with_lesion: bool) -> Case:
    def row(schema: object, **values: object) -> dict[str, object]:
        return dict.fromkeys(empty_table(schema).columns) | {"patient_id": "p", "image_id": "film"} | values

    image = row(IMAGES, image_path="film.dcm", spacing_mm=SPACING_MM, laterality="L", view="MLO")
    lesion = row(LESIONS, lesion_id="lesion", mask_path="mask.dcm")
    settings = ImagesSettings(longest_side_px=LONGEST_SIDE)
    return Case(settings, study, study / "out", image, [lesion] if with_lesion else [])


def best_of(repeat: int, work: Callable[[], object]) -> tuple[float, float]:
    """Return the least wall-clock and the least processor seconds; the second does not depend on neighbours."""
    wall, processor = [], []
    for _ in range(repeat):
        start, start_processor = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    return min(wall), min(processor)


def ours(work: Case) -> CaseResult:
    result = prepare_case(work)
    if result.image is None or len(result.lesions) != len(work.lesions):
        raise SystemExit(f"the film was not prepared: {result.excluded}")
    return result


def compare(name: str, repeat: int, own: Callable[[], object], usual: Callable[[], object]) -> None:
    own_s, own_cpu_s = best_of(repeat, own)
    usual_s, usual_cpu_s = best_of(repeat, usual)
    record = {"usual_s": usual_s, "ours_s": own_s, "ratio": usual_s / own_s}
    record |= {"usual_cpu_s": usual_cpu_s, "ours_cpu_s": own_cpu_s, "ratio_cpu": usual_cpu_s / own_cpu_s}
    print(json.dumps({"comparison": name} | {key: round(value, 3) for key, value in record.items()}), flush=True)


def drain(cases: list[Case], workers: int) -> tuple[float, int]:
    """Return the wall-clock seconds that some workers need for films, from the first answer on, and the peak memory."""
    answers = map_isolated(prepare_case, cases, workers, LONGEST_S, WORKER_BYTES, preload="mammoflow.imaging.case")
    # The first films pay for starting the workers.
    peaks = [_peak(next(answers)[1]) for _ in range(workers)]
    start = time.perf_counter()
    peaks += [_peak(answer) for _, answer in answers]
    return time.perf_counter() - start, max(peaks)


def _peak(answer: CaseResult | Lost) -> int:
    if isinstance(answer, Lost) or answer.image is None:
        raise SystemExit(f"a film was not prepared: {answer}")
    return answer.peak_bytes


def compare_workers(repeat: int, work: Case, films: int) -> None:
    """Print how much faster two workers are than one; each film is a case of its own under another id."""
    cases = [
        replace(
            work,
            image=work.image | {"image_id": f"film{number}"},
            lesions=[lesion | {"lesion_id": f"lesion{number}"} for lesion in work.lesions],
        )
        for number in range(films)
    ]
    one, two = [], []
    for _ in range(repeat):
        one.append(drain(cases + cases[:1], 1))
        two.append(drain(cases + cases[:2], 2))
    one_s, two_s = min(one)[0], min(two)[0]
    record = {"films": films, "one_worker_s": one_s, "two_workers_s": two_s, "ratio": one_s / two_s}
    record |= {
        "worker_peak_mib": max(peak for _, peak in one + two) / 2**20,
        "load_of_the_last_minute": os.getloadavg()[0],
    }
    print(
        json.dumps({"comparison": "two workers"} | {key: round(value, 3) for key, value in record.items()}), flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder)
        write_dicom(study / "film.dcm", film_pixels())
        mask = np.zeros(SHAPE, dtype=np.uint8)
        cv2.ellipse(mask, (700, 2400), (250, 180), 30, 0, 360, 255, cv2.FILLED)
        write_dicom(study / "mask.dcm", mask)
        image_only, with_lesion = case(study, False), case(study, True)
        compare(
            "small image",
            repeat,
            lambda: ours(image_only),
            lambda: usual_small(study / "film.dcm", study / "usual.png"),
        )
        compare("small image, mask and patches", repeat, lambda: ours(with_lesion), lambda: usual_lesion(study))
        compare_workers(repeat, with_lesion, FILMS)


if __name__ == "__main__":
    main()
