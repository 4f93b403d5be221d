"""Score systems on the test pairs, always beside the unrestored codec.

The published figures leave the codec's own scores out; without them nobody can tell what a
network has gained. Scores are means over clips of means over channels.
"""

import contextlib
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.parallel import parallel_map
from apollo_data.storage import folder_lock, key_of, remove_partials, write_text
from apollo_model.checkpoint.formats import save_network
from apollo_model.evaluation.clips import keep_clips
from apollo_model.evaluation.metrics.clip import METRIC_NAMES, available_metrics
from apollo_model.evaluation.output_files import write_files
from apollo_model.evaluation.page import write_page
from apollo_model.evaluation.pairs import PairList, list_pairs
from apollo_model.evaluation.rows import SystemRows
from apollo_model.evaluation.score_pair import SILENT, Job, Scored, score_pair, with_results_of_gpu
from apollo_model.evaluation.summary import summarise
from apollo_model.evaluation.systems import CODEC, Codec, System, choose_systems
from apollo_model.evaluation.systems.network import NetworkSystem
from apollo_model.network.base import Network

SCORES_VERSION = 1
"""Goes up when a metric changes, so that no old score is taken over."""

ROWS = "rows"
SPEEDS = "speed.json"


def evaluate(
    systems: Sequence[str] | Mapping[str, Network],
    shards: Path,
    out: Path,
    console: Console,
    device: str = "cpu",
    *,
    workers: int = 1,
    limit: int | None = None,
    metrics: Sequence[str] = (),
    align: bool = False,
    clips: int = 12,
) -> dict[str, Any]:
    """Score systems and the codec itself on the test shards, and write all files of an evaluation.

    What an earlier call has scored in `out`, of the same pairs and systems, is taken over.

    Parameters
    ----------
    systems
        As `choose_systems` reads them, or networks by the name that the tables give them.
    shards
        Folder with ``test``, or one shard.
    out
        Where to write.
    device
        Where networks run.
    workers
        Processes.
    limit
        Score so many pairs, drawn evenly; all by default.
    metrics
        Which scores; all that can be computed by default.
    align
        Move shifted results of other programs back to their place.
    clips
        How many clips to keep for listening; they are also in report.html.

    Returns
    -------
    dict
        The content of summary.json.

    Raises
    ------
    DataError
        There are no test shards, nothing in them can be scored, or a system is not to be had.
    SettingsError
        A system or a metric is not what it can be.
    """
    chosen = _chosen_metrics(metrics)
    pairs = list_pairs(shards, limit)
    with contextlib.ExitStack() as stack:
        if isinstance(systems, Mapping):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="apollo-")))
            texts = [_saved(name, network, folder) for name, network in systems.items()]
        else:
            texts = list(systems)
        everyone = [Codec(), *choose_systems(texts, pairs.pairs, device, align)]
        for system in everyone:
            system.check(pairs.sample_rate)
        stack.enter_context(folder_lock(out))
        remove_partials(out)
        rows = _score_all(everyone, pairs, out, chosen, workers, console)
        _tell(everyone, rows, pairs, console)
        speeds = _speeds(everyone, pairs.sample_rate, out)
        summary = summarise(everyone, rows, pairs, chosen)
        write_files(out, summary, rows, pairs, chosen, speeds)
        keep_clips(out / "listening", everyone, rows, pairs, clips, console)
        write_page(out)
    return summary


def _chosen_metrics(names: Sequence[str]) -> tuple[str, ...]:
    available = available_metrics()
    for name in names:
        if name not in METRIC_NAMES:
            raise DataError(f"--metrics {name}: expected some of {', '.join(METRIC_NAMES)}")
        if name not in available:
            raise DataError(f"--metrics {name}: needs pip install 'apollo-toolkit[{name}]'")
    return tuple(name for name in available if not names or name in names)


def _saved(name: str, network: Network, folder: Path) -> str:
    if name == CODEC:
        raise DataError(f"a checkpoint cannot be called {CODEC!r}: that is the unrestored codec")
    path = folder / f"{key_of(name)}.safetensors"
    save_network(network, path, {})
    return f"{name}={path}"


