"""Denoising diffusion of lesion crops: noising, network, sampling and training."""
