"""What a checkpoint holds, as rows, JSON or a model card."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from apollo_data.storage import sha256_file
from apollo_model.checkpoint.formats import NETWORK_KEY, load_network, read_metadata
from apollo_model.checkpoint.hub import fetch_checkpoint, is_hub_name

_PAPER = "https://arxiv.org/abs/2409.08514"


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint's network, and all that was written beside it.

    Attributes
    ----------
    file_format
        safetensors or torch.
    form
        published (the spectrum anew) or residual (a correction).
    context_seconds
        How far the network sees to each side; a causal one sees the past only.
    metadata
        Texts stored beside the weights (scores, settings, the shards' hash), those of the
        network itself left out.
    """

    path: str
    bytes: int
    sha256: str
    file_format: str
    sample_rate: int
    window_ms: int
    feature_dim: int
    layers: int
    form: str
    causal: bool
    parameters: int
    context_seconds: float
    metadata: dict[str, str] = field(default_factory=dict)


def describe_checkpoint(name: Path | str) -> CheckpointInfo:
    """Read a checkpoint, by path or by its name on the hub.

    Raises
    ------
    DataError
        It cannot be read, or holds no Apollo network.
    """
    path = fetch_checkpoint(str(name)) if is_hub_name(name) else Path(name)
    network = load_network(path)
    with path.open("rb") as source:
        file_format = "safetensors" if source.read(9)[8:] == b"{" else "torch"
    context = network.context_frames * network.hop_samples / network.sample_rate
    return CheckpointInfo(
        path=str(name),
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        file_format=file_format,
        sample_rate=network.sample_rate,
        window_ms=network.window_ms,
        feature_dim=network.feature_dim,
        layers=network.layers,
        form="residual" if network.residual else "published",
        causal=network.causal,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        context_seconds=round(context, 3),
        metadata={k: v for k, v in sorted(read_metadata(path).items()) if k != NETWORK_KEY},
    )


def info_rows(info: CheckpointInfo) -> list[list[str]]:
    """Return names and values for a table; longer texts of the metadata by their length."""
    rows = [
        ["format", info.file_format],
        ["size", f"{info.bytes / 1e6:.1f} MB"],
        ["SHA-256", info.sha256],
        ["sample rate", f"{info.sample_rate} Hz"],
        ["window", f"{info.window_ms} ms"],
        ["N (feature_dim)", str(info.feature_dim)],
        ["B (layers)", str(info.layers)],
        ["form", info.form],
        ["causal", "yes" if info.causal else "no"],
        ["context", f"{info.context_seconds:g} s {'before' if info.causal else 'on each side'}"],
        ["parameters", f"{info.parameters:,}"],
    ]
    return rows + [[name, _short(text)] for name, text in info.metadata.items()]


def _short(text: str) -> str:
    lines = text.strip().splitlines()
    return text.strip() if len(lines) <= 1 else f"({len(lines)} lines; --json shows them)"


def model_card(info: CheckpointInfo) -> str:
    """Return a README for the hub, with what the checkpoint itself knows."""
    values = "\n".join(f"| {name} | {value} |" for name, value in info_rows(info))
    front = {"library_name": "apollo-toolkit", "tags": ["audio", "music-restoration", "apollo"]}
    head = "\n".join(f"{name}: {json.dumps(value)}" for name, value in front.items())
    settings = info.metadata.get("settings", "").strip()
    trained = f"\n## Training settings\n\n```toml\n{settings}\n```\n" if settings else ""
    name = Path(info.path).name
    return f"""---
{head}
---

# Apollo, {info.form} form{", causal" if info.causal else ""}

Restores music that was coded with loss ([paper]({_PAPER})). Input and output: sound at
{info.sample_rate} Hz, each channel by itself.

```sh
apollo-model restore song.mp3 --out restored.wav --checkpoint {name}
```

| | |
| --- | --- |
{values}
{trained}"""


def info_json(info: CheckpointInfo) -> str:
    """Return all of it as JSON."""
    return json.dumps(dataclasses.asdict(info), indent=2)
