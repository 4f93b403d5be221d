"""Pipeline files: TOML in, one frozen and validated object out.

Defaults stand where they are declared. They are the paper's (arXiv 2409.08514) where it
gives a number. A file in `pipelines/` states only how it differs from them. Unknown keys
are refused with the nearest known one: a misspelt setting that is silently ignored costs
days.
"""

import difflib
import sys
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import tomli_w
from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt, model_validator

from apollo_data.errors import SettingsError
from apollo_data.variants import CodecVariant

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Share = Annotated[float, Field(ge=0.0, le=1.0)]
BitrateKbps = Literal[24, 32, 48, 64, 96, 128]
ALL_BITRATES_KBPS: tuple[BitrateKbps, ...] = (24, 32, 48, 64, 96, 128)
LOUDNESS_BLOCK_SECONDS = 0.4
"""The gating block of ITU-R BS.1770, below which there is no integrated loudness."""


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class DemoSettings(_Section):
    """The synthesised songs that stand in for a data set when there is none."""

    songs: PositiveInt = 20
    seconds: Annotated[float, Field(ge=6.0, le=600.0)] = 24.0
    seed: int = 0


class CatalogSettings(_Section):
    """Which songs and stems are taken."""

    exclude_bleed: bool = False
    """Leave out the sources that MoisesDB marks as having other instruments' sound in them."""
    split_by: Literal["artist", "song"] = "artist"
    """Keep training songs apart from test songs by their artist where known, or by song only."""
    measure: bool = True
    """Read every file to its end: finds damage that headers hide, and its levels."""
    sha256: bool = False
    """Store each file's SHA-256 too."""


class SileroSettings(_Section):
    """The detectors that use silero-vad: `silero`, and `auto` on vocals."""

    onset_probability: Share = 0.5
    """Speech begins above this."""
    release_probability: Share = 0.35
    """It ends below this; both are silero-vad's own defaults."""
    min_speech_seconds: Annotated[float, Field(ge=0.0)] = 0.25
    """Shorter speech is a mistake."""
    quiet_onset_db: float = -44.0
    """On vocals `auto` lets a span begin at this level already where it hears speech."""

    @model_validator(mode="after")
    def _hysteresis(self) -> "SileroSettings":
        if self.release_probability > self.onset_probability:
            raise ValueError("release_probability must not be above onset_probability")
        return self


class PydubSettings(_Section):
    """The detector `pydub`."""

    threshold_db: float = -16.0
    """Silence is this much below the level of the whole sound."""


DetectorName = Literal["auto", "energy", "silero", "pydub", "upstream"]


class ActivitySettings(_Section):
    """Source activity detection (SAD); levels are relative to the stem's own loud level."""

    detector: DetectorName = "auto"
    """`auto` is `energy`, on vocals with silero-vad's help; see docs/activity.md."""
    frame_seconds: Annotated[float, Field(gt=0.0, le=0.1)] = 0.01
    onset_db: float = -40.0
    """A span begins where the level rises above this."""
    release_db: float = -46.0
    """It ends where the level falls below this: lower than the onset, against flutter."""
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


class StemMixSettings(_Section):
    """How stems become a mix (paper, section III-A); docs/mixing.md has more on each setting."""

    min_stems: PositiveInt = 1
    max_stems: Annotated[int, Field(ge=1, le=11)] = 8
    stem_count_weights: tuple[Annotated[FiniteFloat, Field(ge=0.0)], ...] | None = None
    """How often min_stems, min_stems + 1, ..., max_stems are drawn; equally often when not set."""
    repeat_classes: bool = False
    """A stem class may occur more than once in a mix, from different songs."""
    distinct_songs: bool = True
    """Each stem of a mix comes from another song; a split of few songs then gives smaller mixes."""
    min_active_share: Share = 0.8
    """How much of a stem's stretch must lie in active spans."""
    normalise_lufs: Annotated[FiniteFloat, Field(ge=-70.0, le=0.0)] | None = None
    """Integrated loudness that each stem clip is brought to before its gain."""
    gain_db: tuple[FiniteFloat, FiniteFloat] = (-10.0, 10.0)
    """Lowest and highest gain."""
    gain_law: Literal["uniform_db", "uniform_amplitude", "normal_db"] = "uniform_db"
    """How gains are spread between the two."""
    max_pan: Share = 0.0
    """Each stem is turned to a place drawn between this far left and this far right (1: fully)."""
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


