"""A network's identity: one key that follows from its settings and its weights."""

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

from apollo_data.storage import key_of


def weights_sha256(weights: Mapping[str, torch.Tensor]) -> str:
    """Hash tensors by name, type, shape and content, in the order of their names.

    The device does not matter: a copy on a GPU has the hash of the copy in main memory.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def network_key(network: nn.Module) -> str:
    """Return a key that tells this network from every other one.

    It follows from the class, the settings and every weight in the type that it has now. So
    two networks of the same sizes have different keys, and so have a float32 network and its
    bfloat16 copy, because their results differ.

    Examples
    --------
    >>> from apollo_model.network import Apollo
    >>> one, other = Apollo(feature_dim=16, layers=1), Apollo(feature_dim=16, layers=1)
    >>> network_key(one) == network_key(one), network_key(one) == network_key(other)
    (True, False)
    """
    settings = getattr(network, "settings", None)
    return key_of(type(network).__name__, settings, weights_sha256(network.state_dict()))
