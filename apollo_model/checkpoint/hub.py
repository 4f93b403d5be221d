"""Fetch checkpoints by name (`owner/name`) from the Hugging Face hub, once."""

import re
from pathlib import Path

from apollo_data.errors import DataError, ToolError

PUBLISHED = "JusperLee/Apollo"
"""The authors' own weights."""

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_FILE_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


def is_hub_name(name: Path | str) -> bool:
    """Tell whether this is a name on the hub; a path that exists is a file.

    Examples
    --------
    >>> is_hub_name("JusperLee/Apollo"), is_hub_name("runs/best.safetensors")
    (True, False)
    """
    text = str(name)
    named = _NAME.fullmatch(text) and not text.startswith(".")
    return bool(named) and not text.endswith(_FILE_SUFFIXES) and not Path(text).exists()


def fetch_checkpoint(name: str) -> Path:
    """Return the local copy of a checkpoint on the hub; fetch it if there is none.

    A copy that was fetched before is used without asking the hub.

    Raises
    ------
    ToolError
        The package `huggingface_hub` is not installed.
    DataError
        There is no such checkpoint, or the hub cannot be reached.
    """
    by_hand = f"download its {_WEIGHT_FILES[-1]} yourself and give that file's path"
    try:
        import huggingface_hub
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError:
        raise ToolError(
            f"{name}: is no file here, and fetching it from the hub needs"
            f" `pip install apollo-toolkit[hub]`; or {by_hand}"
        ) from None
    for file in _WEIGHT_FILES:
        kept = huggingface_hub.try_to_load_from_cache(name, file)
        if isinstance(kept, str):  # else it tells what it knows of the file's absence
            return Path(kept)
    for file in _WEIGHT_FILES:
        try:
            return Path(huggingface_hub.hf_hub_download(name, file))
        except LocalEntryNotFoundError:  # which is an EntryNotFoundError too
            raise DataError(
                f"{name}: is not kept here, and the hub cannot be reached; try again, or {by_hand}"
            ) from None
        except EntryNotFoundError:
            continue
        except Exception as error:  # its own, the network library's and the system's
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(
                f"{name}: cannot be fetched from the hub ({reason}); try again, or {by_hand}"
            ) from None
    raise DataError(f"{name}: holds none of {', '.join(_WEIGHT_FILES)}")
