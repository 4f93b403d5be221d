"""Multitrack music in, verified training data for music restoration out."""

__version__ = "0.1.0"
