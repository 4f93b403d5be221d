"""Write this folder's checkpoints with the programs that trainers use.

Run once, where lightning (2.6.6) and omegaconf (2.3.1) are installed: `python make.py FOLDER`.
The network is the smallest, and each parameter has one value, so that the files are small.
"""

import argparse
import gzip
import sys
import tempfile
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from omegaconf import OmegaConf

from apollo_model.network import Apollo


def constant_network() -> Apollo:
    network = Apollo(feature_dim=16, layers=1)
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.fill_(number / 1024)
    return network


class Schedule(Enum):
    STEP = "step"


@dataclass
class OptimizerConfig:
    lr: float = 1e-3
    betas: list[float] = field(default_factory=lambda: [0.5, 0.99])
    schedule: Schedule = Schedule.STEP
    clip: float | None = 5.0


@dataclass
class Config:
    name: str = "apollo"
    root: Path = Path("data/train")
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    extra: dict[str, Any] = field(default_factory=lambda: {"workers": 4, "name": "${name}"})
    seed: int | None = None


class AudioLightningModule(lightning.LightningModule):
    """Built as the public trainer's: a network, a discriminator, two optimisers."""

    def __init__(self, config: Any, args: Any, audio_model: Any = None, discriminator: Any = None):
        super().__init__()
        self.audio_model, self.discriminator = audio_model, discriminator
        self.save_hyperparameters(ignore=["audio_model", "discriminator"])
        self.automatic_optimization = False

    def training_step(self, batch: Any, _: int) -> None:
        modules = (self.audio_model, self.discriminator)
        for optimiser, module in zip(self.optimizers(), modules, strict=True):
            optimiser.zero_grad()
            self.manual_backward(sum(parameter.sum() for parameter in module.parameters()))
            optimiser.step()

    def validation_step(self, batch: Any, _: int) -> None:
        self.log("val_loss", torch.tensor(1.0))

    def configure_optimizers(self) -> Any:
        modules = (self.audio_model, self.discriminator)
        found = [torch.optim.AdamW(m.parameters(), lr=0.0, betas=(0.5, 0.99)) for m in modules]
        return found, [torch.optim.lr_scheduler.StepLR(item, 2, 0.98) for item in found]


def write_lightning(path: Path) -> None:
    config = {
        "exp": {"dir": "./Exps", "name": "Apollo"},
        "datas": {"_target_": "datas.DataModule", "bitrates": ["random", 24]},
        "model": {"sr": 44100, "win": 20, "feature_dim": 16, "layer": 1},
    }
    args = argparse.Namespace(gpus=[0, 1], root=Path("Exps"), best=np.float64(13.5))
    module = AudioLightningModule(
        OmegaConf.create(config), args, constant_network(), torch.nn.Linear(2, 2)
    )
    callbacks = [
        ModelCheckpoint(dirpath=path.parent, filename=path.stem, monitor="val_loss"),
        EarlyStopping("val_loss"),
    ]
    data = torch.utils.data.DataLoader(torch.zeros(1, 1))
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, callbacks=callbacks,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, data, data)


def write_omegaconf(path: Path) -> None:
    content = {
        "state_dict": constant_network().state_dict(),
        "config": OmegaConf.structured(Config),
        "options": OmegaConf.create([1, {"a": "b"}]),
        "best": np.float32(2.5),
        "epoch": 7,
    }
    torch.save(content, path)


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        for name, write in (("lightning.ckpt", write_lightning), ("omegaconf.pt", write_omegaconf)):
            path = Path(place) / name
            write(path)
            packed = gzip.compress(path.read_bytes(), mtime=0)
            (folder / f"{name}.gz").write_bytes(packed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
