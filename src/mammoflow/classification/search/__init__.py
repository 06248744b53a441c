"""The hyper-parameter search of a classifier, within the training patients."""
