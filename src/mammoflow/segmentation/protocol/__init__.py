"""What every segmentation model offers: one base, promptable models and automatic models."""
