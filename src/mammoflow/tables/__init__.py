"""The tables that stages pass to each other, and the one way to read and write them."""
