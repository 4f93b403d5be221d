"""Records: the rows of all manifests, and the names of stem classes, splits and categories.

Every row is a frozen dataclass, stored as one JSON object in a manifest (see
`apollo_data.workspace.manifest`). Units live in the names; paths are relative to the root that the
manifest's first row names.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

STEM_CLASSES = (
    "vocals",
    "bass",
    "drums",
    "guitar",
    "piano",
    "percussion",
    "bowed_strings",
    "wind",
    "other_keys",
    "other_plucked",
    "other",
)
"""The paper's 11 stem classes: MoisesDB's taxonomy, of which MUSDB18-HQ has four."""

CATEGORIES = ("vocal", "single_stem", "multi_stems", "multi_stems_vocal")
"""The four cases of the paper's Table II."""

MIXTURE = "mixture"
"""Stands in activity.jsonl for the stem class of a song that has no stems."""

PAIRED = "paired"
"""Codec and category of clips from the user's own pairs, of which nobody knows more."""

SPLITS = ("train", "valid", "test")


def category_of(stem_classes: Iterable[str]) -> str:
    """Return the paper's category of a mix of these stem classes.

    Examples
    --------
    >>> category_of(["vocals"]), category_of(["bass"]), category_of(["bass", "vocals"])
    ('vocal', 'single_stem', 'multi_stems_vocal')
    """
    classes = list(stem_classes)
    if not classes:
        raise ValueError("a mix has at least one stem")
    if len(classes) == 1:
        return "vocal" if classes[0] == "vocals" else "single_stem"
    return "multi_stems_vocal" if "vocals" in classes else "multi_stems"


@dataclass(frozen=True)
class Levels:
    """Levels of a whole file.

    `peak` and `dc_offset` are linear with full scale 1.0, `rms_dbfs` is that of all channels
    together; `clipped_share` counts samples at full scale or above, `silent_share` frames of
    10 ms below -70 dBFS. RMS and silence are those of what can be heard, above 20 Hz.
    `cut_hertz` is the frequency at which the spectrum is cut off, if it is.
    """

    peak: float
    rms_dbfs: float
    clipped_share: float
    dc_offset: float
    silent_share: float
    cut_hertz: float | None = None


@dataclass(frozen=True)
class FileFacts:
    """What is known about one audio file; `problem` says why it cannot be used.

    Size and modification time tell whether the row is still valid for the file. `content` is a
    digest of its decoded samples (of its bytes for a side of the user's own pairs).
    """

    path: str
    bytes: int
    modified_ns: int
    format: str = ""
    sample_rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    levels: Levels | None = None
    content: str | None = None
    sha256: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Stem:
    """One stem of one song: a file, or a folder of which `sources` are summed.

    `seconds` is the stem's usable length. `has_bleed` is set if the data set marks one of its
    sources as having bleed.
    """

    stem_class: str
    path: str
    seconds: float
    sample_rate: int
    channels: int
    sources: tuple[str, ...] = ()
    has_bleed: bool = False


@dataclass(frozen=True)
class Mixture:
    """A song's whole mixture: its file, or the song's folder of which `sources` are summed.

    A song may have nothing else.
    """

    path: str
    seconds: float
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairedFiles:
    """The two sides of one of the user's own pairs."""

    clean: str
    degraded: str


@dataclass(frozen=True)
class Track:
    """One song of the catalog: stems and their mixture, or a pair of the user's own."""

    song: str
    source: str
    split: str
    title: str
    artist: str
    stems: tuple[Stem, ...]
    mixture: Mixture | None = None
    pair: PairedFiles | None = None

    @property
    def sounds(self) -> tuple[Stem | Mixture, ...]:
        """The stems and the mixture, as far as there are any."""
        return (*self.stems, *((self.mixture,) if self.mixture else ()))


@dataclass(frozen=True)
class ActiveSpan:
    """A stretch of time in which a stem sounds."""

    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class StemActivity:
    """When one stem sounds; `spans` are sorted and do not touch.

    `key` is a hash of what they follow from: the detector, the settings that it uses, and the
    names, sizes and times of the files.
    """

    song: str
    split: str
    stem_class: str
    path: str
    files: int
    seconds: float
    spans: tuple[ActiveSpan, ...]
    detector: str
    key: str | None = None

    @property
    def active_seconds(self) -> float:
        """Total length of the active spans."""
        return sum(span.end_seconds - span.start_seconds for span in self.spans)


