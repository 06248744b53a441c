"""Recipes: the ways in which the weights of a segmentation model are made."""
