"""The similarity of Gabor features that were standardised by training lesions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.features.similarity import cosine_similarity

STANDARDISED = "gabor_similarity_standardised"


def standardised_similarity(features: pd.DataFrame, training: pd.Series) -> pd.Series:
    """Return the cosine between the standardised Gabor features around each lesion and in its ring.

    Entries of raw magnitudes are all positive and grow with wavelength, so their cosine is close to 1 for every lesion.
    Here each entry is standardised first, by the mean and the deviation of the training lesions over both regions.

    Parameters
    ----------
    features
        Columns `gabor_inner_<mean|std>_...` and `gabor_ring_<mean|std>_...`; one row for each lesion.
    training
        Boolean, by the same rows: the lesions that mean and deviation are taken from.

    Returns
    -------
    Series
        -1 to 1; `nan` where nothing is defined.
    """
    inner = [str(name) for name in features if str(name).startswith(("gabor_inner_mean_", "gabor_inner_std_"))]
    pairs = [(name, name.replace("_inner_", "_ring_")) for name in inner]
    pairs = [(first, second) for first, second in pairs if second in features]
    regions = np.stack([features[[pair[place] for pair in pairs]].to_numpy(dtype=np.float64) for place in (0, 1)])
    fitted = regions[:, training.to_numpy(dtype=bool)].reshape(-1, len(pairs))
    known = np.isfinite(fitted).any(axis=0)
    standardised = np.full_like(regions, np.nan)
    means, deviations = np.nanmean(fitted[:, known], axis=0), np.nanstd(fitted[:, known], axis=0)
    standardised[..., known] = (regions[..., known] - means) / np.where(deviations > 0, deviations, 1.0)
    values = [cosine_similarity(first, second) for first, second in zip(*standardised, strict=True)]
    return pd.Series(values, index=features.index, dtype="float64")
