"""A network's key follows from its class, settings, types and every weight."""

import copy

import torch
from helpers.small_networks import loud_network

from apollo_model.checkpoint.network_identity import network_key
from apollo_model.network.precision import prepare_network


def test_the_key_follows_from_settings_types_and_every_weight() -> None:
    network = loud_network(layers=1)
    key = network_key(network)
    assert network_key(copy.deepcopy(network)) == key
    assert network_key(loud_network(residual=True, layers=1)) != key
    other = copy.deepcopy(network)
    for name, value in list(other.state_dict().items())[::45]:
        value.view(-1)[-1] += 1.0
        changed = network_key(other)
        value.view(-1)[-1] -= 1.0
        assert changed != key, name
    half = prepare_network(copy.deepcopy(network), torch.device("cpu"), torch.bfloat16)
    assert network_key(half) not in (key, network_key(loud_network(residual=True, layers=1)))
    network.requires_grad_(False).train()
    assert network_key(network) == key