class PairedSettings(_Section):
    """Pairs of the user's own; see docs/data.md."""

    max_lag_seconds: Annotated[float, Field(ge=0.0, le=60.0)] = 2.0
    """How far the degraded side may be before or behind the clean one."""
    min_correlation: Share = 0.1
    """Whitened correlation below which two files are no pair (measured: docs/data.md)."""


class CodecSettings(_Section):
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


class ShardSettings(_Section):
    """How many clips are built and how they are stored."""

    train_clips: Annotated[int, Field(ge=0)] = 20_000
    valid_clips: Annotated[int, Field(ge=0)] = 500
    clips_per_shard: PositiveInt = 256
    dtype: Literal["int16", "float32"] = "int16"
    compression: Literal["none", "lzf", "gzip", "blosc2"] = "none"
    """See docs/scaling.md for what each costs; `blosc2` needs the extra `compression`."""
    stems: bool = False
    """Store each target's stems too, at the level at which they sum to it."""


class EvaluationSettings(_Section):
    """The test split: equally many targets per category, each at every bitrate.

    It follows from this section, the seed and the clip length alone: settings of the
    training data do not change it, so that trainings can be compared on it.
    """

    per_category: Annotated[int, Field(ge=0)] = 5000
    bitrates_kbps: Annotated[tuple[BitrateKbps, ...], Field(min_length=1)] = ALL_BITRATES_KBPS
    variants: tuple[CodecVariant, ...] = ()
    """Every target is coded at everything that these list, too; see docs/codecs.md."""
    whole_mixture_share: Share = 0.0
    """Share of validation clips, and of test clips of several stems, cut from whole songs."""
    seed: int | None = None
    """Seed of the test split; the pipeline's own when not set."""
    mixing: StemMixSettings = StemMixSettings()
    """The test split's own rules; what is not said here is the paper's, not `[mixing]`'s."""

    @model_validator(mode="after")
    def _nothing_by_chance(self) -> "EvaluationSettings":
        if not all(item.is_listed and item.weight == 1.0 for item in self.variants):
            raise ValueError(
                "variants of the evaluation are not drawn: list bitrates_kbps or qualities, "
                "without bitrate_range_kbps and weight"
            )
        return self


class NetworkSettings(_Section):
    """Apollo's size; the defaults are the published network."""

    window_ms: PositiveInt = 20
    feature_dim: Annotated[int, Field(ge=16, multiple_of=16)] = 256
    layers: PositiveInt = 6
    residual: bool = False
    """Predict a correction to the input spectrum, zero at first, instead of the whole spectrum."""


class LossSettings(_Section):
    """Weights of the generator's losses; a weight of 0 leaves the term out."""

    adversarial: Annotated[float, Field(ge=0.0)] = 1.0
    feature_matching: Annotated[float, Field(ge=0.0)] = 1.0
    reconstruction: Annotated[float, Field(ge=0.0)] = 1.0
    waveform: Annotated[float, Field(ge=0.0)] = 0.0
    """Negative SI-SNR in dB; not in the paper."""


