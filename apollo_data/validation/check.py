"""Check a data set: files, completeness, splits, copies, levels."""

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import joblib

from apollo_data.audio.files import files_of, probe
from apollo_data.catalog.copies import REASON as COPIES
from apollo_data.catalog.find_songs import find_songs
from apollo_data.catalog.source import FINDINGS, LISTENED
from apollo_data.catalog.stage import make_catalog
from apollo_data.console import Console
from apollo_data.download.unpack import changed_files, find_unpacked
from apollo_data.errors import AudioError
from apollo_data.file_names import normal_form, path_text
from apollo_data.pairing.stage import PairingSettings, align_pairs, readable
from apollo_data.parallel import parallel_map
from apollo_data.records import SPLITS, FileFacts, Finding, Mixture, Rejection, Stem, Track
from apollo_data.settings import Settings
from apollo_data.settings import facts as committed
from apollo_data.sources import musdb18hq
from apollo_data.sources.artists import artist_key
from apollo_data.sources.exclusions import Exclusions
from apollo_data.validation.fingerprints import Fingerprint, find_doubles, fingerprint
from apollo_data.workspace.exclusion_file import read_exclusion_file, write_exclusion_file
from apollo_data.workspace.folder import WorkFolder, require_source
from apollo_data.workspace.manifest import Manifest, iterate_rows, write_manifest
from apollo_data.workspace.reject_log import by_choice

_HOURS_TOLERANCE = 0.05
_CLIPPED_SHARE = 0.001
_DC_OFFSET = 0.02
_NAMES_SHOWN = 3
_WHOLE_ONLY_MISSES = 4  # a mixture alone is meant to be whole
_LENGTH_TOLERANCE_SECONDS = 0.1


@dataclass(frozen=True)
class CheckReport:
    """What there is, and all findings, the wrong ones first."""

    root: str
    songs: dict[str, int]
    hours: float
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> int:
        """How many findings make the data set fail."""
        return sum(finding.wrong for finding in self.findings)


def check_data(
    root: Path,
    work: WorkFolder,
    settings: Settings,
    expected: Sequence[str],
    listen: bool,
    workers: int,
    console: Console,
) -> CheckReport:
    """Check the songs below `root`; the catalog that this takes is written as usual.

    Parameters
    ----------
    root
        The folder of songs.
    work
        Where the manifests go, and where exclusions.jsonl is honoured.
    settings
        The pipeline's.
    expected
        Data sets that must be there completely, beside those that are recognised.
    listen
        Whether to compare the songs' fingerprints.
    workers, console
        Processes, and where progress is shown.

    Raises
    ------
    DataError
        There is no such folder, or no song in it.
    """
    require_source(root)
    rejects = work.reject_log()
    exclusions = Exclusions(read_exclusion_file(work.exclusions), root)
    rules = PairingSettings(settings.paired, settings.activity, settings.sample_rate)
    with work.lock():
        about = (settings.catalog, exclusions, rejects)
        tracks = make_catalog(root, work.tracks, work.files, *about, workers, console)
        pairs = align_pairs(tracks, work.pairs, work.decoded, rules, rejects, workers, console)
        folders = find_songs(root).songs
        findings = [
            *_file_findings(work),
            *_archive_findings(root),
            *_completeness(folders, root, tracks.rows, expected),
            *_part_findings(folders, root),
            *_split_findings(tracks.rows),
            *_length_findings(tracks.rows, work),
            *_level_findings(work),
        ]
        if listen:
            findings += _double_findings(tracks, work, workers, console)
        findings.sort(key=lambda finding: not finding.wrong)
        compared = LISTENED if listen else None
        key = tracks.header.key
        write_manifest(work.path / FINDINGS, "findings", findings, key, root, compared)
    songs = {split: sum(track.split == split for track in tracks.rows) for split in SPLITS}
    seconds = sum(map(song_seconds, tracks.rows)) + sum(pair.seconds for pair in pairs.rows)
    hours = seconds / 3600.0
    return CheckReport(str(root), songs, round(hours, 3), tuple(findings))


