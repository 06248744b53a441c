"""The embedded phantom study: synthetic patients, findings and films, written as a CBIS-DDSM download looks."""
