"""The feature families: each module is one, found by its file name."""
