"""Does it learn at all? One batch, again and again."""

from pathlib import Path

import torch
from torch import Tensor

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.settings import Settings
from apollo_model.checkpoint.formats import load_network
from apollo_model.dataset import to_float
from apollo_model.dataset.batch import collate_pairs
from apollo_model.evaluation.metrics import is_silent, si_snr
from apollo_model.network.base import Network
from apollo_model.network.memory import keep_freed_memory
from apollo_model.network.precision import choose_device
from apollo_model.training.distributed import World
from apollo_model.training.guards import check_crop, explained
from apollo_model.training.run import training_set
from apollo_model.training.step import Trainer

STEPS = 300
_SHOWN_EVERY = 25


def overfit_one_batch(
    settings: Settings,
    shards: Path,
    console: Console,
    *,
    init: str | None = None,
    device: str = "auto",
    steps: int = STEPS,
) -> float:
    """Train on one batch alone, and return by how many dB its SI-SNR then exceeds the codec's.

    A network, a loss and a learning rate that fit one another gain many dB; a network that
    does not learn one batch will learn nothing else. Nothing is written.

    Parameters
    ----------
    settings, shards, init, device
        As for `train`.
    steps
        How many steps to take.

    Raises
    ------
    DataError
        There are no shards, or all targets of the batch are silent.
    ToolError
        There is no such device, or memory runs out.
    """
    keep_freed_memory()
    with explained(settings):
        dataset = training_set(settings, shards)
        check_crop(settings, dataset.samples)
        size = min(settings.training.batch_size, len(dataset))
        world = World(choose_device(device))
        network = load_network(init) if init else None
        trainer = Trainer(settings, world, network)
        batch = collate_pairs(dataset.__getitems__(range(size)))
        coded, clean = to_float(batch, trainer.device)
        sounding = [n for n in range(size) if not is_silent(clean[n])]
        if not sounding:
            raise DataError(f"{dataset.name_of(0)}: this batch is silent, so nothing can be learnt")
        codec = _score(coded[sounding], clean[sounding])
        with console.progress("one batch", steps, "steps") as advance:
            for number in range(1, steps + 1):
                losses = trainer.take_step([(coded, clean)]).losses
                advance(1)
                if number % _SHOWN_EVERY == 0:
                    gain = _gain(trainer.network, coded[sounding], clean[sounding], codec)
                    shown = ", ".join(f"{name} {float(loss):.3f}" for name, loss in losses.items())
                    console.note(f"step {number}: {gain:+.2f} dB over the codec; {shown}")
        return _gain(trainer.network, coded[sounding], clean[sounding], codec)


@torch.inference_mode()
def _gain(network: Network, coded: Tensor, clean: Tensor, codec: float) -> float:
    network.eval()
    estimate = network(coded)
    network.train()
    finite = bool(torch.isfinite(estimate).all())
    return _score(estimate, clean) - codec if finite else float("nan")


def _score(estimate: Tensor, clean: Tensor) -> float:
    return float(si_snr(estimate, clean).mean())
