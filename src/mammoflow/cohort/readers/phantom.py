"""The embedded phantom study, which is written as a CBIS-DDSM download looks."""

from __future__ import annotations

from mammoflow.cohort.readers import cbis_ddsm


class StudyReader(cbis_ddsm.StudyReader):
    """The phantom study; it says so even where its marker file was lost."""

    def is_phantom(self) -> bool:
        """Tell that the study is made of phantoms."""
        return True
