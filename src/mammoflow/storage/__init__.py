"""Files that are never half written, and the store of arrays that all runs share."""
