"""Codec variants: the tables `[[codec.variants]]` of a pipeline file, and draws from them.

`docs/codecs.md` explains each setting, with examples.
"""

import dataclasses
import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
import pydantic
from pydantic import Field, PositiveFloat, model_validator

from apollo_data.records import Coding

CodecName = Literal["mp3", "aac", "opus", "vorbis"]
Mode = Literal["cbr", "abr", "vbr"]

USUAL_MODES: dict[str, Mode] = {"mp3": "cbr", "aac": "cbr", "opus": "abr", "vorbis": "abr"}
MP3_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
"""Constant bitrates: below 32 those of MPEG-2 at 22.05 kHz, then those of MPEG-1."""

_BITRATE_LIMITS = {
    ("mp3", "cbr"): (8.0, 320.0),
    ("mp3", "abr"): (8.0, 310.0),
    ("aac", "cbr"): (24.0, 320.0),
    ("opus", "cbr"): (24.0, 510.0),
    ("opus", "abr"): (24.0, 510.0),
    ("vorbis", "abr"): (48.0, 500.0),
}
"""What the encoders can do at the pipeline's sample rate; below it they fail or clamp."""

_QUALITY_LIMITS = {"mp3": (0.0, 9.0), "aac": (0.2, 2.0), "vorbis": (0.0, 10.0)}


class CodecStep(pydantic.BaseModel):
    """One pass through one encoder, with exactly one of bitrates, a bitrate range or qualities.

    Bitrates are in kbit/s, qualities on the encoder's own scale: MP3 0 (best) to 9, AAC 0.2
    to 2 (best), Vorbis 0 to 10 (best).
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    codec: CodecName
    mode: Mode | None = None
    """Constant, average or variable bitrate; when not set, ``vbr`` for qualities, else the
    codec's usual mode."""
    bitrates_kbps: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] | None = None
    """One of these, drawn uniformly."""
    bitrate_range_kbps: tuple[PositiveFloat, PositiveFloat] | None = None
    """Drawn uniformly on the logarithmic scale between these, to 0.1 kbit/s; for MP3 at
    constant bitrate the nearest that the format has."""
    qualities: Annotated[tuple[float, ...], Field(min_length=1)] | None = None
    """One of these, drawn uniformly, at variable bitrate."""
    stereo: Literal["joint", "plain"] = "joint"
    """MP3 only: LAME chooses per frame between mid/side and left/right, or never does."""
    lowpass: Literal["encoder", "off"] = "encoder"
    """MP3 only: LAME's own low-pass for the bitrate, or none."""

    @property
    def rate_mode(self) -> Mode:
        """The mode, or the codec's usual one if none is set."""
        return self.mode or ("vbr" if self.qualities else USUAL_MODES[self.codec])

    @model_validator(mode="after")
    def _can_be_meant(self) -> "CodecStep":
        ways = (self.bitrates_kbps, self.bitrate_range_kbps, self.qualities)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give one of bitrates_kbps, bitrate_range_kbps and qualities")
        if (self.rate_mode == "vbr") != (self.qualities is not None):
            raise ValueError("mode 'vbr' goes with qualities, the other modes with bitrates")
        if self.codec != "mp3" and (self.stereo, self.lowpass) != ("joint", "encoder"):
            raise ValueError("stereo and lowpass can be chosen for MP3 only")
        self._check_limits()
        if self.codec == "mp3" and self.rate_mode == "cbr":
            self._check_mp3()
        return self

    def _check_limits(self) -> None:
        limits = (
            _QUALITY_LIMITS.get(self.codec)
            if self.qualities
            else _BITRATE_LIMITS.get((self.codec, self.rate_mode))
        )
        if limits is None:
            raise ValueError(f"{self.codec} has no mode {self.rate_mode!r} here")
        values = self.qualities or self.bitrates_kbps or self.bitrate_range_kbps or ()
        if any(not limits[0] <= value <= limits[1] for value in values):
            what = "quality" if self.qualities else "bitrate"
            raise ValueError(f"a {what} of {self.codec} lies from {limits[0]:g} to {limits[1]:g}")
        if self.bitrate_range_kbps and self.bitrate_range_kbps[0] > self.bitrate_range_kbps[1]:
            raise ValueError("bitrate_range_kbps must be [lowest, highest]")

    def _check_mp3(self) -> None:
        if any(value not in MP3_KBPS for value in self.bitrates_kbps or ()):
            known = ", ".join(map(str, MP3_KBPS))
            raise ValueError(f"constant bitrates of MP3 are {known}; mode 'abr' takes any")
        if self.bitrate_range_kbps and not self._mp3_in_range():
            raise ValueError("bitrate_range_kbps has no constant bitrate of MP3 in it")

    def _mp3_in_range(self) -> list[int]:
        lowest, highest = self.bitrate_range_kbps or (0.0, 0.0)
        return [kbps for kbps in MP3_KBPS if lowest <= kbps <= highest]

    def draw(self, rng: np.random.Generator) -> Coding:
        """Draw one coding; it takes one number from `rng`."""
        fraction = float(rng.random())
        if self.qualities:
            return self._coding(quality=self.qualities[int(fraction * len(self.qualities))])
        if self.bitrates_kbps:
            options = self.bitrates_kbps
            return self._coding(requested_kbps=options[int(fraction * len(options))])
        return self._coding(requested_kbps=self._at(fraction))

    def _at(self, fraction: float) -> float:
        """Return the bitrate at a fraction of the range on the logarithmic scale."""
        assert self.bitrate_range_kbps is not None
        lowest, highest = map(math.log, self.bitrate_range_kbps)
        wanted = lowest + fraction * (highest - lowest)
        if self.codec == "mp3" and self.rate_mode == "cbr":
            return float(min(self._mp3_in_range(), key=lambda kbps: abs(math.log(kbps) - wanted)))
        return round(math.exp(wanted), 1)

    def every(self) -> Iterator[Coding]:
        """Yield all codings of lists of bitrates or qualities."""
        for kbps in self.bitrates_kbps or ():
            yield self._coding(requested_kbps=kbps)
        for quality in self.qualities or ():
            yield self._coding(quality=quality)

    def _coding(self, requested_kbps: float | None = None, quality: float | None = None) -> Coding:
        """Return a coding without values that are the codec's defaults."""
        return Coding(
            codec=self.codec,
            requested_kbps=requested_kbps,
            mode=None if self.rate_mode == USUAL_MODES[self.codec] else self.rate_mode,
            quality=quality,
            stereo=None if self.stereo == "joint" else self.stereo,
            lowpass=None if self.lowpass == "encoder" else self.lowpass,
        )


