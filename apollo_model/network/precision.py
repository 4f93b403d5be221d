"""Devices and number types."""

import contextlib

import torch

from apollo_data.errors import ToolError
from apollo_model.network.base import Network

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is CUDA, else MPS, else the CPU.

    Raises
    ------
    ToolError
        torch finds no such device here.
    """
    if name == "auto":
        return torch.device(_found_here()[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ToolError(f"--device {name}: expected auto, cpu, cuda, cuda:N or mps") from None
    here = _found_here()
    if device.type not in here:
        raise ToolError(f"--device {name}: torch finds none here; there is {', '.join(here)}")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if device.index is not None and device.index >= count:
        raise ToolError(f"--device {name}: there are {count} here, counted from {device.type}:0")
    return device


def _found_here() -> list[str]:
    found = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    return [name for name, is_here in found.items() if is_here]


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type of that name; ``auto`` is bfloat16 if the hardware supports it.

    That means a GPU with bfloat16, or a CPU with AMX or AVX512-BF16. Other hardware emulates
    bfloat16, which is slower than float32.
    """
    if name != "auto":
        return _DTYPES[name]
    if device.type == "cpu":
        quick = _cpu_has_bfloat16()
    else:
        quick = device.type == "cuda" and torch.cuda.is_bf16_supported(False)
    return torch.bfloat16 if quick else torch.float32


def choose_training_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type that training computes in; ``auto`` is float32 on anything but a GPU.

    There bfloat16 gains less than it costs: a CPU trains small networks, whose time goes
    elsewhere.
    """
    return torch.float32 if name == "auto" and device.type != "cuda" else choose_dtype(name, device)


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Return a context in which products are computed in `dtype`; weights stay float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


def _cpu_has_bfloat16() -> bool:
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def prepare_network(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """Move a network to `device` for use, and the weights of its core to `dtype`.

    The first and last layers and the rotary tables stay float32: that costs little time and
    keeps the levels' dynamic range.
    """
    network = network.to(device).eval().requires_grad_(False)
    for parameter in network.core.parameters():
        parameter.data = parameter.data.to(dtype)
    return network
