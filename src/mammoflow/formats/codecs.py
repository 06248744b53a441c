"""Decoders that pydicom lacks or does not use; this module registers them with pydicom.

pydicom calls OpenJPEG and the fast run-length decoder only through another package. It has no decoder for JPEG Extended
with 12 bits, although GDCM reads it. pydicom tries the decoders of this module where its own are missing or fail.
"""

from __future__ import annotations

import gdcm
import openjpeg.utils
import rle.utils
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    RLELossless,
)

LABEL = "mammoflow"
JPEG_2000 = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
DECODER_DEPENDENCIES: dict[UID, tuple[str, ...]] = {
    **dict.fromkeys(JPEG_2000, ("pylibjpeg-openjpeg",)),
    RLELossless: ("pylibjpeg-rle",),
    JPEGExtended12Bit: ("python-gdcm",),
}
"""Transfer syntaxes that this module decodes, and the packages behind each. pydicom reads this name."""


def is_available(syntax: str) -> bool:
    """Tell pydicom whether this module decodes a transfer syntax."""
    return syntax in DECODER_DEPENDENCIES


def decode_jpeg_2000(source: bytes, runner: DecodeRunner) -> bytearray:
    """Decode a JPEG 2000 or HTJ2K frame with OpenJPEG.

    Raises
    ------
    RuntimeError
        If the codestream is damaged.
    """
    frame = bytearray(openjpeg.utils.decode_pixel_data(source, version=2))
    if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):  # the decoder converts these to RGB
        runner.set_option("photometric_interpretation", "RGB")
    precision = runner.get_option("j2k_precision", runner.bits_stored)
    runner.set_option("bits_allocated", next(bits for bits in (8, 16, 32) if precision <= bits))
    return frame


def decode_run_lengths(source: bytes, runner: DecodeRunner) -> bytearray:
    """Decode an RLE frame.

    Raises
    ------
    ValueError
        If the segments do not fit the header.
    """
    frame = bytearray(rle.utils.decode_pixel_data(source, version=2, **runner.options))
    runner.set_option("planar_configuration", 1)
    return frame


def decode_jpeg_extended(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode a JPEG frame of 12 bit (process 4) with GDCM.

    Raises
    ------
    ValueError
        If the header does not have one sample in 16 bits, or GDCM gives no pixels.
    """
    if runner.bits_allocated != 16 or runner.samples_per_pixel != 1:  # GDCM ends the process on such a header
        raise ValueError("samples of 12 bit need 16 bits allocated")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(source)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    photometric = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(photometric))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, runner.bits_allocated, 12, 11, runner.pixel_representation))
    buffer: str | None = image.GetBuffer()
    if not buffer:
        raise ValueError("GDCM gives no pixels")
    return buffer.encode("utf-8", "surrogateescape")  # the binding returns the bytes as text


def register_decoders() -> None:
    """Register the decoders of this module with pydicom, once in each process."""
    functions = {JPEGExtended12Bit: decode_jpeg_extended.__name__, RLELossless: decode_run_lengths.__name__}
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if LABEL not in decoder.available_plugins:
            decoder.add_plugin(LABEL, (__name__, functions.get(syntax, decode_jpeg_2000.__name__)))
