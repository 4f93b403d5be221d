"""Prepare a checkpoint for use: load it, move it to its device and type, compute its key."""

from apollo_model.checkpoint.formats import load_network
from apollo_model.checkpoint.network_identity import network_key
from apollo_model.network.base import Network
from apollo_model.network.precision import choose_device, choose_dtype, prepare_network


def load_prepared(checkpoint: str, device: str, dtype: str) -> tuple[Network, str]:
    """Load a network for use, and return it with its `network_key`.

    Raises
    ------
    DataError
        The checkpoint cannot be read.
    ToolError
        There is no such device.
    """
    place = choose_device(device)
    network = prepare_network(load_network(checkpoint), place, choose_dtype(dtype, place))
    return network, network_key(network)
