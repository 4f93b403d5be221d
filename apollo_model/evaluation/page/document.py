"""report.html: template, styles, scripts, data and sounds put into one file.

Nothing in it is loaded from elsewhere, and a content security policy forbids it. Names come
from users and from file systems: they are only ever JSON in the file, and only ever text
nodes in the page.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from apollo_data.storage import write_text
from apollo_model.evaluation.page.listening import Listening, pack_clips
from apollo_model.evaluation.page.rows import distributions, points, read_rows
from apollo_model.evaluation.page.scores import (
    bitrate_label,
    cases_in,
    category_label,
    metric_entry,
    metrics_in,
    notes_on,
    published_rows,
    read_speeds,
    read_summary,
    system_rows,
)

MAX_BYTES = 15_000_000

_SCRIPTS = (
    "dom.js",
    "tables.js",
    "charts.js",
    "score_charts.js",
    "statistics.js",
    "sound.js",
    "player.js",
    "spectrogram.js",
    "listening.js",
    "trials.js",
    "abx.js",
    "mushra.js",
    "main.js",
)


def write_page(folder: Path, out: Path | None = None) -> Path:
    """Write an evaluation's page: one HTML file that works without a network.

    Parameters
    ----------
    folder
        An evaluation's folder: ``summary.json``, and where they are there ``scores.csv`` and
        ``listening/clips.json`` with its sounds.
    out
        The file to write; ``folder/report.html`` by default.

    Returns
    -------
    Path
        The file, smaller than 15 MB.

    Raises
    ------
    DataError
        summary.json is missing or damaged, or a sound of the listening part cannot be read.
    """
    out = out or folder / "report.html"
    data = _scores(folder)
    room = MAX_BYTES - len(_json(data)) - len(_document({}, [])) - 100_000
    listening = pack_clips(folder / "listening", max(0, room))
    write_text(out, _document({**data, "listening": listening.about}, _audio_tags(listening)))
    return out


def _scores(folder: Path) -> dict[str, Any]:
    """Return everything but the sounds as plain data."""
    summary = read_summary(folder / "summary.json")
    metrics = metrics_in(summary)
    systems = system_rows(summary, metrics, read_speeds(folder / "speed.json"))
    names = [system["name"] for system in systems]
    rows = read_rows(folder / "scores.csv", metrics)
    categories = cases_in(summary, "by_category")
    bitrates = cases_in(summary, "by_bitrate")
    return {
        "notes": notes_on(summary, metrics),
        "title": str(summary.get("title") or folder.resolve().name),
        "pairs": summary.get("pairs"),
        "songs": summary.get("songs"),
        "metrics": [metric_entry(metric) for metric in metrics],
        "categories": [{"id": case, "label": category_label(case)} for case in categories],
        "bitrates": [{"id": case, "label": bitrate_label(case)} for case in bitrates],
        "systems": systems + published_rows(metrics),
        "distributions": distributions(rows, metrics, names),
        "points": points(rows, metrics, names),
    }


def _document(data: dict[str, Any], audio: Sequence[str]) -> str:
    template = resources.files(__package__) / "template"
    script = "\n".join((template / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();\n'
    style = (template / "style.css").read_text(encoding="utf-8")
    page = (template / "page.html").read_text(encoding="utf-8")
    parts = {
        "POLICY": _policy(script, style),
        "STYLE": style,
        "DATA": _json(data),
        "AUDIO": "\n".join(audio),
        "SCRIPT": script,
    }
    head, *rest = page.split("{{")
    pieces = [head]
    for part in rest:
        name, text = part.split("}}", 1)
        pieces += [parts[name], text]
    return "".join(pieces)


def _policy(script: str, style: str) -> str:
    """Allow this script and this style alone, and no network."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _json(data: dict[str, Any]) -> str:
    """Return JSON that can stand in a script element: no character there can end it."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _audio_tags(listening: Listening) -> list[str]:
    return [
        f'<script type="text/plain" id="sound-{clip}-{version}">{text}</script>'
        for clip, versions in enumerate(listening.audio)
        for version, text in enumerate(versions)
    ]
