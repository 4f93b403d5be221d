"""Gain laws: how gains are spread over their range."""

import math
from statistics import NormalDist

from apollo_data.settings import StemMixSettings

_NORMAL = NormalDist()
_DEVIATIONS = 2.0  # the range reaches this many standard deviations to either side


def gain_at(fraction: float, rules: StemMixSettings) -> float:
    """Return the gain, in dB to three decimals, below which `fraction` of all gains lie.

    Fed with uniform numbers, this draws from the law `rules.gain_law`:

    - ``uniform_db``: uniform on the decibel scale (arXiv 2409.08514, section III-A);
    - ``uniform_amplitude``: uniform in the factor, so that high gains are the more frequent;
    - ``normal_db``: a bell on the decibel scale, its mean in the middle of the range, its
      standard deviation a quarter of the range, cut off at the range's ends.

    Examples
    --------
    >>> from apollo_data.settings import MixingSettings
    >>> gain_at(0.75, MixingSettings()), gain_at(0.75, MixingSettings(gain_law="normal_db"))
    (5.0, 3.196)
    """
    lowest, highest = rules.gain_db
    if rules.gain_law == "uniform_amplitude":
        low, high = 10.0 ** (lowest / 20.0), 10.0 ** (highest / 20.0)
        return _thousandths(20.0 * math.log10(low + fraction * (high - low)))
    if rules.gain_law == "normal_db":
        tail = _NORMAL.cdf(-_DEVIATIONS)
        deviations = _NORMAL.inv_cdf(tail + fraction * (1.0 - 2.0 * tail))
        middle = (lowest + highest) / 2.0
        return _thousandths(middle + deviations / _DEVIATIONS * (highest - lowest) / 2.0)
    return _thousandths(lowest + fraction * (highest - lowest))


def _thousandths(value: float) -> float:
    """Round as numpy does, sign of zero and all: the first recipes were rounded by it."""
    return math.copysign(round(value * 1000.0) / 1000.0, value)
