"""Networks from checkpoints."""

import time
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from apollo_data.errors import ApolloError, DataError
from apollo_data.storage import key_of, sha256_file
from apollo_model.checkpoint.formats import load_network
from apollo_model.checkpoint.hub import fetch_checkpoint, is_hub_name
from apollo_model.evaluation.pairs import Pair
from apollo_model.evaluation.systems.system import Restored, System, SystemFailure

Array = npt.NDArray[Any]

_TIMED_SECONDS = 3.0
_LEAST_RUNS, _MOST_RUNS = 3, 1000


class NetworkSystem(System):
    """A network, loaded by each process that restores with it.

    Parameters
    ----------
    name
        As the tables have it.
    checkpoint
        A file, or a name on the Hugging Face hub.
    device
        Where it runs.

    Raises
    ------
    DataError
        The checkpoint cannot be loaded.
    """

    kind = "network"

    def __init__(self, name: str, checkpoint: Path | str, device: str = "cpu") -> None:
        super().__init__(name)
        found = fetch_checkpoint(str(checkpoint)) if is_hub_name(checkpoint) else checkpoint
        self.checkpoint, self.device = Path(found), device
        network = _load(self.checkpoint, device)
        self.parameters = sum(value.numel() for value in network.parameters())
        self._sample_rate = int(getattr(network, "sample_rate", 0))
        self._weights = sha256_file(self.checkpoint)

    @property
    def key(self) -> str:
        """The weights, and whether they run on a CPU, which rounds in its own way."""
        return key_of(self.kind, self._weights, torch.device(self.device).type)

    def check(self, sample_rate: int) -> None:
        """Refuse clips of a rate that the network was not made for."""
        if self._sample_rate not in (0, sample_rate):
            raise DataError(
                f"{self.checkpoint}: is a network for {self._sample_rate} Hz, the test clips have"
                f" {sample_rate} Hz; build test shards of its rate to score it"
            )

    def restore(self, coded: Array, sample_rate: int, pair: Pair) -> Restored:
        """Run the network."""
        del sample_rate
        return Restored(self.restore_batch([coded], pair.identity)[0])

    @torch.inference_mode()
    def restore_batch(self, coded: "list[Array]", seed: str) -> "list[Array]":
        """Run the network on several clips at once; one that draws noise follows from `seed`."""
        network = _load(self.checkpoint, self.device)
        batch = torch.from_numpy(np.stack(coded)).to(self.device)
        torch.manual_seed(zlib.crc32(seed.encode()))
        try:
            restored = network(batch)
        except RuntimeError as error:
            raise SystemFailure(f"the network failed: {str(error).splitlines()[0]}") from None
        if restored.shape != batch.shape:
            raise SystemFailure(
                f"the network made {tuple(restored.shape[1:])} of {tuple(batch.shape[1:])}"
            )
        return list(restored.float().cpu().numpy())

    @torch.inference_mode()
    def milliseconds_per_second(self, sample_rate: int) -> float | None:
        """Return the mean time of one second of one channel, as the paper has it."""
        network = _load(self.checkpoint, self.device)
        noise = torch.randn(1, 1, sample_rate, generator=torch.Generator().manual_seed(0))
        audio = (0.1 * noise).to(self.device)
        runs, started = -1, time.perf_counter()
        while runs < _LEAST_RUNS or (
            runs < _MOST_RUNS and time.perf_counter() - started < _TIMED_SECONDS
        ):
            network(audio).float().cpu()
            runs += 1
            if runs == 0:  # the first run is a warm-up
                started = time.perf_counter()
        return 1000 * (time.perf_counter() - started) / runs


@lru_cache(maxsize=8)
def _load(checkpoint: Path, device: str) -> Any:
    try:
        return load_network(checkpoint, device)
    except ApolloError:
        raise
    except RuntimeError as error:  # of a device that is not there or is full
        reason = str(error).splitlines()[0]
        raise DataError(f"{checkpoint}: cannot run on {device} ({reason})") from None
