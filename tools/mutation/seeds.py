"""Whole DICOM files that mutants are made from: transfer syntaxes, look-up tables, nested sequences."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import gdcm
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

SHAPE = (96, 72)
Pixels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Seed:
    """A file that the image stage can read.

    Attributes
    ----------
    name
        What it shows.
    data
        The bytes of the file.
    mask
        Whether it is an ROI mask rather than a film.
    """

    name: str
    data: bytes
    mask: bool = False


def picture(bits: int = 16) -> Pixels:
    """Return a small film (96, 72) of some bits: a breast at the left, grain, dark background."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    breast = ((rows - 48) / 40) ** 2 + (columns / 50) ** 2 < 1
    grain = np.random.default_rng(0).normal(0, 0.01, SHAPE)
    level = np.clip(0.04 + breast * (0.3 + 0.2 * columns / SHAPE[1]) + grain, 0, 1) * (2**bits - 1)
    return np.asarray(level, dtype=np.uint8 if bits == 8 else np.uint16)


def outline() -> Pixels:
    """Return an ROI mask (96, 72) of two levels."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[40:60, 10:30] = 255
    return mask


def header(pixels: Pixels, syntax: str, **elements: Any) -> Dataset:
    """Return a mammogram's dataset with its pixels uncompressed."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.PatientName, dataset.PatientID = "Mutant^Many", "M1"
    dataset.Modality, dataset.ImageLaterality, dataset.ViewPosition = "MG", "L", "MLO"
    dataset.ImagerPixelSpacing = [0.5, 0.5]
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *pixels.shape, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return dataset


def item(**elements: Any) -> Dataset:
    """Return an item of a sequence."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def nested(dataset: Dataset, undefined: bool = False) -> Dataset:
    """Add sequences within sequences to a dataset, and windows; of undefined length where asked for."""
    code = {"CodeValue": "399162004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "cranio-caudal"}
    modifier = item(**code, ReferencedImageSequence=Sequence([item(ReferencedSOPInstanceUID="1.2.3")]))
    dataset.ViewCodeSequence = Sequence([item(**code, ViewModifierCodeSequence=Sequence([modifier, item(**code)]))])
    dataset.WindowCenter, dataset.WindowWidth = [2000, 3000.5], [1500, 900]
    dataset.WindowCenterWidthExplanation = ["NORMAL", "HARDER"]
    block = dataset.private_block(0x0019, "MUTATION", create=True)
    block.add_new(0x01, "SQ", Sequence([item(PatientComments="free text")]))
    if undefined:
        for element in (dataset["ViewCodeSequence"], dataset.ViewCodeSequence[0]["ViewModifierCodeSequence"]):
            element.is_undefined_length = True
            for inner in element.value:
                inner.is_undefined_length_sequence_item = True
    return dataset


def tables(dataset: Dataset) -> Dataset:
    """Add a modality LUT and a VOI LUT of 4,096 entries."""
    ramp = np.linspace(0, 65535, 4096).astype("<u2")
    dataset.ModalityLUTSequence = Sequence(
        [item(LUTDescriptor=[4096, 0, 16], ModalityLUTType="OD", LUTData=ramp.tobytes())]
    )
    dataset.VOILUTSequence = Sequence([item(LUTDescriptor=[4096, 0, 16], LUTData=ramp[::-1].tobytes())])
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        dataset[name][0]["LUTData"].VR = "OW"
        dataset[name][0]["LUTDescriptor"].VR = "US"
    return dataset


def functional_groups(dataset: Dataset) -> Dataset:
    """Make a dataset a multi-frame one of a single frame."""
    measures = item(PixelSpacing=[0.5, 0.5])
    dataset.NumberOfFrames = 1
    dataset.SharedFunctionalGroupsSequence = Sequence([item(PixelMeasuresSequence=Sequence([measures]))])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([item(FrameContentSequence=Sequence([item(StackID="1")]))])
    return dataset


def file_bytes(dataset: Dataset) -> bytes:
    """Return a dataset as a file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def compressed(dataset: Dataset, syntax: str) -> Dataset:
    """Compress a dataset with the library's own encoders."""
    dataset.compress(syntax)
    return dataset


def through_gdcm(dataset: Dataset, syntax: int) -> bytes:
    """Return a dataset as a file in a transfer syntax that only gdcm can write."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "plain.dcm", Path(folder) / "compressed.dcm"
        source.write_bytes(file_bytes(dataset))
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(source))
        if not reader.Read():
            raise RuntimeError(f"gdcm could not read {source}")
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        if not change.Change():
            raise RuntimeError(f"gdcm could not compress {dataset.Rows} x {dataset.Columns} pixels")
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not writer.Write():
            raise RuntimeError(f"gdcm could not write {target}")
        return target.read_bytes()


def jpeg_baseline() -> bytes:
    """Return a file of lossy JPEG with 8 bit."""
    dataset = header(picture(8), JPEGBaseline8Bit)
    _, coded = cv2.imencode(".jpg", picture(8))
    dataset.PixelData = encapsulate([coded.tobytes()])
    dataset["PixelData"].is_undefined_length = True
    return file_bytes(dataset)


def seeds() -> list[Seed]:
    """Return all seeds; every one can be read as it is."""
    explicit, implicit = ExplicitVRLittleEndian, ImplicitVRLittleEndian
    turned: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0}
    kinds = gdcm.TransferSyntax
    twelve: dict[str, Any] = {"BitsStored": 12}
    signed = (picture().astype(np.int32) - 32768).astype(np.int16)
    big = picture().astype(">u2")
    made: dict[str, Callable[[], bytes]] = {
        "implicit": lambda: file_bytes(header(picture(), implicit)),
        "implicit, nested": lambda: file_bytes(nested(header(picture(12), implicit, **twelve))),
        "explicit, nested": lambda: file_bytes(nested(header(picture(12), explicit, **twelve))),
        "explicit, undefined lengths": lambda: file_bytes(nested(header(picture(), explicit), undefined=True)),
        "signed, inverse": lambda: file_bytes(header(signed, explicit, **turned)),
        "big endian": lambda: file_bytes(header(big, ExplicitVRBigEndian)),
        "deflated, nested": lambda: file_bytes(nested(header(picture(), DeflatedExplicitVRLittleEndian))),
        "look-up tables": lambda: file_bytes(tables(header(picture(12), explicit, **twelve))),
        "functional groups": lambda: file_bytes(functional_groups(header(picture(8), explicit))),
        "RLE": lambda: file_bytes(compressed(nested(header(picture(), explicit)), RLELossless)),
        "JPEG-LS": lambda: file_bytes(compressed(header(picture(12), explicit, **twelve), JPEGLSLossless)),
        "JPEG 2000": lambda: through_gdcm(header(picture(), explicit), kinds.JPEG2000Lossless),
        "JPEG lossless": lambda: through_gdcm(header(picture(), explicit), kinds.JPEGLosslessProcess14_1),
        "JPEG baseline": jpeg_baseline,
    }
    films = [Seed(name, make()) for name, make in made.items()]
    mask = header(outline(), explicit)
    masks = [
        Seed("mask", file_bytes(mask), mask=True),
        Seed("mask, RLE", file_bytes(compressed(header(outline(), explicit), RLELossless)), mask=True),
    ]
    return films + masks
