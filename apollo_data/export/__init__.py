"""Data sets in other trainers' layouts: one file a layout."""
