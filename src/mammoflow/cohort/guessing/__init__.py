"""From a table that nobody has described to a first configuration: which column holds what, and where the files are."""
