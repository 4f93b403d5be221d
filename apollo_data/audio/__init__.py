"""Audio files: probe, read, decode, scan; which ffmpeg, and how it is run."""
