"""What would go wrong later, found before the first step; what does go wrong, in one line."""

import contextlib
from collections.abc import Iterator

import torch

from apollo_data.errors import DataError, ToolError
from apollo_data.settings import Settings
from apollo_data.shards import ShardReader
from apollo_model.dataset import PairDataset, ShardDataset
from apollo_model.dataset.loader import explain_loader_error
from apollo_model.network.discriminator import WINDOWS


def check_crop(settings: Settings, samples: int) -> None:
    """Refuse crops that are shorter than the longest STFT window.

    Raises
    ------
    DataError
        They are.
    """
    window = round(settings.sample_rate * settings.network.window_ms / 1000)
    longest = max(window, *WINDOWS)
    if samples < longest:
        raise DataError(
            f"training.crop_seconds: crops have {samples} samples, the longest STFT window "
            f"{longest}; set it to {longest / settings.sample_rate:.3f} or more"
        )


def check_shards(settings: Settings, dataset: ShardDataset) -> None:
    """Refuse shards of another sample rate or clip length than the settings say.

    Raises
    ------
    DataError
        One has another.
    """
    for path in dataset.paths:
        with ShardReader(path) as shard:
            if shard.sample_rate != settings.sample_rate:
                raise DataError(
                    f"{path}: holds clips at {shard.sample_rate} Hz, the network works at "
                    f"{settings.sample_rate} Hz; build shards of that rate"
                )
            if shard.samples != settings.clip_samples:
                raise DataError(
                    f"{path}: holds clips of {shard.samples / shard.sample_rate:g} s, the "
                    f"settings say mixing.clip_seconds = {settings.mixing.clip_seconds:g}; "
                    "name the --config that the shards were built with, or build them again"
                )


def damaged_pairs(dataset: PairDataset, pairs: list[int]) -> list[str]:
    """Return the names of those pairs whose stored samples are not finite."""
    found = []
    for pair, sides in zip(pairs, dataset.__getitems__(pairs), strict=True):
        if not all(bool(torch.isfinite(side.float()).all()) for side in sides):
            found.append(dataset.name_of(pair))
    return found


@contextlib.contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Turn what memory and loader workers fail with into errors of one line.

    Raises
    ------
    ToolError
        Memory ran out.
    DataError
        A loader worker was killed, or /dev/shm is full.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if loader := explain_loader_error(error):
            raise loader from None
        out = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not out and "can't allocate memory" not in str(error):
            raise
        raise ToolError(_what_to_lower(settings)) from None


def _what_to_lower(settings: Settings) -> str:
    training = settings.training
    ways = []
    if training.batch_size > 1:
        ways.append(
            f"lower training.batch_size ({training.batch_size}) and raise accumulate_steps "
            f"({training.accumulate_steps}) by as much"
        )
    if not training.activation_checkpointing:
        ways.append("set training.activation_checkpointing = true")
    seconds = training.crop_seconds or settings.mixing.clip_seconds
    ways.append(f"lower training.crop_seconds ({seconds:g})")
    return f"training: out of memory; {', or '.join(ways)}"
