"""Where a network runs and in which arithmetic."""

import torch

from apollo_data.errors import ToolError
from apollo_model.network.apollo import Apollo

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is the GPU if there is one.

    Raises
    ------
    ToolError
        A GPU was asked for and torch finds none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ToolError("--device cuda: torch finds no GPU here; use --device cpu")
    try:
        return torch.device(name)
    except RuntimeError:
        raise ToolError(f"--device {name}: expected auto, cpu or cuda") from None


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type of that name; ``auto`` is bfloat16 where the hardware multiplies in it.

    That is a GPU that says so, or a CPU with AMX or AVX512-BF16. Elsewhere bfloat16 is
    emulated, and slower.
    """
    if name != "auto":
        return _DTYPES[name]
    quick = _cpu_has_bfloat16() if device.type == "cpu" else torch.cuda.is_bf16_supported(False)
    return torch.bfloat16 if quick else torch.float32


def _cpu_has_bfloat16() -> bool:
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def prepare_network(network: Apollo, device: torch.device, dtype: torch.dtype) -> Apollo:
    """Move a network to `device` for use, and its blocks' weights to `dtype`.

    The ends stay float32, which costs nothing and keeps the levels' dynamic range; so do the
    tables of rotary positions.
    """
    network = network.to(device).eval().requires_grad_(False)
    for parameter in network.net.parameters():
        parameter.data = parameter.data.to(dtype)
    return network
