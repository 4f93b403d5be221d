"""Splits by artist: no artist of a test song may be in the training split.

Two spellings of a name are one artist if they differ in case, accents, punctuation or
guests ("Triviul feat. The Fiend" is Triviul).
"""

import re
import unicodedata
from collections.abc import Iterable

from apollo_data.random_streams import stable_fraction
from apollo_data.records import Rejection, Track
from apollo_data.settings import facts as committed
from apollo_data.sources.song import STAGE

_GUESTS = re.compile(r"\s+(?:feat\.?|ft\.?|featuring)\s.*|\s*\(.*", re.IGNORECASE)
_NOBODY = frozenset({"", "unknown", "unknownartist", "various", "variousartists", "va"})


def artist_key(artist: str) -> str:
    """Return the same key for all spellings of an artist's name; "" for unknown artists.

    Examples
    --------
    >>> artist_key("The Easton Ellises (Baumi)") == artist_key("the easton ellises")
    True
    >>> artist_key("Électrique Chœur feat. Øya"), artist_key("Various Artists")
    ('electriquechœur', '')
    """
    plain = unicodedata.normalize("NFKD", _GUESTS.sub("", artist)).casefold()
    key = "".join(letter for letter in plain if letter.isalnum())
    return "" if key in _NOBODY else key


def split_by_hash(text: str, valid_share: float = 0.1, test_share: float = 0.1) -> str:
    """Return the split by a hash of the text; it does not depend on other songs."""
    fraction = stable_fraction(text)
    if fraction >= 1.0 - test_share:
        return "test"
    return "valid" if fraction >= 1.0 - test_share - valid_share else "train"


def split_of(song: str, artist: str, split_by: str) -> str:
    """Return the split of a song that is in no official list.

    By artist, all songs of an artist fall into one split, that of MUSDB18-HQ's test artists
    into ``test``; by song, or where the artist is not known, the song's id decides.
    """
    key = artist_key(artist) if split_by == "artist" else ""
    if not key:
        return split_by_hash(song)
    return "test" if key in official_test_artists() else split_by_hash(f"artist/{key}")


def official_test_artists() -> frozenset[str]:
    """Return the keys of the artists of MUSDB18-HQ's test set."""
    songs = committed.official_songs("musdb18hq", "test")
    return frozenset(artist_key(name.partition(" - ")[0]) for name in songs)


def keep_apart(tracks: Iterable[Track]) -> tuple[list[Track], list[Rejection]]:
    """Leave out the training songs of artists that test songs are by.

    MUSDB18-HQ's own lists share four artists between train and test; its test set stays as
    it is, so their training songs go.
    """
    tracks = list(tracks)
    tested = {artist_key(track.artist) for track in tracks if track.split == "test"}
    tested = (tested | official_test_artists()) - {""}
    kept: list[Track] = []
    refused: list[Rejection] = []
    for track in tracks:
        if track.split == "train" and artist_key(track.artist) in tested:
            reason = f"is by {track.artist!r}, who is in the test set"
            detail = {"excluded_by": "catalog.split_by"}
            refused.append(Rejection(track.song, STAGE, reason, detail))
        else:
            kept.append(track)
    return kept, refused
