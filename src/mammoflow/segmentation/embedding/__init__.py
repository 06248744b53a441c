"""Image embeddings: computed once, kept in the store, read for decoding and training."""