class CodecVariant(CodecStep):
    """One way of coding, and how often it is drawn; with `then`, a cascade."""

    weight: PositiveFloat = 1.0
    """Its share among the weights of all variants."""
    then: tuple[CodecStep, ...] = ()
    """Further passes: the decoded sound is coded again, as when files are converted."""

    @property
    def codecs(self) -> tuple[str, ...]:
        """Names of all codecs that the variant uses."""
        return (self.codec, *(step.codec for step in self.then))

    def draw(self, rng: np.random.Generator) -> Coding:
        """Draw one coding; it takes as many numbers from `rng` as there are passes."""
        first = super().draw(rng)
        return dataclasses.replace(first, then=tuple(step.draw(rng) for step in self.then))

    def every(self) -> Iterator[Coding]:
        """Yield all codings of lists, of a cascade in all combinations."""
        for first, *rest in itertools.product(super().every(), *(s.every() for s in self.then)):
            yield dataclasses.replace(first, then=tuple(rest))

    @property
    def is_listed(self) -> bool:
        """Whether every pass lists its bitrates or qualities."""
        return all(step.bitrate_range_kbps is None for step in (self, *self.then))


def draw_variant(variants: Sequence[CodecVariant], rng: np.random.Generator) -> Coding:
    """Draw a variant by weight, then a coding of it."""
    ends = list(itertools.accumulate(variant.weight for variant in variants))
    number = bisect_right(ends, float(rng.random()) * ends[-1])
    return variants[min(number, len(variants) - 1)].draw(rng)
