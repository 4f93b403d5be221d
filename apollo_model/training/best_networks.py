"""The best networks of a run: best.safetensors, and the next ones if they are to be kept."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apollo_data.settings import Settings, settings_toml
from apollo_model.checkpoint.formats import save_network
from apollo_model.network.base import Network
from apollo_model.training.observers import Scores
from apollo_model.training.validation import is_better


@dataclass(frozen=True)
class Kept:
    """A validation whose network is kept."""

    epoch: int
    step: int
    score: float


class BestNetworks:
    """The best `training.keep_best` networks by `training.choose_by`.

    The best is best.safetensors; with more than one, all of them are in best/epoch-0012.safetensors
    too.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        self._metric = settings.training.choose_by
        self.kept: list[Kept] = []

    @property
    def path(self) -> Path:
        """The best network."""
        return self._folder / "best.safetensors"

    @property
    def best(self) -> Kept | None:
        """The best validation so far; None if none gave a score."""
        return self.kept[0] if self.kept else None

    def offer(self, epoch: int, step: int, scores: Scores) -> int | None:
        """Take note of a validation; return its place among the best, or None."""
        new = Kept(epoch, step, scores[self._metric])
        if math.isnan(new.score):
            return None
        place = next(
            (n for n, old in enumerate(self.kept) if is_better(self._metric, new.score, old.score)),
            len(self.kept),
        )
        if place >= self._settings.training.keep_best:
            return None
        self.kept.insert(place, new)
        return place

    def write(self, network: Network, place: int, scores: Scores) -> None:
        """Write the network that has just taken `place`, and delete the one that fell out."""
        new = self.kept[place]
        metadata = {
            **{f"valid_{name}": f"{value:.4f}" for name, value in scores.items()},
            "choose_by": self._metric,
            "epoch": str(new.epoch),
            "step": str(new.step),
            "pipeline": self._settings.name,
            "settings": settings_toml(self._settings),
        }
        if place == 0:
            save_network(network, self.path, metadata)
        if self._settings.training.keep_best > 1:
            save_network(network, self._place_of(new), metadata)
        for fallen in self.kept[self._settings.training.keep_best :]:
            self._place_of(fallen).unlink(missing_ok=True)
        del self.kept[self._settings.training.keep_best :]

    def _place_of(self, kept: Kept) -> Path:
        return self._folder / "best" / f"epoch-{kept.epoch:04}.safetensors"

    def state(self) -> list[dict[str, Any]]:
        """Return what is kept, for the run's state."""
        return [asdict(item) for item in self.kept]

    def load_state(self, state: list[dict[str, Any]]) -> None:
        """Take up a saved state."""
        self.kept = [Kept(**item) for item in state]
