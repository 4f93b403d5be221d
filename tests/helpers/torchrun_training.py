"""What the processes of a torchrun do in the tests: one run, with notes for the tests to read.

Arguments: settings (TOML), shards, run folder, rank that gets SIGTERM after step 2 (or -1).
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from apollo_data.settings import load_settings
from apollo_model.training.run import train
from apollo_model.training.step import StepResult, Trainer
from helpers.training_runs import Heard

torch.set_num_threads(1)
config, shards, out, stopped_rank = sys.argv[1:]
rank = int(os.environ.get("RANK", "0"))
taken = []


class Watched(Trainer):
    """Keeps the first step's gradients as the optimiser gets them."""

    def take_step(self, batches: list) -> StepResult:
        result = super().take_step(batches)
        if self.steps == 2 and rank == int(stopped_rank):
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    def _update(self, name: str, module: torch.nn.Module) -> torch.Tensor:
        if self.steps == 0:
            taken.append({key: value.grad.clone() for key, value in module.named_parameters()})
        return super()._update(name, module)


import apollo_model.training.run as run_module  # noqa: E402

run_module.Trainer = Watched
report = train(load_settings(Path(config)), Path(shards), Path(out), Heard(), device="cpu")
if taken:
    torch.save(taken, f"{out}/gradients-{rank}.pt")
Path(f"{out}/report-{rank}.json").write_text(
    json.dumps({"steps": report.steps, "scores": report.best_scores, "stopped": report.stopped_by})
)