@dataclass(frozen=True)
class AlignedPair:
    """One pair of the user's own, aligned.

    Both sides are there for `seconds` from `start_seconds` of the clean one on; the degraded
    one is later by `lag_samples`, at the pipeline's sample rate. `degraded_kbps` is its file's
    size by its length, `spans` tell when the clean side sounds.
    """

    song: str
    split: str
    clean: str
    degraded: str
    start_seconds: float
    seconds: float
    lag_samples: int
    correlation: float
    degraded_kbps: float
    spans: tuple[ActiveSpan, ...]


@dataclass(frozen=True)
class StemClip:
    """One stem of a mix: which stretch of which song, at which gain.

    Further processing, if any, in this order: normalisation to the loudness
    `normalise_lufs` before the gain; left and right `swapped`; rotation to the position `pan`
    (-1 left, +1 right); polarity `inverted`.
    """

    song: str
    stem_class: str
    path: str
    start_seconds: float
    seconds: float
    gain_db: float
    sources: tuple[str, ...] = ()
    normalise_lufs: float | None = None
    swapped: bool = False
    pan: float | None = None
    inverted: bool = False


@dataclass(frozen=True)
class MixtureClip:
    """A clip cut from a song's whole mixture, at its own level."""

    song: str
    path: str
    start_seconds: float
    seconds: float
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairClip:
    """A clip cut from both sides of a pair of the user's own."""

    song: str
    clean: str
    degraded: str
    start_seconds: float
    seconds: float
    lag_samples: int
    degraded_kbps: float


@dataclass(frozen=True)
class Coding:
    """One way in which a target is to be coded.

    Either a bitrate or a quality (of variable bitrate) is requested. None means the codec's
    usual mode, joint stereo, the encoder's own low-pass. `then` holds the further passes of a
    cascade.
    """

    codec: str
    requested_kbps: float | None = None
    mode: str | None = None
    quality: float | None = None
    stereo: str | None = None
    lowpass: str | None = None
    then: "tuple[Coding, ...]" = ()

    @property
    def steps(self) -> "tuple[Coding, ...]":
        """The passes, first to last; the last one makes the final stream."""
        return (self, *self.then)

    @property
    def codecs(self) -> str:
        """Names of the codecs in order, as ``mp3+aac``."""
        return "+".join(step.codec for step in self.steps)

    @property
    def label(self) -> str:
        """The coding in words.

        Examples
        --------
        >>> Coding("mp3", 64.0, stereo="plain", then=(Coding("vorbis", quality=2.0),)).label
        'mp3 64 plain stereo + vorbis q2'
        """
        return " + ".join(step._own_label for step in self.steps)

    @property
    def _own_label(self) -> str:
        words = [self.codec, None if self.mode == "vbr" else self.mode]
        words += [None if self.requested_kbps is None else f"{self.requested_kbps:g}"]
        words += [None if self.quality is None else f"q{self.quality:g}"]
        words += [self.stereo and f"{self.stereo} stereo", self.lowpass and "no low-pass"]
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class MixRecipe:
    """All draws for one target clip; rendering needs no further randomness."""

    seed: int
    index: int
    split: str
    category: str
    stems: tuple[StemClip, ...]
    codings: tuple[Coding, ...]
    mixture: MixtureClip | None = None
    pair: PairClip | None = None

    @property
    def songs(self) -> tuple[str, ...]:
        """Ids of all songs that the clip touches."""
        wholes = (self.mixture, self.pair)
        return (*(clip.song for clip in self.stems), *(clip.song for clip in wholes if clip))


@dataclass(frozen=True)
class ShardInfo:
    """One finished shard, as `shards.jsonl` lists it; `key` tells what it was built from."""

    path: str
    split: str
    targets: int
    pairs: int
    bytes: int
    sha256: str
    key: str


@dataclass(frozen=True)
class Rejection:
    """Something that was left out, where and why.

    For what was excluded by choice, `detail` names the setting or file as ``excluded_by``.
    """

    path: str
    stage: str
    reason: str
    detail: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One thing that `check` has found.

    `wrong` tells what makes the data set fail from what is merely worth knowing; leaving out
    `exclude`, paths below the root or ids of songs, would mend it.
    """

    check: str
    path: str
    problem: str
    wrong: bool = True
    exclude: tuple[str, ...] = ()
