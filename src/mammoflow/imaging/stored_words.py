"""From stored words to values: Bits Stored, High Bit and Pixel Representation, compared with the pixels.

A header that contradicts its pixels is corrected where that is certain and marked as a conflict; a film that would be
wrapped to wrong grey levels is excluded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_header import header_integer, is_compressed
from mammoflow.reasons.files import FileReason

Words = npt.NDArray[Any]
MOST_ABOVE = 0.01  # share of pixels above Bits Stored that are clipped, such as a burnt-in label; more excludes
SAMPLE_ROWS = 256
LEAST_JUMPS = 16
JUMP_RATIO = 8
LEAST_LEVELS = 16
OVERLAY_GROUPS = range(0x6000, 0x6020, 2)


@dataclass(frozen=True)
class Layout:
    """Where a word holds its value.

    Attributes
    ----------
    bits
        Number of bits of the value.
    high_bit
        Position of its highest bit.
    signed
        Whether the value is in two's complement.
    """

    bits: int
    high_bit: int
    signed: bool

    @property
    def shift(self) -> int:
        """Number of bits below the value."""
        return self.high_bit - self.bits + 1


@dataclass(frozen=True)
class FittedWords:
    """Words that their layout describes, and whether the header contradicted them."""

    words: Words
    layout: Layout
    conflict: bool


def stated_layout(dataset: pydicom.Dataset, bits_allocated: int) -> Layout:
    """Return the layout that a header states.

    Raises
    ------
    ExcludedCase
        UNREADABLE where Bits Stored and High Bit do not lie within the allocated bits.
    """
    stored, high_bit = header_integer(dataset, "BitsStored"), header_integer(dataset, "HighBit")
    bits = stored or (bits_allocated if high_bit is None else high_bit + 1)
    high_bit = bits - 1 if high_bit is None else high_bit
    # Early DICOM allowed values that do not end at the lowest bit. In a codestream the meaning of that is not defined.
    highest = bits - 1 if is_compressed(dataset) else bits_allocated - 1
    if not 1 <= bits <= bits_allocated or not bits - 1 <= high_bit <= highest:
        raise ExcludedCase(
            FileReason.UNREADABLE,
            f"bits stored {bits}, high bit {high_bit}; expected both to lie within {bits_allocated} bits allocated",
        )
    return Layout(bits, high_bit, header_integer(dataset, "PixelRepresentation") == 1)


def fit_words(dataset: pydicom.Dataset, words: Words) -> FittedWords:
    """Compare words (rows, columns) with the layout of their header.

    Values above Bits Stored are clipped where they are at most 1 % of the pixels, or where the picture has two levels
    as a mask has. Where values fit Bits Stored but not a higher High Bit, the High Bit is wrong and is not used.

    Raises
    ------
    ExcludedCase
        UNREADABLE where more values exceed Bits Stored, or Bits Stored and High Bit do not lie within the word.
    """
    allocated = 8 * words.dtype.itemsize
    layout = stated_layout(dataset, allocated)
    conflict = False
    if layout.shift and int(words.max()) < 2**layout.bits and bool((words & (2**layout.shift - 1)).any()):
        layout, conflict = replace(layout, high_bit=layout.bits - 1), True
    if layout.high_bit + 1 < allocated and int(words.max()) >= 2 ** (layout.high_bit + 1):
        words = words & words.dtype.type(~_overlay_bits(dataset) & (2**allocated - 1))
        words, clipped = _clip(words, layout)
        conflict |= clipped
    return FittedWords(words, layout, conflict or _sign_is_doubtful(words, layout))


def _overlay_bits(dataset: pydicom.Dataset) -> int:
    """Return the bits of a word that hold overlays, as DICOM allowed until 2004."""
    bits = 0
    for group in OVERLAY_GROUPS:
        element = dataset.get((group, 0x0102))
        embedded = element is not None and (group, 0x3000) not in dataset
        position = element.value if embedded and isinstance(element.value, int) else 0
        bits |= 1 << position if 0 < position < 16 else 0
    return bits


def _clip(words: Words, layout: Layout) -> tuple[Words, bool]:
    """Clip values that need more bits than the layout has, and tell whether there were any."""
    top, allocated = layout.high_bit + 1, 8 * words.dtype.itemsize
    upper, limit = words >> top, 2**top
    if layout.signed:
        negative = (words >> (top - 1)) & 1 == 1
        extended = (upper == 2 ** (allocated - top) - 1) & negative
        # Bits above a negative value are ones. Where no word has them, they are zero for all values.
        fits = extended | (upper == 0) & ~(negative & bool(extended.any()))
    else:
        fits = upper == 0
    share = 1 - np.count_nonzero(fits) / fits.size
    if share == 0:
        return words, False
    low, high = words.min(), words.max()
    if share > MOST_ABOVE and not bool(np.all((words == low) | (words == high))):
        raise ExcludedCase(
            FileReason.UNREADABLE,
            f"{share:.1%} of the values need more than the {layout.bits} bits of Bits Stored (highest word {high}); "
            "correct Bits Stored and High Bit in the header",
        )
    below = (words >> (allocated - 1) == 1) if layout.signed else np.zeros(words.shape, dtype=bool)
    extreme = np.where(below, limit // 2, limit // 2 - 1) if layout.signed else limit - 1
    return np.where(fits, words, extreme).astype(words.dtype), True


def _sign_is_doubtful(words: Words, layout: Layout) -> bool:
    """Tell whether the pixels look as if Pixel Representation were the other one.

    Signed values with an unsigned header are all near zero or near the highest value. Unsigned values with a signed
    header jump between the highest and the lowest value where neighbours cross the middle of the range.
    """
    if layout.bits < 8:
        return False
    sample = words[:: max(1, len(words) // SAMPLE_ROWS)]
    values = (sample >> layout.shift & (2**layout.bits - 1)).astype(np.int32)
    half, quarter = 2 ** (layout.bits - 1), 2 ** (layout.bits - 2)
    if not layout.signed:
        highest = values >= 3 * quarter
        apart = bool(highest.any()) and bool(np.all(highest | (values < quarter)))
        return apart and not bool(highest.all()) and np.unique(values[highest]).size >= LEAST_LEVELS
    signed = np.where(values >= half, values - 2 * half, values)
    ordinary = values != half  # the lowest value often is padding
    pairs = ordinary[:, 1:] & ordinary[:, :-1]
    jumps, others = (int(np.sum((np.abs(np.diff(kind, axis=1)) > half) & pairs)) for kind in (signed, values))
    return jumps >= LEAST_JUMPS and jumps > JUMP_RATIO * others
