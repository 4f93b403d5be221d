"""Small networks with random weights whose output is as loud as music."""

from pathlib import Path

import torch
from torch import nn

from apollo_model.checkpoint.formats import save_network
from apollo_model.network.apollo import Apollo


def loud_network(residual: bool = False, causal: bool = False, layers: int = 2) -> Apollo:
    torch.manual_seed(0)
    network = Apollo(feature_dim=16, layers=layers, residual=residual, causal=causal).eval()
    for band in network.output:
        nn.init.normal_(band[1].weight, std=0.5 if residual else 5.0)
    return network


def save_small(path: Path, causal: bool = False) -> Path:
    metadata = {"epoch": "3", "settings": 'name = "tiny"\n[training]\nbatch = 1\n'}
    save_network(loud_network(True, causal, layers=1), path, metadata)
    return path
