"""The files of a folder in a public bucket, by the listing that S3 and Google Cloud Storage both give."""

from __future__ import annotations

import re
import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from mammoflow.errors import DownloadError
from mammoflow.transfer.checksums import checksum_from_etag
from mammoflow.transfer.connection import Transfer, read_address

MOST_PAGES = 100

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


@dataclass(frozen=True)
class BucketFile:
    """One file: its name below the folder, its address, and what the store says of its content."""

    name: str
    url: str
    size: int
    checksum: str


def list_files(address: str, prefix: str, transfer: Transfer) -> list[BucketFile]:
    """List the files below a folder of a bucket, by name.

    Parameters
    ----------
    address
        Address of the bucket.
    prefix
        The folder.
    transfer
        How stubbornly to try.

    Raises
    ------
    DownloadError
        If the listing cannot be read, or names anything but files of this folder.
    """
    files: list[BucketFile] = []
    token = ""
    for _ in range(MOST_PAGES):
        query = {"list-type": "2", "prefix": f"{prefix}/"} | ({"continuation-token": token} if token else {})
        page = _page(f"{address}/?{urllib.parse.urlencode(query)}", transfer)
        for entry in page.iter("Contents"):
            files.append(_file(entry, address, prefix))
        token = page.findtext("NextContinuationToken") or ""
        if not token:
            return sorted(files, key=lambda file: file.name)
    raise DownloadError(f"{address} lists {prefix} on more than {MOST_PAGES} pages; expected the files of one series")


def _page(url: str, transfer: Transfer) -> ElementTree.Element:
    """Read one page of a listing; elements lose their name space, which differs between the stores."""
    content = read_address(url, transfer)
    # A listing has no document type; without one there are no entities that could be blown up.
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DownloadError(f"{url} gives a page with a document type, expected the listing of a bucket")
    try:
        page = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DownloadError(f"{url} gives no listing of a bucket: {error}; check download.bucket") from error
    for element in page.iter():
        element.tag = element.tag.rpartition("}")[2]
    if page.tag != "ListBucketResult":
        raise DownloadError(f"{url} gives {page.tag}, expected ListBucketResult; check download.bucket")
    return page


def _file(entry: ElementTree.Element, address: str, prefix: str) -> BucketFile:
    key = entry.findtext("Key") or ""
    name = key.removeprefix(f"{prefix}/")
    size = entry.findtext("Size") or ""
    if name == key or not _FILE_NAME.fullmatch(name) or not size.isdigit():
        raise DownloadError(f"the listing of {prefix} names {key!r} of {size!r} bytes, expected files of that folder")
    checksum = checksum_from_etag(entry.findtext("ETag") or "")
    return BucketFile(name, f"{address}/{urllib.parse.quote(key)}", int(size), checksum)
