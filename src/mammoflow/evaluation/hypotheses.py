"""Names of the families of hypotheses in the tables of paired tests."""

PRIMARY = "primary"
AGAINST_READER = "models against BI-RADS"
AGAINST_BEST = "models against the best model"
EXPLORATORY = "exploratory"
