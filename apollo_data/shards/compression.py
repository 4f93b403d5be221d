"""Compression of a shard's samples by HDF5 filters, chunk by chunk.

`none`, `lzf` and `gzip` need h5py alone, `blosc2` the plugin of the extra `compression`.
The bytes of the samples are shuffled first, because high bytes of neighbours are similar.
"""

import types
from typing import Any

import h5py

from apollo_data.errors import ToolError

_BLOSC2_FILTER = 32026  # as registered with the HDF Group
_GZIP_LEVEL = 4


def dataset_options(compression: str, origin: str) -> dict[str, Any]:
    """Return the options for h5py's ``create_dataset``.

    Raises
    ------
    ToolError
        The plugin is missing; `origin` is the file that needs it.
    """
    if compression == "none":
        return {}
    if compression == "blosc2":
        plugin = _plugin(origin)
        return dict(plugin.Blosc2(cname="zstd", clevel=5, filters=plugin.Blosc2.SHUFFLE))
    level = {"compression_opts": _GZIP_LEVEL} if compression == "gzip" else {}
    return {"compression": compression, "shuffle": True, **level}


def require_filters(dataset: h5py.Dataset, origin: str) -> None:
    """Check that a dataset can be decompressed.

    Raises
    ------
    ToolError
        The plugin is missing, or the filter is unknown to this software.
    """
    plist = dataset.id.get_create_plist()
    for number in range(plist.get_nfilters()):
        code, _flags, _values, name = plist.get_filter(number)
        if h5py.h5z.filter_avail(code):
            continue
        if code != _BLOSC2_FILTER:
            raise ToolError(f"{origin}: is compressed with {name!r}, which HDF5 does not know here")
        _plugin(origin)


def _plugin(origin: str) -> types.ModuleType:
    try:
        import hdf5plugin
    except ImportError:
        raise ToolError(
            f"{origin}: blosc2 needs the package hdf5plugin; "
            "pip install 'apollo-toolkit[compression]'"
        ) from None
    return hdf5plugin
