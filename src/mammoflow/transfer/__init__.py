"""Files from the network: connections, downloads and checksums."""
