"""The adversary of the paper: discriminators with least-squares losses (paper, section II-C).

`Adversary` is the base class; `wasserstein_adversary` has SR-GAN's.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from apollo_data.settings.model_sections import LossSettings
from apollo_model.network.discriminator import Discriminator
from apollo_model.training.losses import (
    discriminator_loss,
    feature_matching_loss,
    generator_adversarial_loss,
)


class Adversary(nn.Module, ABC):
    """A discriminator and its losses as one module, whose gradients are averaged together.

    Sounds are (batch, 2, samples). `first` says that a batch is the first one of its step.
    """

    discriminator: nn.Module

    def begin_step(self, number: int) -> None:
        """Prepare for a step: whatever is drawn at random in it follows from `number`."""
        del number

    @abstractmethod
    def forward(self, estimate: Tensor, clean: Tensor, coded: Tensor, first: bool) -> Tensor:
        """Return the discriminator's loss; the estimate is detached."""

    @abstractmethod
    def generator_terms(
        self, estimate: Tensor, clean: Tensor, coded: Tensor, first: bool
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the network's loss."""


class LeastSquares(Adversary):
    """LSGAN and feature matching on the discriminators of the paper's Table I."""

    discriminator: Discriminator

    def __init__(self, weights: LossSettings) -> None:
        super().__init__()
        self.discriminator = Discriminator()
        self._weights = weights

    def forward(self, estimate: Tensor, clean: Tensor, coded: Tensor, first: bool) -> Tensor:
        """Return the discriminator's loss.

        In training mode spectral normalisation takes a step of its power iteration. It takes
        one in each update, at its first batch, however many batches there are.
        """
        del coded
        self.discriminator.train(first)
        real, _ = self.discriminator(clean)
        self.discriminator.eval()
        fake, _ = self.discriminator(estimate)
        return discriminator_loss(fake, real)

    def generator_terms(
        self, estimate: Tensor, clean: Tensor, coded: Tensor, first: bool
    ) -> dict[str, Tensor]:
        """Return the adversarial and the feature-matching term."""
        del coded
        self.discriminator.train(first)
        fake_scores, fake_features = self.discriminator(estimate)
        self.discriminator.eval()
        with torch.no_grad():
            _, real_features = self.discriminator(clean)
        adversarial = generator_adversarial_loss(fake_scores)
        matching = feature_matching_loss(fake_features, real_features)
        return {
            "adversarial": self._weights.adversarial * adversarial,
            "feature_matching": self._weights.feature_matching * matching,
        }