class TrainingSettings(_Section):
    """The paper's training (section III-C); one process."""

    seed: int = 0
    batch_size: PositiveInt = 1
    crop_seconds: PositiveFloat | None = None
    """Length of a random crop from each clip; the whole clip when not set."""
    max_epochs: PositiveInt = 500
    max_minutes: PositiveFloat | None = None
    """Ends training after the validation that follows this time, for machines of unknown speed."""
    batches_per_epoch: PositiveInt | None = None
    """The whole training split when not set."""
    live: bool = False
    """Mix and code the training clips as they are needed, new ones in each epoch, instead of
    reading shards; see docs/loading.md. Validation reads its shards all the same."""
    loader_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that read ahead, or mix; 0 does it between the steps."""
    generator_learning_rate: PositiveFloat = 1e-3
    discriminator_learning_rate: PositiveFloat = 1e-4
    betas: tuple[float, float] = (0.5, 0.99)
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    decay: PositiveFloat = 0.98
    """The learning rates are multiplied by this every `decay_epochs` epochs."""
    decay_epochs: PositiveInt = 2
    gradient_norm: PositiveFloat = 5.0
    patience_epochs: PositiveInt = 20
    """Training stops after this many epochs without a better validation loss."""
    loss: LossSettings = LossSettings()


class Settings(_Section):
    """A whole pipeline file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "default"
    seed: int = 0
    sample_rate: Literal[44100] = 44100
    source: Literal["folder", "demo"] = "folder"
    """Where raw audio comes from: a folder in a known layout, or the synthesised demo songs."""
    strict: bool = False
    """End the run at the first thing that must be left out, instead of recording it."""
    max_rejected_share: Share = 0.05
    """If more files or clips are rejected than this, the run finishes and exits with status 1."""
    demo: DemoSettings = DemoSettings()
    catalog: CatalogSettings = CatalogSettings()
    activity: ActivitySettings = ActivitySettings()
    mixing: MixingSettings = MixingSettings()
    paired: PairedSettings = PairedSettings()
    codec: CodecSettings = CodecSettings()
    shards: ShardSettings = ShardSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _measurable_loudness(self) -> "Settings":
        for name, rules in (("mixing", self.mixing), ("evaluation.mixing", self.evaluation.mixing)):
            short = self.mixing.clip_seconds < LOUDNESS_BLOCK_SECONDS
            if short and rules.normalise_lufs is not None:
                raise ValueError(
                    f"{name}.normalise_lufs needs a mixing.clip_seconds of "
                    f"{LOUDNESS_BLOCK_SECONDS:g} or more: shorter clips have no integrated loudness"
                )
        return self

    @property
    def clip_samples(self) -> int:
        """Samples per channel of one clip."""
        return round(self.mixing.clip_seconds * self.sample_rate)

    @property
    def codecs(self) -> frozenset[str]:
        """All codecs that the pipeline needs, by name."""
        variants = (*self.codec.variants, *self.evaluation.variants)
        return frozenset({"mp3"}.union(*(variant.codecs for variant in variants)))


def load_settings(path: Path | None) -> Settings:
    """Read a pipeline file; without one, the documented defaults.

    Raises
    ------
    SettingsError
        The file is missing or not TOML, a key is unknown or a value cannot be meant.
    """
    if path is None:
        return Settings()
    try:
        with Path(path).open("rb") as source:
            values = tomllib.load(source)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}); name a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not TOML ({error})") from None
    values.setdefault("name", Path(path).stem)
    return parse_settings(values, str(path))


def parse_settings(values: dict[str, Any], origin: str) -> Settings:
    """Validate settings that `origin` (a file's name) holds."""
    try:
        return Settings.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"{origin}: {_explain(first)}") from None


def _explain(problem: Any) -> str:
    place = [str(part) for part in problem["loc"]]
    name = ".".join(place)
    if problem["type"] == "extra_forbidden":
        known = sorted(_section_at(place[:-1]).model_fields)
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"unknown setting {name!r}; {hint}"
    message = str(problem["msg"].removeprefix("Value error, "))
    if not place:  # about several sections at once; all settings as "found" would help nobody
        return message
    return f"setting {name!r}: {message}, found {problem['input']!r}"


def _section_at(place: list[str]) -> type[pydantic.BaseModel]:
    section: type[pydantic.BaseModel] = Settings
    for part in place:
        if part.isdecimal():  # a place in a list of tables
            continue
        annotation = section.model_fields[part].annotation
        annotation = next(iter(typing.get_args(annotation)), annotation)
        if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
            section = annotation
    return section


def settings_toml(settings: Settings, include: Any = None) -> str:
    """Return settings as TOML text, all or those that `include` names (as pydantic takes it)."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True, include=include))
