"""Checks before the first job of a run, and the files, modules and resources of each job."""
