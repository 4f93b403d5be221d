"""Mixes: draw a recipe from a seed and an index, then render it without randomness.

Source: arXiv 2409.08514, section III-A: 1-8 stems of the 11 classes from different
songs, each at -10..+10 dB, summed. docs/mixing.md describes every setting.
"""

from apollo_data.mixing.gains import gain_at
from apollo_data.mixing.pool import MixPool, draw_recipes, split_sizes
from apollo_data.mixing.rendering import MAX_LIFT_DB, render, render_stems
from apollo_data.mixing.starts import StartTimes

__all__ = [
    "MAX_LIFT_DB",
    "MixPool",
    "StartTimes",
    "draw_recipes",
    "gain_at",
    "render",
    "render_stems",
    "split_sizes",
]
