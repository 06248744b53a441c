"""The published networks behind the protocol of promptable models."""
