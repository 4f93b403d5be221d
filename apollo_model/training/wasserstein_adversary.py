"""SR-GAN's adversary: a critic trained by the Wasserstein distance with a gradient penalty.

Source: Gulrajani et al. 2017 (arXiv 1704.00028), equation 3, with the weight 100 of SR-GAN.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from apollo_data.random_streams import generator
from apollo_data.settings import Settings
from apollo_model.network.srgan_critic import SrGanCritic
from apollo_model.training.least_squares_adversary import Adversary

PENALTY_WEIGHT = 100.0


class Wasserstein(Adversary):
    """The critic of SR-GAN, in the size of the settings' network."""

    discriminator: SrGanCritic

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        size = settings.network.srgan_size
        self.discriminator = SrGanCritic(size.planes, size.feature_dim, size.rows)
        self._weight = settings.training.loss.adversarial
        self._seed = settings.training.seed
        self._step, self._draws = 0, 0

    def begin_step(self, number: int) -> None:
        """Let the points at which gradients are penalised follow from `number`."""
        self._step, self._draws = number, 0

    def forward(self, estimate: Tensor, clean: Tensor, coded: Tensor, first: bool) -> Tensor:
        """Return mean D(estimate) - mean D(clean) + 100 times the gradient penalty."""
        del first
        fake, real, beside = (self._planes(sound) for sound in (estimate, clean, coded))
        distance = self.discriminator(fake, beside).mean() - self.discriminator(real, beside).mean()
        self._draws += 1
        stream = generator(self._seed, f"gradient penalty {self._step}", self._draws)
        shares = torch.from_numpy(stream.random(len(fake))).to(fake)
        penalty = gradient_penalty(
            lambda planes: self.discriminator(planes, beside), fake, real, shares
        )
        return distance + PENALTY_WEIGHT * penalty

    def generator_terms(
        self, estimate: Tensor, clean: Tensor, coded: Tensor, first: bool
    ) -> dict[str, Tensor]:
        """Return the adversarial term: minus the mean score."""
        del clean, first
        scores = self.discriminator(self._planes(estimate), self._planes(coded))
        return {"adversarial": -self._weight * scores.mean()}

    def _planes(self, sound: Tensor) -> Tensor:
        return self.discriminator.planes(sound.flatten(0, 1))


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], fake: Tensor, real: Tensor, shares: Tensor
) -> Tensor:
    """Return the mean of (|gradient| - 1)^2 at points between `fake` and `real`.

    Parameters
    ----------
    critic
        Returns a score for each item.
    fake, real
        (items, ...), without gradients of their own.
    shares
        (items,) in 0..1: how much of a point is `real`.

    Returns
    -------
    Tensor
        A scalar with a gradient for the critic's weights.
    """
    share = shares.view(-1, *[1] * (fake.dim() - 1))
    with torch.enable_grad():
        points = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
        (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    norms = torch.linalg.vector_norm(slopes.float().flatten(1), dim=1)
    return (norms - 1).square().mean()
