"""One step of adversarial training, and the state that it changes (paper, section III-C)."""

from typing import Any

import numpy as np
import torch

from apollo_data.errors import DataError
from apollo_data.settings import Settings
from apollo_model.dataset import ShardDataset
from apollo_model.evaluation.metrics import is_silent, si_snr
from apollo_model.network.apollo import Apollo
from apollo_model.network.discriminator import Discriminator
from apollo_model.training.losses import (
    discriminator_loss,
    feature_matching_loss,
    generator_adversarial_loss,
    spectral_loss,
    waveform_loss,
)

_MAX_BAD_STEPS = 10

Losses = dict[str, float]


class Trainer:
    """The networks, their optimisers and one training step.

    Without a weight for the adversarial or the feature-matching term there is no
    discriminator.
    """

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        training, network = settings.training, settings.network
        self.settings = training
        self.device = torch.device(device)
        torch.manual_seed(training.seed)
        self.network = Apollo(
            sample_rate=settings.sample_rate,
            window_ms=network.window_ms,
            feature_dim=network.feature_dim,
            layers=network.layers,
            residual=network.residual,
        ).to(self.device)
        self.discriminator: Discriminator | None = None
        self.optimisers = [self._optimiser(self.network, training.generator_learning_rate)]
        if training.loss.adversarial or training.loss.feature_matching:
            self.discriminator = Discriminator().to(self.device)
            rate = training.discriminator_learning_rate
            self.optimisers.append(self._optimiser(self.discriminator, rate))
        self.schedules = [
            torch.optim.lr_scheduler.StepLR(optimiser, training.decay_epochs, training.decay)
            for optimiser in self.optimisers
        ]
        self._bad_steps = 0

    def _optimiser(self, module: torch.nn.Module, learning_rate: float) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            module.parameters(),
            lr=learning_rate,
            betas=self.settings.betas,
            weight_decay=self.settings.weight_decay,
        )

    def step(self, coded: torch.Tensor, clean: torch.Tensor) -> Losses:
        """Update the discriminator, then the network, on one batch of (batch, 2, samples)."""
        estimate = self.network(coded)
        losses: Losses = {}
        if self.discriminator is not None:
            losses["discriminator"] = self._step_discriminator(estimate.detach(), clean)
        terms = self._generator_terms(estimate, clean)
        total = torch.stack(list(terms.values())).sum()
        self._update(self.optimisers[0], self.network, total)
        losses |= {name: float(value.detach()) for name, value in terms.items()}
        losses["generator"] = float(total.detach())
        return losses

    def _step_discriminator(self, estimate: torch.Tensor, clean: torch.Tensor) -> float:
        assert self.discriminator is not None
        real, _ = self.discriminator(clean)
        fake, _ = self.discriminator(estimate)
        loss = discriminator_loss(fake, real)
        self._update(self.optimisers[1], self.discriminator, loss)
        return float(loss.detach())

    def _generator_terms(
        self, estimate: torch.Tensor, clean: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the weighted terms of the generator's loss; only those with a weight."""
        weights = self.settings.loss
        terms: dict[str, torch.Tensor] = {}
        if self.discriminator is not None:
            fake_scores, fake_features = self.discriminator(estimate)
            with torch.no_grad():
                _, real_features = self.discriminator(clean)
            terms["adversarial"] = weights.adversarial * generator_adversarial_loss(fake_scores)
            matching = feature_matching_loss(fake_features, real_features)
            terms["feature_matching"] = weights.feature_matching * matching
        if weights.reconstruction:
            terms["reconstruction"] = weights.reconstruction * spectral_loss(estimate, clean)
        if weights.waveform:
            terms["waveform"] = weights.waveform * waveform_loss(estimate, clean)
        if not terms:
            raise DataError("training.loss: every weight is 0, so there is nothing to learn")
        return terms

    def _update(
        self, optimiser: torch.optim.Optimizer, module: torch.nn.Module, loss: torch.Tensor
    ) -> None:
        """Take one clipped step; a step that is not finite is passed over, but not for ever."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), self.settings.gradient_norm)
        if torch.isfinite(norm):
            self._bad_steps = 0
            optimiser.step()
            return
        self._bad_steps += 1
        if self._bad_steps > _MAX_BAD_STEPS:
            raise DataError(
                f"training: {self._bad_steps} steps in a row gave no finite gradient; "
                "lower the learning rates"
            )

    def end_epoch(self) -> None:
        """Let the learning rates fall as the settings say."""
        for schedule in self.schedules:
            schedule.step()

    @torch.inference_mode()
    def validate(self, dataset: ShardDataset) -> float:
        """Return the mean negative SI-SNR in dB over a data set's pairs; silent targets apart."""
        self.network.eval()
        scores = []
        for index in range(len(dataset)):
            coded, clean = dataset[index]
            if is_silent(clean):
                continue
            estimate = self.network(coded[None].to(self.device))[0].cpu()
            scores.append(-float(si_snr(estimate, clean)))
        self.network.train()
        return float(np.mean(scores))

    def state(self) -> dict[str, Any]:
        """Return everything that a later process needs to go on."""
        modules = [self.network, *([self.discriminator] if self.discriminator else [])]
        return {
            "modules": [module.state_dict() for module in modules],
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "schedules": [schedule.state_dict() for schedule in self.schedules],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        modules = [self.network, *([self.discriminator] if self.discriminator else [])]
        for module, values in zip(modules, state["modules"], strict=True):
            module.load_state_dict(values)
        for optimiser, values in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(values)
        for schedule, values in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(values)
