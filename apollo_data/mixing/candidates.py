"""Candidates of a split: the stems and whole mixtures that are active long enough for clips."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from apollo_data.audio.spans import merge_spans
from apollo_data.mixing.starts import StartTimes
from apollo_data.records import (
    MIXTURE,
    STEM_CLASSES,
    ActiveSpan,
    Mixture,
    Stem,
    StemActivity,
    Track,
)

_Spans = dict[tuple[str, str, str], tuple[ActiveSpan, ...]]


@dataclass(frozen=True)
class StemChoice:
    """A stem and where clips of it may begin."""

    song: str
    stem: Stem
    starts: StartTimes


@dataclass(frozen=True)
class MixtureChoice:
    """A whole mixture, where clips of it may begin, and when its vocals sound."""

    song: str
    mixture: Mixture
    starts: StartTimes
    vocals: tuple[ActiveSpan, ...]


class ClassChoices:
    """All stems of one class."""

    def __init__(self) -> None:
        self._choices: list[StemChoice] = []
        self._places: dict[str, list[int]] = {}

    def add(self, choice: StemChoice) -> None:
        """Add a stem."""
        self._places.setdefault(choice.song, []).append(len(self._choices))
        self._choices.append(choice)

    def __len__(self) -> int:
        return len(self._choices)

    @property
    def songs(self) -> Collection[str]:
        """The songs that have a stem of this class."""
        return self._places.keys()

    def places_of(self, songs: Collection[str]) -> list[int]:
        """Return the places, in order, of the stems that belong to `songs`."""
        places: list[int] = []
        for song in songs:
            places += self._places.get(song, ())
        return sorted(places)

    def pick(self, fraction: float, barred: Sequence[int]) -> StemChoice:
        """Return the stem at `fraction` (0 <= fraction < 1) of those whose place is not barred."""
        place = int(fraction * (len(self._choices) - len(barred)))
        for other in barred:  # sorted: each barred place at or before this one shifts it by one
            if other > place:
                break
            place += 1
        return self._choices[place]


class Candidates:
    """The stems of a split by class, and its whole mixtures.

    Parameters
    ----------
    tracks
        The split's songs.
    activities
        When their stems sound.
    clip_seconds, min_active_share
        Length of a clip and how much of it must be active.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        activities: Sequence[StemActivity],
        clip_seconds: float,
        min_active_share: float,
    ) -> None:
        self._tracks = tracks
        self._clip_seconds = clip_seconds
        self._min_active_share = min_active_share
        self._spans: _Spans = {
            (item.song, item.path, item.stem_class): item.spans for item in activities
        }
        self.choices: dict[str, ClassChoices] = {}
        for song, stem in ((track.song, stem) for track in tracks for stem in track.stems):
            starts = self._starts(self._heard(song, stem), stem.seconds)
            if starts.count:
                choices = self.choices.setdefault(stem.stem_class, ClassChoices())
                choices.add(StemChoice(song, stem, starts))
        self.classes = tuple(name for name in STEM_CLASSES if name in self.choices)
        self.songs = {song for choices in self.choices.values() for song in choices.songs}

    def _heard(self, song: str, stem: Stem) -> tuple[ActiveSpan, ...]:
        return self._spans.get((song, stem.path, stem.stem_class), ())

    def _starts(self, spans: Sequence[ActiveSpan], seconds: float) -> StartTimes:
        return StartTimes(spans, seconds, self._clip_seconds, self._min_active_share)

    def mixtures(self) -> Iterator[MixtureChoice]:
        """Yield the whole mixtures; one is active where any of its stems is.

        For a song without stems the place of its vocals is unknown.
        """
        for track in self._tracks:
            if track.mixture is None:
                continue
            heard = {stem.stem_class: self._heard(track.song, stem) for stem in track.stems}
            if not track.stems:
                heard[MIXTURE] = self._spans.get((track.song, track.mixture.path, MIXTURE), ())
            union = merge_spans(span for item in heard.values() for span in item)
            starts = self._starts(union, track.mixture.seconds)
            if starts.count:
                vocals = heard.get("vocals", ())
                yield MixtureChoice(track.song, track.mixture, starts, vocals)
