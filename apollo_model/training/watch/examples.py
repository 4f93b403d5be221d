"""A few validation clips to look at and listen to: coded, restored and clean."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor

from apollo_data.console import Console
from apollo_data.storage import whole_file
from apollo_model.network.base import Network
from apollo_model.training.observers import Observer, RunStart, ValidationRecord
from apollo_model.training.watch.may_fail import without_ending_the_run
from apollo_model.training.watch.spectrogram import draw_spectrograms

FOLDER = "examples"
_CLIPS = 4
_KEPT_VALIDATIONS = 10
_MOST_READ = 1000  # descriptions of pairs, to choose from
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class _Clip:
    """One clip: the folder of its files, what the pictures call it, and its number."""

    folder: Path
    title: str
    pair: int


class Examples(Observer):
    """Writes examples/CLIP/{coded,clean}.flac, and restored-EPOCH.flac and .png at validations.

    The clips are the same in all sessions of a run: spread evenly over the bitrates. Those
    of the last ten validations, of the first and of the best are kept.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start: RunStart | None = None
        self._clips: list[_Clip] = []
        self._epochs: list[int] = []
        self._best = 0

    def on_start(self, start: RunStart) -> None:
        """Choose the clips, and write what does not change."""
        self._start = start
        with without_ending_the_run(self._console, "examples"):
            for number, pair in enumerate(choose_pairs(start)):
                info = start.valid_set.describe(pair)
                name = _NOT_IN_NAMES.sub("-", f"{number + 1}-{info.coding}-{info.category}")
                title = f"{info.coding}, {info.category}, {start.valid_set.name_of(pair)}"
                clip = _Clip(start.folder / FOLDER / name, title, pair)
                coded, clean = start.valid_set[pair]
                self._write_audio(clip.folder / "coded.flac", coded)
                self._write_audio(clip.folder / "clean.flac", clean)
                self._clips.append(clip)
            self._epochs = self._written_epochs()

    def on_validation(self, record: ValidationRecord) -> None:
        """Restore the clips."""
        with without_ending_the_run(self._console, "examples"):
            for clip in self._clips:
                self._restore(clip, record)
            if record.is_best:
                self._best = record.epoch
            self._epochs = [n for n in self._epochs if n < record.epoch] + [record.epoch]
            self._delete_old()

    def _restore(self, clip: _Clip, record: ValidationRecord) -> None:
        assert self._start is not None
        coded, clean = self._start.valid_set[clip.pair]
        restored = _restored(record.network, coded)
        if not bool(torch.isfinite(restored).all()):
            self._console.warn(f"{clip.folder}: the network's output is not finite")
            return
        place = clip.folder / _name(record.epoch)
        self._write_audio(place.with_suffix(".flac"), restored)
        panels = {"coded": coded, "restored": restored, "clean": clean}
        what = f"epoch {record.epoch}, step {record.step}" if record.step else "before training"
        with whole_file(place.with_suffix(".png")) as temporary:
            draw_spectrograms(
                temporary,
                {name: _mono(audio) for name, audio in panels.items()},
                self._start.settings.sample_rate,
                f"{clip.title}, {what}",
            )

    def _write_audio(self, path: Path, audio: Tensor) -> None:
        assert self._start is not None
        samples = audio.clamp(-1, 1).numpy().T
        with whole_file(path) as temporary:
            soundfile.write(
                temporary, samples, self._start.settings.sample_rate, "PCM_16", format="FLAC"
            )

    def _written_epochs(self) -> list[int]:
        """Return the epochs that earlier sessions have written."""
        found = {
            int(match[1])
            for clip in self._clips
            for path in clip.folder.glob("restored-*.flac")
            if (match := re.fullmatch(r"restored-(\d+)", path.stem))
        }
        return sorted(found)

    def _delete_old(self) -> None:
        kept = {0, self._best, *self._epochs[-_KEPT_VALIDATIONS:]}
        for epoch in self._epochs:
            if epoch not in kept:
                for clip in self._clips:
                    for suffix in (".flac", ".png"):
                        (clip.folder / _name(epoch)).with_suffix(suffix).unlink(missing_ok=True)
        self._epochs = [epoch for epoch in self._epochs if epoch in kept]


def choose_pairs(start: RunStart) -> list[int]:
    """Return a few validation pairs, spread evenly over the bitrates."""
    pairs = len(start.valid_set)
    infos = {
        pair: start.valid_set.describe(pair) for pair in range(0, pairs, 1 + pairs // _MOST_READ)
    }
    order = sorted(infos, key=lambda pair: (infos[pair].actual_kbps, infos[pair].coding, pair))
    count = min(_CLIPS, len(order))
    # The middle of each of `count` equal parts of the list.
    return [order[(2 * part + 1) * len(order) // (2 * count)] for part in range(count)]


@torch.inference_mode()
def _restored(network: Network, coded: Tensor) -> Tensor:
    was_training = network.training
    network.eval()
    try:
        device = next(network.parameters()).device
        return network(coded[None].to(device))[0].float().cpu()
    finally:
        network.train(was_training)


def _mono(audio: Tensor) -> npt.NDArray[np.float32]:
    return audio.mean(0).numpy().astype(np.float32)


def _name(epoch: int) -> str:
    return f"restored-{epoch:04}"
