"""SR-GAN's critic: scores how much a sound is like undistorted music, beside the coded one.

The encoder is the generator's. The gated convolutions keep the time, and have skips.
"""

import torch
from torch import Tensor, nn

from apollo_model.network.srgan import (
    GATED_DILATIONS,
    Encoder,
    GatedConvolution,
    check_sizes,
    spectrum_planes,
)

# Scaled planes grow as the square root from here on and evenly below, so that a silent bin has
# a gradient. It is the level of the rounding noise of 16-bit sound.
_QUIET = 2.5e-4


class SrGanCritic(nn.Module):
    """Scores sound by its scaled spectrum; sizes as in `SrGan`.

    Examples
    --------
    >>> critic = SrGanCritic(planes=2, feature_dim=4, rows=2)
    >>> sound = critic.planes(torch.zeros(2, 4410))
    >>> critic(sound, sound).shape
    torch.Size([2])
    """

    def __init__(self, planes: int = 38, feature_dim: int = 256, rows: int = 32) -> None:
        super().__init__()
        check_sizes(planes, feature_dim, rows)
        self.encoder = Encoder(4, planes, feature_dim, rows)
        inputs = (feature_dim, *[feature_dim // 2] * (len(GATED_DILATIONS) - 1))
        self.gated = nn.ModuleList(
            GatedConvolution(size, feature_dim, dilation, pad_time=True)
            for size, dilation in zip(inputs, GATED_DILATIONS, strict=True)
        )
        self.score = nn.Conv2d(feature_dim // 2, 1, 1)

    def planes(self, waveform: Tensor) -> Tensor:
        """Return scaled planes, (items, 2, bins, frames), of (items, samples)."""
        planes = spectrum_planes(waveform)
        return planes * (planes.square() + _QUIET**2).pow(-0.25)

    def forward(self, judged: Tensor, coded: Tensor) -> Tensor:
        """Return scores, (items,), of planes beside those of the coded sound."""
        features = self.encoder(torch.cat((judged, coded), 1), time_padding=1)
        features = self.gated[0](features)
        for gated in list(self.gated)[1:]:
            features = features + gated(features)
        scores: Tensor = self.score(features).float().mean((1, 2, 3))
        return scores
