"""What the hyper-parameter searches of classifiers and of segmentation models share."""
