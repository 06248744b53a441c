"""Files from the network: connections, downloads, checksums."""
