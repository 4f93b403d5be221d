"""Training: one step, the run and its state, losses."""
