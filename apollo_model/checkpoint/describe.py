"""What a checkpoint holds, as table rows, JSON or a model card."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from apollo_data.storage import sha256_file
from apollo_model.checkpoint.formats import KIND_KEY, NETWORK_KEY, load_checkpoint
from apollo_model.checkpoint.hub import fetch_checkpoint, is_hub_name
from apollo_model.checkpoint.kinds import KINDS, kind_of
from apollo_model.checkpoint.plain_values import printable

_LONGEST_SHOWN = 100
_SETTING_NAMES = {
    "sample_rate": ("sample rate", " Hz"),
    "window_ms": ("window", " ms"),
    "feature_dim": ("N (feature_dim)", ""),
    "layers": ("B (layers)", ""),
}


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint's network, and what was stored beside it.

    Attributes
    ----------
    file_format
        safetensors or torch.
    kind
        The network's kind: apollo, or another of `apollo_model.checkpoint.kinds.KINDS`.
    place
        Keys that lead to the weights in the file; empty where the file holds nothing else.
    settings
        The network's own: what its class was built with.
    context_seconds
        How far the network looks to each side; a causal one looks at the past only.
    metadata
        Texts stored beside the weights (scores, settings, the shards' hash), without those
        that describe the network itself.
    """

    path: str
    bytes: int
    sha256: str
    file_format: str
    kind: str
    place: str
    settings: dict[str, int | bool]
    parameters: int
    context_seconds: float
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def form(self) -> str:
        """The output's form: residual (a correction of the input) or published (all anew)."""
        return "residual" if self.settings.get("residual") else "published"

    @property
    def causal(self) -> bool:
        """Whether the network looks at the past only."""
        return bool(self.settings.get("causal"))


def describe_checkpoint(name: Path | str) -> CheckpointInfo:
    """Read a checkpoint, by path or by its name on the hub.

    Raises
    ------
    DataError
        It cannot be read, or holds no known network.
    """
    path = fetch_checkpoint(str(name)) if is_hub_name(name) else Path(name)
    checkpoint = load_checkpoint(path)
    network = checkpoint.network
    context = network.context_frames * network.hop_samples / network.sample_rate
    return CheckpointInfo(
        path=printable(str(name)),
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        file_format=checkpoint.file_format,
        kind=kind_of(network),
        place=checkpoint.place,
        settings=network.settings,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        context_seconds=round(context, 3),
        metadata={
            key: text
            for key, text in sorted(checkpoint.metadata.items())
            if key not in (NETWORK_KEY, KIND_KEY)
        },
    )


def info_rows(info: CheckpointInfo) -> list[list[str]]:
    """Return names and values for a table; of long texts only their length."""
    rows = [
        ["format", info.file_format],
        ["size", f"{info.bytes / 1e6:.1f} MB"],
        ["SHA-256", info.sha256],
        ["kind", info.kind],
    ]
    if info.place:
        rows.append(["weights found in", info.place])
    for name, value in info.settings.items():
        title, unit = _SETTING_NAMES.get(name, (name, ""))
        if not isinstance(value, bool):
            rows.append([title, f"{value}{unit}"])
    if "residual" in info.settings:
        rows.append(["form", info.form])
    rows += [
        ["causal", "yes" if info.causal else "no"],
        ["context", f"{info.context_seconds:g} s {'before' if info.causal else 'on each side'}"],
        ["parameters", f"{info.parameters:,}"],
    ]
    return rows + [[name, _short(text)] for name, text in info.metadata.items()]


def _short(text: str) -> str:
    lines = text.strip().splitlines()
    if len(lines) > 1:
        return f"({len(lines)} lines; --json shows them)"
    shown = text.strip()
    return (
        shown if len(shown) <= _LONGEST_SHOWN else f"({len(shown)} characters; --json shows them)"
    )


def model_card(info: CheckpointInfo) -> str:
    """Return a README for the hub, with what the checkpoint itself knows."""
    cells = [[name, value.replace("|", "\\|")] for name, value in info_rows(info)]
    values = "\n".join(f"| {name} | {value} |" for name, value in cells)
    front = {"library_name": "apollo-toolkit", "tags": ["audio", "music-restoration", info.kind]}
    head = "\n".join(f"{name}: {json.dumps(value)}" for name, value in front.items())
    settings = info.metadata.get("settings", "").strip()
    trained = f"\n## Training settings\n\n```toml\n{settings}\n```\n" if settings else ""
    name, kind = Path(info.path).name, KINDS[info.kind]
    form = f", {info.form} form" if "residual" in info.settings else ""
    return f"""---
{head}
---

# {kind.title}{form}{", causal" if info.causal else ""}

Restores music that was coded with loss ([paper]({kind.paper})). Input and output: sound at
{info.settings["sample_rate"]} Hz, each channel by itself.

```sh
apollo-model restore song.mp3 --out restored.wav --checkpoint {name}
```

```python
from apollo_model.checkpoint import load_network

network = load_network("{name}")
```

| | |
| --- | --- |
{values}
{trained}"""


def info_json(info: CheckpointInfo) -> str:
    """Return all of it as JSON; the network's settings stand among the other values."""
    content = {**vars(info), **info.settings, "form": info.form, "causal": info.causal}
    del content["settings"]
    return json.dumps(content, indent=2)
