"""What a study holds before anything is measured on it: counts, doubles, leaks, spacing, exclusions."""
