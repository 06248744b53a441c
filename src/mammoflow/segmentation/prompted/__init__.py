"""The stage that segments lesions with promptable models."""
