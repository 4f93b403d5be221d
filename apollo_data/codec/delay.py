"""The delay that remains after a decoder has applied the container's priming information.

With the ffmpeg of imageio-ffmpeg it is 0 for every codec: gapless tag, edit list, pre-skip
and granule positions are written and applied. Another ffmpeg may differ, so it is measured.
"""

import functools

import numpy as np
import scipy

from apollo_data.audio.files import Samples
from apollo_data.codec.formats import FORMATS
from apollo_data.codec.graphs import Job, encode_and_decode
from apollo_data.errors import ToolError
from apollo_data.random_streams import generator
from apollo_data.records import Coding

_TEST_SECONDS, _SILENT_SECONDS = 0.6, 0.1
_TEST_KBPS = 96.0
_MIN_LIKENESS = 0.5


@functools.cache
def delay_samples(codec: str, rate: int, ffmpeg: str, timeout_seconds: float) -> int:
    """Return the delay of the decoded sound in samples, measured on a burst of noise.

    Parameters
    ----------
    codec, rate
        The codec, and the sample rate of its stream.
    ffmpeg
        The program in use; each one is measured once.
    timeout_seconds
        Time limit of each run.

    Raises
    ------
    ToolError
        The decoded sound is early, or differs from what was encoded.
    """
    sent = _test_sound(rate)
    coding = Coding(codec, _TEST_KBPS)
    count = sent.shape[1] - FORMATS[codec].tail_samples
    ((heard, _stream),) = encode_and_decode([Job(sent, rate, coding, 0, count)], timeout_seconds)
    lag, likeness = _lag_and_likeness(heard[0], sent[0])
    if lag < 0 or likeness < _MIN_LIKENESS:
        raise ToolError(
            f"{ffmpeg}: gives back {codec} {lag} samples late with a likeness of {likeness:.2f}, "
            "expected 0 or more and nearly 1; name another ffmpeg in $APOLLO_FFMPEG"
        )
    return lag


def _test_sound(rate: int) -> Samples:
    """Return noise with a falling spectrum, (2, samples): its correlation has one sharp peak.

    The noise stops before the end of the sound, so that a delayed copy still fits.
    """
    rng = generator(0, "codec/delay")
    noise = rng.normal(0.0, 0.05, (2, round(_TEST_SECONDS * rate)))
    noise[:, -round(_SILENT_SECONDS * rate) :] = 0.0
    return scipy.signal.lfilter([1.0], [1.0, -0.85], noise).astype(np.float32)


def _lag_and_likeness(heard: Samples, sent: Samples) -> tuple[int, float]:
    correlation = scipy.signal.correlate(heard, sent)
    place = int(np.argmax(correlation))
    power = float(np.linalg.norm(heard) * np.linalg.norm(sent)) or 1.0
    return place - (len(sent) - 1), float(correlation[place]) / power
