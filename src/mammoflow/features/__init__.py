"""Texture and radiomics of and around a lesion."""
