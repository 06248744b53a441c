"""The hyper-parameter search of a segmentation model, within the training patients."""
