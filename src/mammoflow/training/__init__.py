"""Training of networks: one loop for every learner, its plan, its state and its record."""
