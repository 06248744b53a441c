"""Write `docs/feature-dictionary.md`: every feature of every family, from the families themselves."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from mammoflow.features.dictionary import dictionary_text  # noqa: E402
from mammoflow.storage.files import write_text  # noqa: E402

if __name__ == "__main__":
    write_text(ROOT / "docs" / "feature-dictionary.md", dictionary_text())
