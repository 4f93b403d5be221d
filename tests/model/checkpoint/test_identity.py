"""A network's key follows from its class, settings, types and every weight."""

import copy

import torch
from helpers.small_networks import loud_network

from apollo_model.checkpoint.identity import network_key
from apollo_model.network.precision import prepare_network


def test_the_key_follows_from_settings_types_and_every_weight() -> None:
    network = loud_network(layers=1)
    key = network_key(network)
    assert network_key(copy.deepcopy(network)) == key
    assert network_key(loud_network(residual=True, layers=1)) != key
    for name, value in network.state_dict().items():
        other = copy.deepcopy(network)
        changed = other.state_dict()[name].view(-1)
        changed[-1] += 1.0
        assert network_key(other) != key, name
        assert value.numel()
    half = prepare_network(copy.deepcopy(network), torch.device("cpu"), torch.bfloat16)
    assert network_key(half) not in (key, network_key(loud_network(residual=True, layers=1)))
    network.requires_grad_(False).train()
    assert network_key(network) == key
