"""The configuration as typed models, one module a stage; `study` composes them. They document every key."""
