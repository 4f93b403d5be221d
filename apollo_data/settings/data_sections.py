"""The sections of a pipeline file that the data side reads; every default stands here."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt, model_validator

from apollo_data.settings.codec_variants import CodecVariant

Share = Annotated[float, Field(ge=0.0, le=1.0)]
BitrateKbps = Literal[24, 32, 48, 64, 96, 128]
ALL_BITRATES_KBPS: tuple[BitrateKbps, ...] = (24, 32, 48, 64, 96, 128)
LOUDNESS_BLOCK_SECONDS = 0.4
"""The gating block of ITU-R BS.1770, below which there is no integrated loudness."""
DetectorName = Literal["auto", "energy", "silero", "pydub", "upstream"]


class Section(pydantic.BaseModel):
    """One table of a pipeline file: frozen, and without unknown keys."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class DemoSettings(Section):
    """The synthesised songs that stand in for a data set when there is none."""

    songs: PositiveInt = 20
    seconds: Annotated[float, Field(ge=6.0, le=600.0)] = 24.0
    seed: int = 0


class CatalogSettings(Section):
    """Which songs and stems are taken."""

    exclude_bleed: bool = False
    """Leave out the sources that MoisesDB marks as having other instruments' sound in them."""
    split_by: Literal["artist", "song"] = "artist"
    """Keep training songs apart from test songs by their artist where known, or by song only."""
    measure: bool = True
    """Read every file to its end: finds damage that headers hide, and its levels."""
    sha256: bool = False
    """Store each file's SHA-256 too."""


class SileroSettings(Section):
    """The detectors that use silero-vad: `silero`, and `auto` on vocals."""

    onset_probability: Share = 0.5
    """Speech begins above this probability."""
    release_probability: Share = 0.35
    """It ends below this; both are silero-vad's own defaults."""
    min_speech_seconds: Annotated[float, Field(ge=0.0)] = 0.25
    """Shorter speech is ignored."""
    quiet_onset_db: float = -44.0
    """On vocals, `auto` uses this lower onset level where silero-vad finds speech."""

    @model_validator(mode="after")
    def _hysteresis(self) -> "SileroSettings":
        if self.release_probability > self.onset_probability:
            raise ValueError("release_probability must not be above onset_probability")
        return self


class PydubSettings(Section):
    """The detector `pydub`."""

    threshold_db: float = -16.0
    """Silence is this much below the level of the whole sound."""


class ActivitySettings(Section):
    """Source activity detection (SAD); levels are relative to the stem's own loud level."""

    detector: DetectorName = "auto"
    """`auto` is `energy`, on vocals with silero-vad's help; see docs/activity.md."""
    frame_seconds: Annotated[float, Field(gt=0.0, le=0.1)] = 0.01
    onset_db: float = -40.0
    """A span begins where the level rises above this."""
    release_db: float = -46.0
    """A span ends where the level falls below this; lower than the onset (hysteresis)."""
    silence_dbfs: float = -70.0
    """Nothing below this is ever active, however quiet the file is."""
    max_click_seconds: Annotated[float, Field(ge=0.0)] = 0.02
    """Sound this short, with silence around it, is a click."""
    min_active_seconds: PositiveFloat = 0.1
    min_gap_seconds: PositiveFloat = 0.3
    """Shorter rests between two spans are part of the music."""
    silero: SileroSettings = SileroSettings()
    pydub: PydubSettings = PydubSettings()

    @model_validator(mode="after")
    def _hysteresis(self) -> "ActivitySettings":
        if self.release_db > self.onset_db:
            raise ValueError("release_db must not be above onset_db")
        return self