def write_exclusions(report: CheckReport, work: WorkFolder) -> int:
    """Add what leaving out would mend to exclusions.jsonl; return how many rows that are."""
    rows = {row.path: row for row in read_exclusion_file(work.exclusions)}
    before = len(rows)
    for finding in report.findings:
        for path in finding.exclude:
            rows.setdefault(path, Rejection(path, "check", finding.problem))
    if len(rows) > before:
        write_exclusion_file(work.exclusions, rows.values(), Path(report.root))
    return len(rows) - before


def song_seconds(track: Track) -> float:
    """Return a song's length: its mixture's or its longest stem's; 0 for a pair."""
    return max((sound.seconds for sound in track.sounds), default=0.0)


def _file_findings(work: WorkFolder) -> Iterator[Finding]:
    for row in work.read_rejects():
        if row.stage in ("catalog", "align"):
            chosen = by_choice(row) and row.detail["excluded_by"] != COPIES
            exclude = () if chosen else (row.path,)
            yield Finding("files", row.path, row.reason, not chosen, exclude)


def _archive_findings(root: Path) -> Iterator[Finding]:
    """Compare with what was unpacked from a downloaded archive."""
    for folder in find_unpacked(root):
        for name, problem in changed_files(folder):
            path = path_text(folder / name, root)
            yield Finding("archive", path, problem)


def _completeness(
    songs: Sequence[tuple[ModuleType, Path]],
    root: Path,
    tracks: Sequence[Track],
    expected: Sequence[str],
) -> Iterator[Finding]:
    """Compare names, number and length of songs with what manifests/ says of a data set."""
    folders = [(source.NAME, normal_form(folder.name)) for source, folder in songs]
    unpacked = {folder.name for folder in find_unpacked(root)}
    for name in committed.source_names():
        found = {song for source, song in folders if source == name}
        official = committed.official_names(name)
        if name not in expected and name not in unpacked and not found & official:
            continue
        facts = committed.source_facts(name)
        if missing := sorted(official - found):
            shown = ", ".join(missing[:_NAMES_SHOWN]) + (
                ", …" if len(missing) > _NAMES_SHOWN else ""
            )
            yield Finding(
                "names", name, f"{len(missing)} official songs are missing: {shown}", wrong=True
            )
        if official and (extra := sorted(found - official)):
            yield Finding("names", name, f"{len(extra)} songs are none of its own", wrong=False)
        if len(found) != facts.songs:
            yield Finding(
                "songs", name, f"has {len(found)} songs, expected {facts.songs}", wrong=True
            )
            continue
        hours = sum(song_seconds(track) for track in tracks if track.source == name) / 3600.0
        if abs(hours - facts.hours) > _HOURS_TOLERANCE * facts.hours:
            yield Finding(
                "hours", name, f"lasts {hours:.2f} h, expected {facts.hours:.2f} h", wrong=True
            )


def _part_findings(songs: Sequence[tuple[ModuleType, Path]], root: Path) -> Iterator[Finding]:
    """Note what songs in MUSDB18-HQ's layout do not have; those of its own must have it."""
    official = committed.official_names(musdb18hq.NAME)
    for source, folder in songs:
        if source is musdb18hq and normal_form(folder.name) not in official:
            missing = musdb18hq.missing_parts(folder)
            if missing and len(missing) < _WHOLE_ONLY_MISSES:
                problem = f"has no {', '.join(missing)}"
                yield Finding("parts", path_text(folder, root), problem, wrong=False)


def _length_findings(tracks: Iterable[Track], work: WorkFolder) -> Iterator[Finding]:
    """Note sources that end before their stem does: they are silent from there on."""
    seconds = {row.path: row.seconds for row in iterate_rows(work.files, "files", FileFacts)}
    for track in tracks:
        for stem in track.stems:
            for source in stem.sources:
                own = seconds.get(f"{stem.path}/{source}", stem.seconds)
                if own < stem.seconds - _LENGTH_TOLERANCE_SECONDS:
                    problem = f"lasts {own:.2f} s, its stem {stem.seconds:.2f} s: silent after that"
                    yield Finding("lengths", f"{stem.path}/{source}", problem, wrong=False)


