"""Activity by silero-vad, a network that detects speech.

The model is in the package's wheel. All its layers but one recurrent cell see one chunk at a
time. So hundreds of chunks go through them as one batch, and then the cell runs over them in
order: the same probabilities as chunk by chunk, five times as fast.
torch is imported on first use only, and uses one thread.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from apollo_data.activity.active_runs import hold, without_clicks
from apollo_data.activity.levels import frame_blocks
from apollo_data.audio.files import Samples, probe
from apollo_data.audio.spans import spans_of_frames
from apollo_data.errors import ToolError
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings, SileroSettings

HEEDED: dict[str, Any] = {
    "min_active_seconds": True,
    "min_gap_seconds": True,
    "silero": {"onset_probability", "release_probability", "min_speech_seconds"},
}
"""The settings that this detector uses."""

RATE = 16000
CHUNK = 512
CHUNK_SECONDS = CHUNK / RATE
_CONTEXT = 64  # samples of the chunk before, which the network sees too
_BATCH = 256  # the same whatever comes in at once, so that blocks do not change a bit


def detect(
    files: Sequence[Path], stem_class: str, settings: ActivitySettings
) -> tuple[ActiveSpan, ...]:
    """Return the stretches of speech, with the same shortest span and rest as elsewhere.

    The stem class is not used; the network finds little in anything but vocals.
    """
    meter = SpeechMeter(probe(files[0]).sample_rate)
    samples = 0
    for block in frame_blocks(files, meter.rate, meter.rate // 100):
        meter.add(block)
        samples += block.shape[1]
    spans = spans_of_frames(
        speech_chunks(meter.probabilities(), settings.silero),
        CHUNK_SECONDS,
        settings.min_active_seconds,
        settings.min_gap_seconds,
    )
    end_seconds = round(samples / meter.rate, 6)  # the last chunk may reach past it
    return tuple(
        ActiveSpan(span.start_seconds, min(span.end_seconds, end_seconds)) for span in spans
    )


def speech_chunks(
    probabilities: npt.NDArray[np.float32], settings: SileroSettings
) -> npt.NDArray[np.bool_]:
    """Decide each chunk of 32 ms: speech begins above one probability and ends below another."""
    gate = hold(
        probabilities > settings.onset_probability, probabilities > settings.release_probability
    )
    return without_clicks(gate, int(settings.min_speech_seconds / CHUNK_SECONDS))


class SpeechMeter:
    """Takes stereo blocks, one after the other; keeps one speech probability per 32 ms."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._resampler = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
        self._waiting = np.zeros(_CONTEXT, np.float32)
        self._state: Any = None
        self._probabilities = [np.zeros(0, np.float32)]

    def add(self, block: Samples) -> None:
        """Hear a (2, samples) block."""
        self._hear(0.5 * (block[0] + block[1]), last=False)

    def probabilities(self) -> npt.NDArray[np.float32]:
        """End the sound and return the probability of each chunk; silence fills up the last."""
        self._hear(np.zeros(0, np.float32), last=True)
        rest = len(self._waiting) - _CONTEXT
        if rest > 0:
            self._run(np.pad(self._waiting, (0, -rest % CHUNK)))
        return np.concatenate(self._probabilities)

    def _hear(self, mono: npt.NDArray[np.float32], last: bool) -> None:
        if self.rate != RATE:
            mono = self._resampler.resample_chunk(mono, last=last)
        self._waiting = np.concatenate([self._waiting, mono])
        step = _BATCH * CHUNK
        while len(self._waiting) >= step + _CONTEXT:
            self._run(self._waiting[: step + _CONTEXT])
            self._waiting = self._waiting[step:]

    def _run(self, samples: npt.NDArray[np.float32]) -> None:
        probabilities, self._state = _network()(samples, self._state)
        self._probabilities.append(probabilities)


@functools.cache
def _network() -> Any:
    """Return silero-vad as a function of (context and whole chunks, recurrent state)."""
    import torch
    from silero_vad import load_silero_vad

    torch.set_num_threads(1)
    try:
        model = load_silero_vad()._model
        cell, head = model.decoder.rnn, model.decoder.decoder
        recurrent = torch.nn.LSTM(cell.weight_ih.shape[1], cell.weight_hh.shape[1])
        recurrent.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    except (AttributeError, RuntimeError):
        raise ToolError(
            "silero-vad: this version's network is laid out differently; install silero-vad 6.2"
        ) from None

    @torch.inference_mode()
    def run(samples: npt.NDArray[np.float32], state: Any) -> Any:
        chunks = torch.from_numpy(samples).unfold(0, _CONTEXT + CHUNK, CHUNK)
        features = model.encoder(model.run_extractors(chunks))  # (chunks, 128, 1)
        hidden, state = recurrent(features.squeeze(-1), state)
        return head(hidden.unsqueeze(-1)).flatten().numpy(), state

    return run
