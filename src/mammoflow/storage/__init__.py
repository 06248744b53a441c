"""Files that are written in one step, and the store of arrays that all runs share."""
