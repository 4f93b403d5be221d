"""One adversarial training step with the paper's losses, for any network."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from apollo_model.network.discriminator import Discriminator
from apollo_model.training.losses import (
    discriminator_loss,
    feature_matching_loss,
    generator_adversarial_loss,
    spectral_loss,
)

_CLIP = 5.0
_RATE = 44100


class PaperStep:
    """Updates the discriminator, then the network, on noise of (batch, 2, seconds).

    Without `adversarial` there is the reconstruction loss alone, as in a small network's training.
    """

    def __init__(
        self,
        network: nn.Module,
        batch: int = 1,
        seconds: float = 1.0,
        adversarial: bool = True,
        autocast: Callable[[], AbstractContextManager[object]] | None = None,
    ) -> None:
        device = next(network.parameters()).device
        generator = torch.Generator().manual_seed(0)
        shape = (2, batch, 2, round(seconds * _RATE))
        self._coded, self._clean = (0.1 * torch.randn(shape, generator=generator)).to(device)
        self._network = network
        self._autocast = autocast or torch.enable_grad
        self._critics = Discriminator().to(device) if adversarial else None
        modules = [network, *([self._critics] if self._critics else [])]
        self._optimisers = [
            torch.optim.AdamW(module.parameters(), lr=rate, betas=(0.5, 0.99))
            for module, rate in zip(modules, (1e-3, 1e-4), strict=False)
        ]

    def __call__(self) -> None:
        """Take one step."""
        with self._autocast():
            estimate = self._network(self._coded)
        loss = spectral_loss(estimate, self._clean)
        if self._critics is not None:
            real, _ = self._critics(self._clean)
            fake, _ = self._critics(estimate.detach())
            self._update(1, self._critics, discriminator_loss(fake, real))
            scores, features = self._critics(estimate)
            with torch.no_grad():
                _, wanted = self._critics(self._clean)
            loss = loss + generator_adversarial_loss(scores)
            loss = loss + feature_matching_loss(features, wanted)
        self._update(0, self._network, loss)

    def _update(self, number: int, module: nn.Module, loss: Tensor) -> None:
        self._optimisers[number].zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), _CLIP)
        self._optimisers[number].step()
