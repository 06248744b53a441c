"""Tuning of the promptable models: decoder, all weights, LoRA or adapters, by one trainer."""
