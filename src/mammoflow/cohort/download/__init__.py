"""CBIS-DDSM brought from the public buckets of the Imaging Data Commons, whole or in part."""