class StemMixSettings(Section):
    """How stems become a mix (paper, section III-A); docs/mixing.md has more on each setting."""

    min_stems: PositiveInt = 1
    max_stems: Annotated[int, Field(ge=1, le=11)] = 8
    stem_count_weights: tuple[Annotated[FiniteFloat, Field(ge=0.0)], ...] | None = None
    """How often min_stems, min_stems + 1, ..., max_stems are drawn; equally often when not set."""
    repeat_classes: bool = False
    """A stem class may occur more than once in a mix, from different songs."""
    distinct_songs: bool = True
    """All stems of a mix come from different songs; a split of few songs then has smaller mixes."""
    min_active_share: Share = 0.8
    """Share of a stem's section that must lie in active spans."""
    normalise_lufs: Annotated[FiniteFloat, Field(ge=-70.0, le=0.0)] | None = None
    """Integrated loudness that each stem clip is brought to before its gain."""
    gain_db: tuple[FiniteFloat, FiniteFloat] = (-10.0, 10.0)
    """Lowest and highest gain."""
    gain_law: Literal["uniform_db", "uniform_amplitude", "normal_db"] = "uniform_db"
    """The distribution of gains between the two."""
    max_pan: Share = 0.0
    """Each stem's pan is drawn between this far left and this far right (1: fully)."""
    inverted_share: Share = 0.0
    """Share of stems whose polarity is inverted."""
    swapped_share: Share = 0.0
    """Share of stems whose left and right are swapped."""

    @model_validator(mode="after")
    def _ranges(self) -> "StemMixSettings":
        if self.min_stems > self.max_stems:
            raise ValueError("min_stems must not be above max_stems")
        if self.gain_db[0] > self.gain_db[1]:
            raise ValueError("gain_db must be [lowest, highest]")
        return self

    @model_validator(mode="after")
    def _weights(self) -> "StemMixSettings":
        if self.stem_count_weights is None:
            return self
        counts = self.max_stems - self.min_stems + 1
        if len(self.stem_count_weights) != counts or not any(self.stem_count_weights):
            raise ValueError(
                f"stem_count_weights must be {counts} numbers, one for each count from "
                f"{self.min_stems} to {self.max_stems}, not all of them 0"
            )
        return self


class MixingSettings(StemMixSettings):
    """How the target clips of training and validation are drawn."""

    clip_seconds: Annotated[float, Field(ge=0.1, le=60.0)] = 3.0
    """Length of all clips, those of the test split too."""
    whole_mixture_share: Share = 0.5
    """Share of training clips cut from whole songs, as the public trainer does."""


class PairedSettings(Section):
    """Pairs of the user's own; see docs/data.md."""

    max_lag_seconds: Annotated[float, Field(ge=0.0, le=60.0)] = 2.0
    """How far the degraded side may be before or behind the clean one."""
    min_correlation: Share = 0.1
    """Whitened correlation below which two files are no pair (measured: docs/data.md)."""


class CodecSettings(Section):
    """The coded side of a pair."""

    bitrates_kbps: Annotated[tuple[BitrateKbps, ...], Field(min_length=1)] = ALL_BITRATES_KBPS
    """Each training clip is coded as MP3 at one of these, drawn uniformly."""
    variants: tuple[CodecVariant, ...] = ()
    """Other codecs and modes, see docs/codecs.md. Where there are any, each training clip is
    coded by one of them, drawn by weight, and `bitrates_kbps` is not used."""
    paper_clamp: bool = False
    """Write 24 kbit/s as the paper's tools did: at 44.1 kHz, where the stream really holds 32."""
    timeout_seconds: PositiveFloat = 120.0

    @model_validator(mode="after")
    def _one_way(self) -> "CodecSettings":
        if self.variants and self.bitrates_kbps != ALL_BITRATES_KBPS:
            raise ValueError(
                "with variants, bitrates_kbps is not used; "
                'give MP3 a variant of its own: codec = "mp3", bitrates_kbps = [...]'
            )
        return self


class ShardSettings(Section):
    """How many clips are built and how they are stored."""

    train_clips: Annotated[int, Field(ge=0)] = 20_000
    valid_clips: Annotated[int, Field(ge=0)] = 500
    clips_per_shard: PositiveInt = 256
    dtype: Literal["int16", "float32"] = "int16"
    compression: Literal["none", "lzf", "gzip", "blosc2"] = "none"
    """See docs/scaling.md for what each costs; `blosc2` needs the extra `compression`."""
    stems: bool = False
    """Also store each target's stems, at the level at which they sum to it."""


class EvaluationSettings(Section):
    """The test split: equally many targets per category, each at every bitrate.

    It follows from this section, the seed and the clip length alone: settings of the
    training data do not change it, so that trainings can be compared on it.
    """

    per_category: Annotated[int, Field(ge=0)] = 5000
    bitrates_kbps: Annotated[tuple[BitrateKbps, ...], Field(min_length=1)] = ALL_BITRATES_KBPS
    variants: tuple[CodecVariant, ...] = ()
    """Every target is also coded by everything that these list; see docs/codecs.md."""
    whole_mixture_share: Share = 0.0
    """Share of validation clips, and of test clips of several stems, cut from whole songs."""
    seed: int | None = None
    """Seed of the test split; the pipeline's own when not set."""
    mixing: StemMixSettings = StemMixSettings()
    """The test split's own rules; the defaults are the paper's, whatever `[mixing]` says."""

    @model_validator(mode="after")
    def _nothing_by_chance(self) -> "EvaluationSettings":
        if not all(item.is_listed and item.weight == 1.0 for item in self.variants):
            raise ValueError(
                "variants of the evaluation are not drawn: list bitrates_kbps or qualities, "
                "without bitrate_range_kbps and weight"
            )
        return self
