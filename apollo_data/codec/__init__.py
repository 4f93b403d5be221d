"""Codec pairs: batched ffmpeg round trips, aligned to the sample."""
