"""Files that are written in one step, reading JSON, images and masks as PNG, and digests."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.errors import StudyError
from mammoflow.storage.write_errors import write_error

Array = npt.NDArray[np.generic]

TEMPORARY_BYTES = 6
"""Random bytes in the name of a temporary file, which are twice as many hexadecimal digits."""

# One fixed filter with run lengths writes film grain 3.5 times as fast as zlib's default strategy; files get no larger.
PNG_OPTIONS = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_SUB,
]


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success sync it and rename it to `path`, otherwise remove it.

    Raises
    ------
    WriteError
        If the disk is full, the folder cannot be written to, or the like, whichever library wrote the file.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.with_name(f".{path.stem}-{secrets.token_hex(TEMPORARY_BYTES)}{path.suffix}")
        name.touch(mode=0o666, exist_ok=False)  # the system itself applies the umask, also in threads
        temporary = name
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)  # for a library that puts a file of its own in this place
        temporary.replace(path)
    except Exception as error:
        problem = write_error(error, path)  # before the file is removed: then a full disk has room again
        if problem is None:
            raise
        raise problem from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in one step."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises
    ------
    StudyError
        If the file is missing, damaged, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read ({error}); run the stage that writes it again") from error
    if not isinstance(content, dict):
        raise StudyError(f"{path} holds {type(content).__name__}, expected a JSON object; write it again")
    return content


def write_image(path: Path, image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Write a grey (height, width) or RGB (height, width, 3) image of 8 or 16 bit as PNG."""
    with writing(path) as temporary:
        pixels = image[..., ::-1] if image.ndim == 3 else image
        write_encoded(temporary, ".png", pixels, PNG_OPTIONS)


def write_encoded(path: Path, suffix: str, pixels: Array, options: list[int]) -> None:
    """Encode a picture and write it; OpenCV itself does not say why a file cannot be written.

    Parameters
    ----------
    path
        The file, inside `writing`.
    suffix
        Of the format, such as `.png`.
    pixels
        Grey (height, width), or blue, green and red (height, width, 3).
    options
        Of OpenCV's encoder.
    """
    done, encoded = cv2.imencode(suffix, pixels, options)
    if not done:
        raise StudyError(f"picture {path.name} of {pixels.shape} {pixels.dtype} cannot be encoded as {suffix}")
    path.write_bytes(encoded.tobytes())


def read_image(path: Path) -> Array:
    """Read an image that `write_image` wrote, with 8 or 16 bits as in the file.

    Raises
    ------
    StudyError
        If the file is missing or damaged.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise StudyError(f"image {path} is missing or damaged; remove it and run the stage that writes it again")
    return np.asarray(image[..., ::-1] if image.ndim == 3 else image)


def write_mask(path: Path, mask: npt.NDArray[np.bool_]) -> None:
    """Write a boolean (height, width) mask as an 8-bit PNG of 0 and 255."""
    write_image(path, mask.astype(np.uint8) * np.uint8(255))


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a mask that `write_mask` wrote."""
    return np.asarray(read_image(path).astype(np.int32) > 127)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_digest(array: Array) -> str:
    """Return the SHA-256 of an array's type, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def text_digest(*texts: str) -> str:
    """Return the SHA-256 of several texts with a separator between them."""
    return hashlib.sha256("\x00".join(texts).encode()).hexdigest()
