"""The user's own pairs of clean and degraded files: aligned, then cut into clips."""
