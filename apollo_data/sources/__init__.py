"""Data sets: one module for each layout that songs can come in."""
