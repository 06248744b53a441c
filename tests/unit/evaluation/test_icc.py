from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from mammoflow.evaluation.icc import icc_2_1

# Shrout and Fleiss, Psychological Bulletin 86, 1979, table 2: six targets, four judges.
RATINGS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


def test_worked_example_of_shrout_and_fleiss():
    found = icc_2_1(RATINGS)
    assert found.value == pytest.approx(0.29, abs=0.005)  # their table 4
    # The interval of McGraw and Wong on the same data, as the package psych for R gives it: 0.019 to 0.76.
    assert found.low == pytest.approx(0.019, abs=0.0005)
    assert found.high == pytest.approx(0.761, abs=0.0005)
    assert found.targets == 6


def test_value_is_that_of_the_mean_squares_of_an_analysis_of_variance():
    random = np.random.default_rng(0)
    values = random.normal(0, 2, (30, 1)) + random.normal(0, 0.5, (1, 5)) + random.normal(0, 1, (30, 5))
    rows = [
        {"value": values[target, judge], "target": f"t{target}", "judge": f"j{judge}"}
        for target in range(30)
        for judge in range(5)
    ]
    squares = anova_lm(ols("value ~ C(target) + C(judge)", pd.DataFrame(rows)).fit())["mean_sq"]
    between, shift, error = squares["C(target)"], squares["C(judge)"], squares["Residual"]
    assert icc_2_1(values).value == pytest.approx((between - error) / (between + 4 * error + 5 * (shift - error) / 30))


def test_interval_without_shift_is_near_that_of_the_one_way_model():
    # Without an effect of the condition, ICC(2,1) and ICC(1,1) estimate one thing, which has a plain F interval.
    random = np.random.default_rng(1)
    values = random.normal(0, 2, (200, 1)) + random.normal(0, 1, (200, 4))
    found = icc_2_1(values)
    means = values.mean(axis=1, keepdims=True)
    ratio = 4 * values.mean(axis=1).var(ddof=1) / (((values - means) ** 2).sum() / (200 * 3))
    low = ratio / f_distribution.ppf(0.975, 199, 600)
    high = ratio * f_distribution.ppf(0.975, 600, 199)
    assert found.low == pytest.approx((low - 1) / (low + 3), abs=0.01)
    assert found.high == pytest.approx((high - 1) / (high + 3), abs=0.01)
    assert found.low < 0.8 < found.high


def test_scale_and_offset_change_nothing():
    plain, changed = icc_2_1(RATINGS), icc_2_1(1e6 * RATINGS + 3e6)
    assert changed.value == pytest.approx(plain.value, rel=1e-6)
    assert changed.low == pytest.approx(plain.low, rel=1e-6)


def test_perfect_agreement_is_one_without_an_interval():
    found = icc_2_1(np.repeat(np.arange(8.0)[:, None], 3, axis=1))
    assert found.value == 1
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_what_cannot_be_told_is_not_defined():
    assert math.isnan(icc_2_1(np.full((8, 3), 7.3)).value)
    assert math.isnan(icc_2_1(RATINGS[:4]).value)
    assert math.isnan(icc_2_1(RATINGS[:, :1]).value)
    gaps = np.where(RATINGS == 10, np.nan, RATINGS)
    assert icc_2_1(gaps).targets == 5
