"""The small promptable model that is shipped with its weights, and the recipe that trains it."""
