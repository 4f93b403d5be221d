"""What watches a training run: progress, logs, pictures, curves and the run's record."""
