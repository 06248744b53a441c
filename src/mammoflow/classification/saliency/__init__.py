"""Saliency maps of picture classifiers, and how much of them lies on the lesion."""
