"""Source activity detection (SAD): when each stem sounds."""
