"""The four case tables of CBIS-DDSM, downloaded from the data set's page and compared with their known digests."""

from __future__ import annotations

import sys
from pathlib import Path

from mammoflow.errors import DownloadError
from mammoflow.transfer.checksums import matches_checksum
from mammoflow.transfer.connection import Transfer
from mammoflow.transfer.download import download

PAGE = "https://www.cancerimagingarchive.net/collection/cbis-ddsm/"
HOSTS = frozenset({"www.cancerimagingarchive.net", "cancerimagingarchive.net"})

CHECKSUMS = {
    "mass_case_description_train_set.csv": "d1b4249fe0176a7531f27458e9f6bfa95dcc93886b249b5aa4db6ed82083bbbe",
    "mass_case_description_test_set.csv": "bea24f508f2632944c856202a76e36a01aa6362f2c2f7a33f38b10ed1ea8de62",
    "calc_case_description_train_set.csv": "f7e705ac8badaf4d637519b0f2324b1f6e540325ecabeab582806421273bfb45",
    "calc_case_description_test_set.csv": "1a94adc4290f020e92d8e987992fb48ddc256e7b71e8d8f5b7a96f2cdd645673",
}
"""SHA-256 of the tables as the archive has published them since 2017."""


def fetch_case_tables(names: list[str], address: str, study: Path, transfer: Transfer) -> None:
    """Bring case tables to the study folder; one that is there is kept, whatever it holds.

    Parameters
    ----------
    names
        Names of the tables.
    address
        Address of the folder that holds them.
    study
        The study folder.
    transfer
        How stubbornly to try.

    Raises
    ------
    DownloadError
        If a table cannot be fetched, or another file came; the message says how to do without.
    """
    for name in names:
        path, checksum = study / name, f"sha256:{CHECKSUMS[name]}"
        if path.is_file():
            if not matches_checksum(path, checksum):
                print(f"{path} is not the table as published; it is taken as it is", file=sys.stderr, flush=True)
            continue
        settings = Transfer(**{**vars(transfer), "hosts": transfer.hosts | HOSTS})
        try:
            download(f"{address}/{name}", path, checksum, transfer=settings)
        except DownloadError as error:
            raise DownloadError(f"{error}; or save {name} from {PAGE} as {path} and run again") from error
