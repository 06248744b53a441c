"""The configuration as typed models, one module per stage; `study` composes them. They document every key."""
