"""Gain laws: the distributions that gains are drawn from. `[mixing] gain_db` is their range."""

import math
from statistics import NormalDist

from apollo_data.settings import StemMixSettings

_NORMAL = NormalDist()
_DEVIATIONS = 2.0  # half the range is this many standard deviations


def gain_at(fraction: float, rules: StemMixSettings) -> float:
    """Return the gain, in dB to three decimals, below which `fraction` of all gains lie.

    With uniform random fractions, this draws from the distribution `rules.gain_law`:

    - ``uniform_db``: uniform on the decibel scale (arXiv 2409.08514, section III-A);
    - ``uniform_amplitude``: uniform in the linear factor, so high gains in dB are more frequent;
    - ``normal_db``: normal on the decibel scale, with its mean in the middle of the range and its
      standard deviation a quarter of the range, truncated at the range's ends.

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
    """Round as numpy does, with its sign of zero, so that recipes stay equal to earlier ones."""
    return math.copysign(round(value * 1000.0) / 1000.0, value)
