"""Networks of the classifiers: each module turns tensors into features."""