def _score_all(
    systems: Sequence[System],
    pairs: PairList,
    out: Path,
    metrics: tuple[str, ...],
    workers: int,
    console: Console,
) -> dict[str, SystemRows]:
    """Score what has no scores yet; return the rows of each system."""
    identities = [pair.identity for pair in pairs.pairs]
    rows = {
        system.name: SystemRows(
            out / ROWS,
            system.name,
            key_of(SCORES_VERSION, pairs.key, system.key),
            identities,
            metrics,
        )
        for system in systems
    }
    todo = [
        place
        for place in range(len(identities))
        if not all(own.done[place] for own in rows.values())
    ]
    workers = max(1, min(workers, len(todo)))
    on_gpu = [s for s in systems if isinstance(s, NetworkSystem) and s.device != "cpu"]
    jobs = _jobs(todo, systems, rows, pairs, metrics, workers > 1)
    if on_gpu:
        jobs = with_results_of_gpu(jobs, on_gpu)
    try:
        with (
            console.progress("eval", len(identities), "pairs") as advance,
            contextlib.closing(parallel_map(score_pair, jobs, workers)) as results,
        ):
            advance(len(identities) - len(todo))
            for scored in results:
                _keep(scored, rows)
                advance(1)
    finally:
        for own in rows.values():
            own.close()
    return rows


def _jobs(
    places: Sequence[int],
    systems: Sequence[System],
    rows: dict[str, SystemRows],
    pairs: PairList,
    metrics: tuple[str, ...],
    several_processes: bool,
) -> Iterator[Job]:
    for place in places:
        pair = pairs.pairs[place]
        missing = tuple(s.task(pair) for s in systems if not rows[s.name].done[place])
        yield Job(place, pair, missing, metrics, pairs.sample_rate, several_processes)


def _keep(scored: Scored, rows: dict[str, SystemRows]) -> None:
    if scored.silent:
        for own in rows.values():
            if not own.done[scored.place]:
                own.add(scored.place, {}, {"target": SILENT})
    for name, result in scored.results.items():
        rows[name].add(scored.place, result.scores, result.problems, result.remarks, result.failed)


def _tell(
    systems: Sequence[System], rows: dict[str, SystemRows], pairs: PairList, console: Console
) -> None:
    """Warn of silent targets, of missing scores and of results that are not as they should be."""
    silent = silent_places(rows)
    if len(silent) == len(pairs.pairs):
        raise DataError(f"{pairs.pairs[0].shard.parent}: every target is silent")
    total = len(pairs.pairs)
    if silent:
        console.warn(f"{len(silent)} of {total} pairs have a silent target and are not scored")
    for system in systems:
        own = rows[system.name]
        for text, count in count_problems(own).items():
            console.warn(f"{system.name}: {text} ({count} of {total} pairs)")
        for text, count in count_remarks(own).items():
            console.warn(f"{system.name}: {text} ({count} of {total} pairs)")
        if any(" by " in remark for remarks in own.remarks.values() for remark in remarks):
            console.warn(
                f"{system.name}: shifted results are scored as they are; --align moves them back"
            )
        unmatched = getattr(system, "unmatched", 0)
        if unmatched:
            console.warn(f"{system.name}: {unmatched} files belong to no test pair")


def silent_places(rows: dict[str, SystemRows]) -> list[int]:
    """Return the places of the pairs whose target is silent."""
    return [place for place, why in rows[CODEC].problems.items() if "target" in why]


def count_problems(rows: SystemRows) -> dict[str, int]:
    """Count why scores are missing, silent targets apart; the most common reason first."""
    texts = (
        {text for place, text in why.items() if place != "target"} for why in rows.problems.values()
    )
    return _most_common_first(itertools.chain.from_iterable(texts))


def count_remarks(rows: SystemRows) -> dict[str, int]:
    """Count what was found of the results; the most common remark first."""
    return _most_common_first(itertools.chain.from_iterable(rows.remarks.values()))


def _most_common_first(texts: Iterable[str]) -> dict[str, int]:
    return dict(Counter(sorted(texts)).most_common())


def _speeds(systems: Sequence[System], sample_rate: int, out: Path) -> dict[str, float]:
    """Return the milliseconds for one second of each network, measured once a system."""
    known = _read_speeds(out)
    found: dict[str, Any] = {}
    for system in systems:
        before = known.get(system.name, {})
        if before.get("key") == system.key:
            found[system.name] = before
        elif (milliseconds := system.milliseconds_per_second(sample_rate)) is not None:
            found[system.name] = {"key": system.key, "ms_per_second": milliseconds}
    write_text(out / SPEEDS, json.dumps(found, indent=2) + "\n")
    return read_speeds(out)


def read_speeds(out: Path) -> dict[str, float]:
    """Return the milliseconds that each network of an evaluation takes for one second."""
    return {name: entry["ms_per_second"] for name, entry in _read_speeds(out).items()}


def _read_speeds(out: Path) -> dict[str, dict[str, Any]]:
    try:
        known = json.loads((out / SPEEDS).read_text(encoding="utf-8"))
        return {name: entry for name, entry in known.items() if entry["ms_per_second"] > 0}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
