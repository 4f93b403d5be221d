"""Checkpoints: any known format to a network; what a checkpoint holds."""

from apollo_model.checkpoint.formats import load_network, save_network

__all__ = ["load_network", "save_network"]