def _split_findings(tracks: Iterable[Track]) -> Iterator[Finding]:
    """Look for artists on both sides of the test split; a song is in the catalog but once."""
    artists: dict[str, dict[str, list[Track]]] = {}
    for track in tracks:
        if key := artist_key(track.artist):
            artists.setdefault(key, {}).setdefault(track.split, []).append(track)
    for by_split in artists.values():
        if {"train", "test"} <= by_split.keys():
            for track in by_split["train"]:
                problem = f"is trained on, but {track.artist!r} is in the test set too"
                yield Finding("splits", track.song, problem, True, _paths(track))


def _level_findings(work: WorkFolder) -> Iterator[Finding]:
    for row in iterate_rows(work.files, "files", FileFacts):
        if row.levels is None:
            continue
        if row.levels.silent_share >= 1.0:
            yield Finding("levels", row.path, "is silent from end to end", wrong=False)
        if row.levels.clipped_share > _CLIPPED_SHARE:
            share = f"{row.levels.clipped_share:.2%} of its samples are at full scale"
            yield Finding("levels", row.path, share, wrong=False)
        if row.levels.dc_offset > _DC_OFFSET:
            offset = f"has a DC offset of {row.levels.dc_offset:.3f}"
            yield Finding("levels", row.path, offset, wrong=False)
        if row.levels.cut_hertz is not None:
            cut = f"its spectrum is cut off at {row.levels.cut_hertz / 1000:.1f} kHz: coded once?"
            yield Finding("spectrum", row.path, cut, wrong=False)


def _double_findings(
    tracks: Manifest[Track], work: WorkFolder, workers: int, console: Console
) -> Iterator[Finding]:
    """Look for the same recording under two names, by ear."""
    cache = joblib.Memory(work.path / ".cache", verbose=0)
    listen = functools.partial(_listen, root=tracks.root, decoded=work.decoded, cache=cache)
    prints: list[Fingerprint | Finding] = []
    with (
        console.progress("fingerprints", len(tracks.rows), "songs") as advance,
        contextlib.closing(parallel_map(listen, tracks.rows, workers)) as heard,
    ):
        for item in heard:
            prints.append(item)
            advance(1)
    yield from (item for item in prints if isinstance(item, Finding))
    pairs = [(t, p) for t, p in zip(tracks.rows, prints, strict=True) if isinstance(p, Fingerprint)]
    for double in find_doubles([item for _, item in pairs]):
        one, other = pairs[double.first][0], pairs[double.second][0]
        if one.pair and other.pair and one.pair.clean == other.pair.clean:
            continue  # several degraded sides of one clean one are meant to be there
        # The song that stays is that of the split which is harder to replace.
        kept, spare = sorted(
            (one, other), key=lambda track: (-SPLITS.index(track.split), track.song)
        )
        apart = kept.split != spare.split
        problem = (
            f"({spare.split}) is the same recording as {kept.song} ({kept.split}): "
            f"{double.share:.0%} of the fingerprint agree"
        )
        yield Finding("doubles", spare.song, problem, apart, _paths(spare) if apart else ())


def _listen(track: Track, root: Path, decoded: Path, cache: joblib.Memory) -> Fingerprint | Finding:
    """Return a song's fingerprint, from the cache where its files are the same as then."""
    try:
        files, seconds = _what_to_hear(track, root, decoded)
        states = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return cache.cache(_fingerprint_of, ignore=["root"])(
            [os.path.relpath(file, root) for file in files], states, seconds, root
        )
    except (AudioError, OSError) as error:
        return Finding("doubles", track.song, f"cannot be heard ({error})")


def _what_to_hear(track: Track, root: Path, decoded: Path) -> tuple[list[Path], float]:
    """Return the files of a song's mixture, its stems or a pair's clean side, and the length."""
    if track.pair:
        clean = readable(track.pair.clean, root, decoded)
        return [clean], probe(clean).seconds
    sounds: Sequence[Stem | Mixture] = [track.mixture] if track.mixture else track.stems
    files = [file for sound in sounds for file in files_of(root, sound.path, sound.sources)]
    return files, song_seconds(track)


def _fingerprint_of(
    files: list[str], _states: list[tuple[int, int]], seconds: float, root: Path
) -> Fingerprint:
    return fingerprint([root / file for file in files], seconds)


def _paths(track: Track) -> tuple[str, ...]:
    """Return the paths whose exclusion leaves out the whole song."""
    own = (track.pair.degraded,) if track.pair else ()
    return (*dict.fromkeys(sound.path for sound in track.sounds), *own)
