"""A checkpoint made ready for use: loaded, on its device, in its arithmetic, with its key."""

import hashlib

from apollo_data.storage import key_of
from apollo_model.checkpoint.formats import load_network
from apollo_model.network.apollo import Apollo
from apollo_model.network.precision import choose_device, choose_dtype, prepare_network


def load_prepared(checkpoint: str, device: str, dtype: str) -> tuple[Apollo, str]:
    """Load a network for use, and return with it a key that tells it from others.

    Raises
    ------
    DataError
        The checkpoint cannot be read.
    ToolError
        There is no such device.
    """
    place = choose_device(device)
    arithmetic = choose_dtype(dtype, place)
    network = load_network(checkpoint)
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    key = key_of(digest.hexdigest(), network.settings, str(arithmetic))
    return prepare_network(network, place, arithmetic), key
