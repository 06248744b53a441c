"""Weights of networks: which are known, how they are fetched and read."""
