"""Live restoration with a causal network: samples in, samples out, one STFT window later."""

import numpy as np
import torch
from torch import Tensor

from apollo_data.audio.files import Samples
from apollo_data.errors import DataError
from apollo_model.network.apollo import Apollo, Memory
from apollo_model.network.base import Network

_KEPT_HOPS = 2  # before the next frame's centre: its own hop, and one that mirrors the end


class StreamingRestorer:
    """Restores a stream piece by piece; the result is that of the whole stream at once.

    Parameters
    ----------
    network
        A causal network, in evaluation mode.
    channels
        Channels of the stream; each goes through the network by itself.

    Raises
    ------
    DataError
        The network is not causal.

    Examples
    --------
    >>> import numpy as np
    >>> restorer = StreamingRestorer(Apollo(feature_dim=16, layers=1, causal=True).eval(), 2)
    >>> sound = np.zeros((2, 1000), np.float32)
    >>> restorer.push(sound).shape, restorer.flush().shape
    ((2, 441), (2, 559))
    """

    def __init__(self, network: Network, channels: int) -> None:
        if not network.causal or not isinstance(network, Apollo):
            future = network.context_frames * network.hop_samples / network.sample_rate
            raise DataError(
                f"this network is not causal: it needs {future:.1f} s of future sound; use"
                " `apollo-model restore`, or an Apollo network trained with causal = true"
            )
        self._network = network
        self._channels = channels
        self._device = next(network.parameters()).device
        self._restart()

    @property
    def latency_samples(self) -> int:
        """Samples that go in before the first one comes out: one window."""
        return self._network.window_samples

    def _restart(self) -> None:
        self._memory: Memory = {}
        self._pending = torch.zeros(self._channels, 0, device=self._device)
        self._done_frames = 0  # of those that `analyse` finds in `_pending`
        self._last = torch.zeros(self._channels, 0, self._network.hop_samples + 1)
        self._last = self._last.to(self._device, torch.complex64)
        self._due = 0  # samples that went in and did not come out yet

    def push(self, samples: Samples) -> Samples:
        """Take (channels, n) samples, n of any size; return what is ready, which may be nothing."""
        self._take(samples)
        hop = self._network.hop_samples
        hops = self._pending.shape[1] // hop
        if hops < max(_KEPT_HOPS, self._done_frames + 1):
            return np.zeros((self._channels, 0), np.float32)
        with torch.inference_mode():
            spectrum = self._network.analyse(self._pending[:, : hops * hop])
            # The last frame reaches past what is there.
            ready = self._emit(spectrum[:, self._done_frames : -1])
        self._pending = self._pending[:, (hops - _KEPT_HOPS) * hop :].clone()
        self._done_frames = _KEPT_HOPS
        return ready

    def flush(self) -> Samples:
        """End the stream and return the rest of it; then a new stream can begin."""
        ready = np.zeros((self._channels, 0), np.float32)
        if self._due:
            with torch.inference_mode():
                spectrum = self._network.analyse(self._pending)
                ready = self._emit(spectrum[:, self._done_frames :])
        self._restart()
        return ready

    def _take(self, samples: Samples) -> None:
        if samples.ndim != 2 or len(samples) != self._channels:
            raise ValueError(f"expected ({self._channels}, n) samples, found {samples.shape}")
        self._due += samples.shape[1]
        arrived = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self._device)
        self._pending = torch.cat((self._pending, arrived), 1)

    def _emit(self, spectrum: Tensor) -> Samples:
        """Restore new frames, (channels, n, bins); return the samples between whole pairs."""
        restored = self._network.restore_spectrum(spectrum, self._memory)
        frames = torch.cat((self._last, restored), 1)
        self._last = frames[:, -1:].clone()
        count = min((frames.shape[1] - 1) * self._network.hop_samples, self._due)
        if not count:
            return np.zeros((self._channels, 0), np.float32)
        self._due -= count
        return self._network.synthesise(frames, count).cpu().numpy()
