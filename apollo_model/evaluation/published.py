"""Figures of the paper (arXiv 2409.08514), in the form of summary.json: they are on other data."""

from typing import Any

NOTE = "published, on other data"

_ORDER = ("sdr", "si_snr", "visqol")
_CATEGORIES = ("vocal", "single_stem", "multi_stems", "multi_stems_vocal")
_CLIPS = 5000
_KBPS = ("24", "32", "48", "64", "96", "128")

_TABLE_II: dict[str, list[tuple[float, float, float]]] = {
    "SR-GAN": [
        (10.62, 9.19, 2.72),
        (13.88, 12.52, 3.28),
        (14.92, 14.16, 3.41),
        (16.87, 15.54, 3.76),
        (14.07, 12.85, 3.29),
    ],
    "Apollo": [
        (13.99, 12.58, 3.44),
        (16.56, 15.99, 4.08),
        (17.52, 17.15, 4.41),
        (18.51, 18.26, 4.54),
        (16.64, 16.00, 4.12),
    ],
}
"""SDR, SI-SNR and ViSQOL by category and overall, of 5000 clips a category."""

_FIGURE_2: dict[str, dict[str, tuple[float, ...]]] = {
    "SR-GAN": {"sdr": (10.2, 10.2, 11.3, 12.6, 15.9, 19.5)},
    "Apollo": {
        "sdr": (11.7, 11.7, 13.5, 15.6, 17.2, 20.9),
        "si_snr": (9.9, 10.2, 12.2, 14.9, 16.7, 20.6),
        "visqol": (3.41, 3.48, 3.76, 4.11, 4.43, 4.40),
    },
}
"""Read off the plot."""

_PARAMETERS = {"SR-GAN": 322_530_000, "Apollo": 16_540_000}
_MILLISECONDS = {"SR-GAN": 34.55, "Apollo": 53.23}


def published_systems() -> dict[str, dict[str, Any]]:
    """Return the paper's systems by name, each like one of summary.json, without intervals."""
    return {f"{name} ({NOTE})": _system(name) for name in _TABLE_II}


def _system(name: str) -> dict[str, Any]:
    *cases, overall = _TABLE_II[name]
    curves = _FIGURE_2[name]
    return {
        "kind": "published",
        "parameters": _PARAMETERS[name],
        "ms_per_second": _MILLISECONDS[name],
        "note": NOTE,
        "overall": {"n": _CLIPS * len(cases), **dict(zip(_ORDER, overall, strict=True))},
        "by_category": {
            category: {"n": _CLIPS, **dict(zip(_ORDER, scores, strict=True))}
            for category, scores in zip(_CATEGORIES, cases, strict=True)
        },
        "by_bitrate": {
            kbps: {metric: values[place] for metric, values in curves.items()}
            for place, kbps in enumerate(_KBPS)
        },
    }
