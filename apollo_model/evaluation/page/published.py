"""Figures of the paper (arXiv 2409.08514), shown beside one's own: they are on other data."""

from typing import Any

_ORDER = ("sdr", "si_snr", "visqol")
_CASES = ("vocal", "single_stem", "multi_stems", "multi_stems_vocal")

_TABLE_2: dict[str, dict[str, Any]] = {
    "SR-GAN": {
        "scores": [
            (10.62, 9.19, 2.72),
            (13.88, 12.52, 3.28),
            (14.92, 14.16, 3.41),
            (16.87, 15.54, 3.76),
            (14.07, 12.85, 3.29),
        ],
        "parameters": 322.53e6,
        "ms": 34.55,
    },
    "Apollo": {
        "scores": [
            (13.99, 12.58, 3.44),
            (16.56, 15.99, 4.08),
            (17.52, 17.15, 4.41),
            (18.51, 18.26, 4.54),
            (16.64, 16.00, 4.12),
        ],
        "parameters": 16.54e6,
        "ms": 53.23,
    },
}
"""Table II: SDR, SI-SNR and ViSQOL of each case and overall, 5000 samples a case."""

_FIGURE_2: dict[str, dict[str, list[float]]] = {
    "SR-GAN": {"sdr": [10.2, 10.2, 11.3, 12.6, 15.9, 19.5]},
    "Apollo": {
        "sdr": [11.7, 11.7, 13.5, 15.6, 17.2, 20.9],
        "si_snr": [9.9, 10.2, 12.2, 14.9, 16.7, 20.6],
        "visqol": [3.41, 3.48, 3.76, 4.11, 4.43, 4.40],
    },
}
_FIGURE_2_KBPS = ("24", "32", "48", "64", "96", "128")
"""Fig. 2, read off the plot; for SR-GAN only SDR is known."""


def published_rows() -> list[dict[str, Any]]:
    """Return the paper's systems in the form of `scores.system_rows`, without intervals."""
    return [_row(name, paper) for name, paper in _TABLE_2.items()]


def _row(name: str, paper: dict[str, Any]) -> dict[str, Any]:
    *cases, overall = paper["scores"]
    curves = _FIGURE_2[name]
    return {
        "name": name,
        "kind": "published",
        "parameters": paper["parameters"],
        "ms": paper["ms"],
        "note": "Published figures (arXiv 2409.08514), measured on other data.",
        "overall": _scores(dict(zip(_ORDER, overall, strict=True)), 20000),
        "by_category": {
            case: _scores(dict(zip(_ORDER, scores, strict=True)), 5000)
            for case, scores in zip(_CASES, cases, strict=True)
        },
        "by_bitrate": {
            kbps: _scores({metric: values[index] for metric, values in curves.items()}, None)
            for index, kbps in enumerate(_FIGURE_2_KBPS)
        },
    }


def _scores(values: dict[str, float], n: int | None) -> dict[str, Any]:
    means = {metric: [value, None, None] for metric, value in values.items()}
    return {"n": n, "values": means, "difference": {}}
