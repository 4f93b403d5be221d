"""One step of adversarial training, and the state that it changes (paper, section III-C).

The discriminator is updated first, then the network against the updated discriminator. With
several batches to a step (`accumulate_steps`) all of them are seen by one state of the
discriminator, so that the result is that of one step on several processes.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from apollo_data.errors import DataError
from apollo_data.settings import Settings
from apollo_model.checkpoint.kinds import KINDS
from apollo_model.dataset import Pair
from apollo_model.network.base import Network
from apollo_model.network.precision import autocast, choose_training_dtype
from apollo_model.training.distributed import World, without_averaging
from apollo_model.training.least_squares_adversary import Adversary, LeastSquares
from apollo_model.training.losses import spectral_loss, waveform_loss
from apollo_model.training.wasserstein_adversary import Wasserstein

GENERATOR, DISCRIMINATOR = "generator", "discriminator"

Losses = dict[str, float]


@dataclass(frozen=True)
class StepResult:
    """What a step gave, on the device: reading it waits for the device.

    Attributes
    ----------
    losses
        This process's weighted terms, their sum `generator`, and `discriminator`.
    norms
        By network: the norm of the gradient, averaged over the processes, before clipping.
        Where it is not finite the network was left as it was.
    """

    losses: dict[str, Tensor] = field(default_factory=dict)
    norms: dict[str, Tensor] = field(default_factory=dict)


class Trainer:
    """The networks, their optimisers and one training step.

    Without a weight for the adversarial or the feature-matching term there is no
    discriminator.

    Parameters
    ----------
    settings
        The pipeline's.
    world
        The device, and the processes that train together; one CPU if not given.
    network
        To begin with; a new one of the settings' size if not given.

    Raises
    ------
    DataError
        No term of the loss has a weight, or the adversary does not fit the network.
    """

    def __init__(
        self, settings: Settings, world: World | None = None, network: Network | None = None
    ) -> None:
        training = settings.training
        if not any(training.loss.model_dump().values()):
            raise DataError("training.loss: every weight is 0, so there is nothing to learn")
        self.settings = training
        self.world = world or World(torch.device("cpu"))
        self.device = self.world.device
        self.dtype = choose_training_dtype(training.dtype, self.device)
        self.steps = 0
        torch.manual_seed(training.seed)
        self.network = (network or new_network(settings)).to(self.device).train()
        self.network.activation_checkpointing = training.activation_checkpointing
        self.optimisers = {GENERATOR: self._optimiser(self.network, GENERATOR)}
        self.adversary = _new_adversary(settings)
        self.discriminator: nn.Module | None = None
        if self.adversary is not None:
            self.discriminator = self.adversary.to(self.device).discriminator
            self.optimisers[DISCRIMINATOR] = self._optimiser(self.discriminator, DISCRIMINATOR)
        self.schedules = {
            name: torch.optim.lr_scheduler.StepLR(optimiser, training.decay_epochs, training.decay)
            for name, optimiser in self.optimisers.items()
        }
        self.average = Average(self.network, training.ema_decay) if training.ema_decay else None
        if training.compile:
            self.network.compile()
        self._restore = self.world.replicate(self.network)
        if self.adversary is not None:
            self._judge = self.world.replicate(self.adversary)

    @property
    def restorer(self) -> Network:
        """The network to validate and keep: the average over the steps, if there is one."""
        return self.average.network if self.average else self.network

    @property
    def learning_rates(self) -> dict[str, float]:
        """By network."""
        return {
            name: float(optimiser.param_groups[0]["lr"])
            for name, optimiser in self.optimisers.items()
        }

    def _optimiser(self, module: nn.Module, name: str) -> torch.optim.AdamW:
        # The fused form is the one that can skip a step without asking the device first.
        return torch.optim.AdamW(
            module.parameters(),
            lr=getattr(self.settings, f"{name}_learning_rate"),
            betas=self.settings.betas,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    def step(self, coded: Tensor, clean: Tensor) -> Losses:
        """Take a step on one batch of (batch, 2, samples), and return its losses."""
        losses = self.take_step([(coded, clean)]).losses
        return {name: float(value) for name, value in losses.items()}

    def take_step(self, batches: Sequence[Pair]) -> StepResult:
        """Update the discriminator, then the network, on batches of (batch, 2, samples).

        A network whose gradient is not finite is left as it was.
        """
        result = StepResult()
        only_discriminator = self._skips_network()
        for module in (self.network, self.adversary):
            if module is not None:
                module.begin_step(self.steps * self.world.ranks + self.world.rank)
        # One batch: the discriminator judges the very estimate that the network learns from.
        share = len(batches) == 1 and not only_discriminator
        estimates = self._train_discriminator(batches, share, result)
        if not only_discriminator:
            self._train_generator(batches, estimates if share else None, result)
        self.steps += 1
        return result

    def _skips_network(self) -> bool:
        """Tell whether the step is one of the discriminator alone."""
        training, step = self.settings, self.steps + 1
        if self.adversary is None:
            return False
        if step <= training.discriminator_warmup_steps:
            return True
        return (step - training.discriminator_warmup_steps) % training.discriminator_steps != 0

    def _train_discriminator(
        self, batches: Sequence[Pair], share: bool, result: StepResult
    ) -> list[Tensor] | None:
        """Update the discriminator; return the estimates, with their graph, if `share`."""
        if self.discriminator is None:
            return None
        estimates = []
        total = torch.zeros((), device=self.device)
        for number, (coded, clean) in enumerate(batches):
            last = number == len(batches) - 1
            with self._autocast():
                with torch.set_grad_enabled(share):
                    estimate = (self._restore if share else self.network)(coded)
                with without_averaging(self._judge, not last):
                    judged = self._judge(estimate.detach(), clean, coded, number == 0)
                    loss = judged / len(batches)
                    loss.backward()
            total += loss.detach()
            if share:
                estimates.append(estimate)
        result.losses[DISCRIMINATOR] = total
        result.norms[DISCRIMINATOR] = self._update(DISCRIMINATOR, self.discriminator)
        return estimates

    def _train_generator(
        self, batches: Sequence[Pair], estimates: list[Tensor] | None, result: StepResult
    ) -> None:
        if self.discriminator is not None:
            self.discriminator.requires_grad_(False)  # its weights need no gradient here
        sums: dict[str, Tensor] = {}
        for number, (coded, clean) in enumerate(batches):
            last = number == len(batches) - 1
            with without_averaging(self._restore, not last):
                with self._autocast():
                    estimate = estimates[number] if estimates else self._restore(coded)
                    terms = self._generator_terms(estimate, clean, coded, number == 0)
                    total = torch.stack(list(terms.values())).sum() / len(batches)
                total.backward()
            for name, value in {**terms, GENERATOR: total * len(batches)}.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(batches)
        if self.discriminator is not None:
            self.discriminator.requires_grad_(True)
        result.losses.update(sums)
        result.norms[GENERATOR] = self._update(GENERATOR, self.network)
        if self.average:
            self.average.update(self.network)

    def _generator_terms(
        self, estimate: Tensor, clean: Tensor, coded: Tensor, first: bool
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the generator's loss; only those with a weight."""
        weights = self.settings.loss
        terms: dict[str, Tensor] = {}
        if self.adversary is not None:
            terms = self.adversary.generator_terms(estimate, clean, coded, first)
        if weights.reconstruction:
            terms["reconstruction"] = weights.reconstruction * spectral_loss(estimate, clean)
        if weights.waveform:
            terms["waveform"] = weights.waveform * waveform_loss(estimate, clean)
        return terms

    def _update(self, name: str, module: nn.Module) -> Tensor:
        """Take one clipped step, unless the gradient is not finite; return its norm."""
        optimiser = self.optimisers[name]
        norm = nn.utils.clip_grad_norm_(module.parameters(), self.settings.gradient_norm)
        # What torch.amp's GradScaler sets: the fused optimiser then leaves everything as it is.
        optimiser.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return norm

    def _autocast(self) -> Any:
        return autocast(self.device, self.dtype)

    def end_epoch(self) -> None:
        """Let the learning rates fall as the settings say."""
        for schedule in self.schedules.values():
            schedule.step()

    def state(self) -> dict[str, Any]:
        """Return everything that a later process needs to go on."""
        return {
            "steps": self.steps,
            "networks": {name: module.state_dict() for name, module in self._modules().items()},
            "optimisers": {name: item.state_dict() for name, item in self.optimisers.items()},
            "schedules": {name: item.state_dict() for name, item in self.schedules.items()},
            "average": self.average.state_dict() if self.average else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a saved state, of a process on any device."""
        self.steps = int(state["steps"])
        for name, module in self._modules().items():
            module.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
            self.schedules[name].load_state_dict(state["schedules"][name])
        if self.average:
            self.average.load_state_dict(state["average"])

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {GENERATOR: self.network}
        if self.discriminator is not None:
            modules[DISCRIMINATOR] = self.discriminator
        return modules


class Average:
    """The exponential moving average of a network's weights over the steps.

    The decay rises to its value, ``min(decay, (1 + n) / (10 + n))`` in update n, so that the
    first weights are forgotten.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take in the network's weights."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        own: list[Tensor] = list(self.network.parameters())
        new: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(own, new, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and how far it is."""
        return {"updates": self._updates, "weights": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved average."""
        self._updates = int(state["updates"])
        self.network.load_state_dict(state["weights"])


def _new_adversary(settings: Settings) -> Adversary | None:
    training = settings.training
    if not (training.loss.adversarial or training.loss.feature_matching):
        return None
    if training.adversary == "wgan_gp":
        if settings.network.kind != "srgan":
            raise DataError(
                "training.adversary: wgan_gp is the critic of an SR-GAN network; set "
                'network.kind = "srgan", or adversary = "lsgan"'
            )
        return Wasserstein(settings)
    return LeastSquares(training.loss)


def new_network(settings: Settings) -> Network:
    """Return a network of the settings' kind and size, with random weights."""
    kind = KINDS[settings.network.kind]
    return kind.network(sample_rate=settings.sample_rate, **settings.network.size)
