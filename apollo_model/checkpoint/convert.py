"""Convert any checkpoint to safetensors with a model card."""

from pathlib import Path
from typing import Literal

import torch

from apollo_data.errors import DataError
from apollo_data.storage import sha256_file, write_text
from apollo_model.checkpoint.describe import CheckpointInfo, describe_checkpoint, model_card
from apollo_model.checkpoint.find_weights import Choice
from apollo_model.checkpoint.formats import load_checkpoint, save_network
from apollo_model.checkpoint.hub import fetch_checkpoint, is_hub_name
from apollo_model.checkpoint.plain_values import printable

SUFFIX = ".safetensors"
StoredType = Literal["float32", "float16", "bfloat16"]
_TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def convert_checkpoint(
    source: Path | str,
    out: Path,
    weights: Choice = "auto",
    stored_as: StoredType = "float32",
    overwrite: bool = False,
) -> tuple[CheckpointInfo, Path]:
    """Write a checkpoint's network as safetensors, and a model card beside it.

    What the source says of itself (scores, settings, epoch) is kept as metadata; added are
    its name, its hash, and which of its weights were taken.

    Parameters
    ----------
    source
        Anything that `load_network` reads: a file, or a name on the hub.
    out
        A file that ends with .safetensors; the card has the same name and ends with .md. Any
        other name is a folder, which gets model.safetensors and README.md, as the hub
        expects them.
    weights
        Of a training state: "raw" as trained, "ema" averaged, "auto" the average if there is one.
    stored_as
        Type of the stored weights. float16 and bfloat16 halve the file and round the weights.
    overwrite
        Replace files that exist.

    Returns
    -------
    CheckpointInfo
        Of the new file.
    Path
        The card.

    Raises
    ------
    DataError
        The source cannot be read, weights do not fit float16, or the result exists already
        or cannot be written.
    """
    path = fetch_checkpoint(str(source)) if is_hub_name(source) else Path(source)
    final, card = _places(out)
    for place in (final, card):
        if place.exists() and not overwrite:
            raise DataError(f"{place}: exists already; use --overwrite, or name another output")
    if final.exists() and path.exists() and final.samefile(path):
        raise DataError(f"{final}: is the source itself; name another output")
    checkpoint = load_checkpoint(path, weights)
    dtype = _TYPES[stored_as]
    for name, value in checkpoint.network.state_dict().items():
        if torch.isfinite(value).all() and not torch.isfinite(value.to(dtype)).all():
            raise DataError(f"{path}: {name} has values too large for {stored_as}")
    origin = {"converted_from": printable(path.name), "converted_from_sha256": sha256_file(path)}
    if checkpoint.place:
        origin["converted_weights"] = printable(checkpoint.place)
    try:
        save_network(checkpoint.network, final, {**checkpoint.metadata, **origin}, dtype)
        info = describe_checkpoint(final)
        write_text(card, model_card(info))
    except OSError as error:
        raise DataError(f"{card}: cannot be written ({error.strerror})") from None
    return info, card


def _places(out: Path) -> tuple[Path, Path]:
    if out.suffix == SUFFIX:
        return out, out.with_suffix(".md")
    if out.suffix and not out.is_dir():
        raise DataError(f"{out}: must end with {SUFFIX}, or be a folder's name without a suffix")
    return out / f"model{SUFFIX}", out / "README.md"
