"""The data dictionary: every feature of every family with its region, filter and statistic, as a page of the docs."""

from __future__ import annotations

from mammoflow.config.features import FEATURE_FAMILIES, FeatureOptions
from mammoflow.errors import ConfigError

HEAD = """\
# Feature dictionary

This page is generated from the feature families (`make generate`). It lists the columns that each family has with its
default options. Options of a family add columns whose names follow the same pattern:

| family | name |
|---|---|
| `gabor` | `gabor_<region>_<statistic>_w<wavelength in mm>_<o and orientation in degrees, or pooled>` |
| `radiomics` | `radiomics_[<region>_]<image>_<class>_<feature>`; without a region it is the lesion itself |
| `descriptors` | `descriptors_<descriptor>` |

- Regions: `lesion`, `inner` (disc around the lesion), `ring`, `mirrored` (same place of the other breast), and
  `shell5to10` (5 to 10 mm from the lesion's border).
- Images of `radiomics`: `original`, `log-sigma-2-0-mm-2D` (Laplacian of a Gaussian of 2.0 mm), and `wavelet-LH`,
  `wavelet-HL`, `wavelet-HH`, `wavelet-LL`. [PyRadiomics](https://pyradiomics.readthedocs.io/en/v3.0.1/features.html)
  defines its classes and features.
- An empty field means that the feature is not defined for the lesion. `status` and `detail` of the row say why.
- Columns without the prefix of the family, such as `inner_share`, describe the measurement and are no features.

[features.md](features.md) has the definitions, and what each family can and cannot say.
"""


def dictionary_text() -> str:
    """Return the page.

    Raises
    ------
    ConfigError
        If the options of a family have no defaults.
    """
    return HEAD + "".join(_section(family) for family in FEATURE_FAMILIES.names())


def _section(family: str) -> str:
    options = FEATURE_FAMILIES.options(family)()
    if not isinstance(options, FeatureOptions):
        raise ConfigError(f"feature family {family}: its options are no FeatureOptions; derive them from this class")
    extractor = FEATURE_FAMILIES.load(family).open_family(options, "cpu")
    lines = [f"\n## {family}\n", f"{len(extractor.columns)} features.\n"]
    lines += ["| column | region | filter or image | statistic | unit |", "|---|---|---|---|---|"]
    for column in extractor.columns:
        found = extractor.meaning(column)
        lines.append(f"| `{column}` | {found.region} | {found.image} | {found.statistic} | {found.unit} |")
    if extractor.description:
        lines.append(
            "\nDescriptions of the measurement: " + ", ".join(f"`{one}`" for one in extractor.description) + "."
        )
    return "\n".join(lines) + "\n"
