"""The adversary: one convolutional critic for each STFT window (paper, Table I)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
"""STFT windows in samples, of the discriminators and of the reconstruction loss; hops are half."""
CHANNELS = 2
STRIDES = (1, 2, 1, 2, 1, 2)
SLOPE = 0.2
_SILENCE_NORM = 1e-4


class Discriminator(nn.Module):
    """Rates stereo audio on several time-frequency grids at once.

    Parameters
    ----------
    windows : sequence of int
        STFT windows in samples, one critic each; the hop is half the window.
    channels : int
        F, the planes after the first convolution; each of the next five doubles them.

    Raises
    ------
    ValueError
        `forward` gets audio that is not stereo, or too short for the longest window.

    Examples
    --------
    >>> scores, features = Discriminator(windows=(32, 64))(torch.randn(1, 2, 4410))
    >>> len(scores), len(features[0]), features[0][5].shape[1]
    (2, 6, 256)
    """

    def __init__(self, windows: Sequence[int] = WINDOWS, channels: int = 8) -> None:
        super().__init__()
        if not windows:
            raise ValueError("a discriminator needs at least one window")
        self.windows = tuple(windows)
        self.discriminators = nn.ModuleList(_Critic(window, channels) for window in self.windows)

    def forward(self, audio: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Return one map of scores and six feature maps for each window.

        Parameters
        ----------
        audio : Tensor
            (batch, 2, samples). The first convolution reads the real and imaginary parts
            of two channels, so the caller must duplicate a mono channel.

        Returns
        -------
        scores : list of Tensor
            (batch, 1, bins / 8, frames / 8): 1 is undistorted, 0 is not.
        features : list of list of Tensor
            Each layer's output after its LeakyReLU.
        """
        if audio.dim() != 3 or audio.shape[1] != CHANNELS:
            raise ValueError(f"audio must be (batch, 2, samples), found {tuple(audio.shape)}")
        if audio.shape[-1] <= max(self.windows) // 2:
            raise ValueError(
                f"a window of {max(self.windows)} needs more than {max(self.windows) // 2} samples,"
                f" found {audio.shape[-1]}"
            )
        audio = audio.float()
        level = torch.linalg.vector_norm(audio, dim=(1, 2), keepdim=True)
        audio = audio / level.clamp(min=_SILENCE_NORM)
        judged = [critic(audio) for critic in self.discriminators]
        return [score for score, _ in judged], [features for _, features in judged]


class _Critic(nn.Module):
    """Six 3x3 convolutions with spectral norm on one STFT, and a plain one to a map of scores."""

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.window = window
        planes = [2 * CHANNELS, *(channels * 2**layer for layer in range(len(STRIDES)))]
        self.discriminator = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(planes[layer], planes[layer + 1], 3, stride, padding=1)),
                nn.LeakyReLU(SLOPE),
            )
            for layer, stride in enumerate(STRIDES)
        )
        self.discriminator.append(nn.Conv2d(planes[-1], 1, 3, padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        maps = self._planes(audio)
        features = []
        for layer in self.discriminator:
            maps = layer(maps)
            features.append(maps)
        return features.pop(), features

    def _planes(self, audio: Tensor) -> Tensor:
        """Return (batch, 4, bins, frames): real and imaginary left, real and imaginary right."""
        with torch.autocast(audio.device.type, enabled=False):
            spectrum = torch.stft(
                audio.flatten(0, 1),
                self.window,
                self.window // 2,
                window=torch.hann_window(self.window, device=audio.device),
                return_complex=True,
            )
        parts = torch.view_as_real(spectrum).unflatten(0, (-1, CHANNELS))  # (batch, 2, b, f, 2)
        return parts.permute(0, 1, 4, 2, 3).flatten(1, 2)
