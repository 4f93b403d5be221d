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
from apollo_model.training import run as run_module
from apollo_model.training.step import StepResult, Trainer
from helpers.training_runs import Heard

rank = int(os.environ.get("RANK", "0"))
taken = []


class Watched(Trainer):
    """Keeps the first step's gradients as the optimiser gets them."""

    def take_step(self, batches: list) -> StepResult:
        result = super().take_step(batches)
        if self.steps == 2 and rank == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    def _update(self, name: str, module: torch.nn.Module) -> torch.Tensor:
        if self.steps == 0:
            taken.append({key: value.grad.clone() for key, value in module.named_parameters()})
        return super()._update(name, module)


def main(config: Path, shards: Path, out: Path) -> None:
    torch.set_num_threads(1)
    run_module.Trainer = Watched
    report = run_module.train(load_settings(config), shards, out, Heard(), device="cpu")
    if taken:
        torch.save(taken, f"{out}/gradients-{rank}.pt")
    values = {"steps": report.steps, "scores": report.best_scores, "stopped": report.stopped_by}
    Path(f"{out}/report-{rank}.json").write_text(json.dumps(values))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
