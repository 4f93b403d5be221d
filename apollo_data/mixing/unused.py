"""Songs that no clip can be cut from: too short, or never active for long enough."""

from collections.abc import Sequence

from apollo_data.mixing.candidates import Candidates
from apollo_data.records import SPLITS, Rejection, StemActivity, Track
from apollo_data.settings import PlanSettings

STAGE = "mix"


def unused_songs(
    tracks: Sequence[Track], activities: Sequence[StemActivity], settings: PlanSettings
) -> list[Rejection]:
    """Return a row for each song of which neither a stem nor the mixture gives a clip.

    The user's own pairs are cut by other rules and do not count.
    """
    seconds = settings.mixing.clip_seconds
    rows: list[Rejection] = []
    for split in SPLITS:
        own = [track for track in tracks if track.split == split and track.pair is None]
        rules = settings.evaluation.mixing if split == "test" else settings.mixing
        candidates = Candidates(own, activities, seconds, rules.min_active_share)
        used = candidates.songs | {choice.song for choice in candidates.mixtures()}
        rows += [
            Rejection(track.song, STAGE, _reason(track, seconds, rules.min_active_share))
            for track in own
            if track.song not in used
        ]
    return rows


def _reason(track: Track, seconds: float, share: float) -> str:
    longest = max((sound.seconds for sound in track.sounds), default=0.0)
    if longest < seconds:
        return f"lasts {longest:g} s, less than a clip of {seconds:g} s: it is never used"
    return f"is nowhere active for {share:.0%} of {seconds:g} s: it is never used"
