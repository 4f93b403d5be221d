"""The published network in its plain form, channels first; our network is timed against it.

Both have the published parameter names, so they can hold the same weights.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apollo_model.network import Apollo

_HEADS = 8
_EPS = 1e-5
_GAIN_EPS = torch.finfo(torch.float32).eps


class PublishedApollo(nn.Module):
    """(batch, channels, samples) in, the same shape out; weights copied from `like`.

    Features lie as (items, bands, N, frames), 1x1 convolutions are `nn.Conv1d`, and every band has
    its own norm and convolution. The values are those of `Apollo`.
    """

    def __init__(self, like: Apollo) -> None:
        super().__init__()
        channels = like.feature_dim
        self.hop_samples = like.hop_samples
        self.band_bins = like.band_bins
        self.BN = nn.ModuleList(
            nn.Sequential(_Norm(2 * bins + 1), nn.Conv1d(2 * bins + 1, channels, 1))
            for bins in self.band_bins
        )
        self.net = nn.ModuleList(_Layer(channels) for _ in range(like.layers))
        self.output = nn.ModuleList(
            nn.Sequential(_Norm(channels), nn.Conv1d(channels, 4 * bins, 1), nn.GLU(1))
            for bins in self.band_bins
        )
        self.load_state_dict(like.state_dict())

    def forward(self, audio: Tensor) -> Tensor:
        """Restore `audio`."""
        batch, channels, samples = audio.shape
        whole = -(-samples // self.hop_samples) * self.hop_samples
        frame = {
            "n_fft": 2 * self.hop_samples,
            "hop_length": self.hop_samples,
            "window": torch.hann_window(2 * self.hop_samples, device=audio.device),
        }
        waveform = F.pad(audio.reshape(-1, samples), (0, whole - samples))
        spectrum = torch.stft(waveform, **frame, return_complex=True)  # (items, bins, frames)
        bands = spectrum.split(self.band_bins, 1)
        split = [layer(_levels(band)) for layer, band in zip(self.BN, bands, strict=True)]
        features = torch.stack(split, 1)  # (items, bands, N, frames)
        for layer in self.net:
            features = layer(features)
        restored = []
        for number, (layer, bins) in enumerate(zip(self.output, self.band_bins, strict=True)):
            real, imaginary = layer(features[:, number]).split(bins, 1)
            restored.append(torch.complex(real, imaginary))
        audio = torch.istft(torch.cat(restored, 1), **frame, length=samples)
        return audio.view(batch, channels, samples)


def _levels(band: Tensor) -> Tensor:
    """Return real and imaginary parts in units of the band's gain, and its logarithm."""
    gain = (band.abs().square().sum(1, keepdim=True) + _GAIN_EPS).sqrt()
    return torch.cat((band.real / gain, band.imag / gain, gain.log()), 1)


class _Norm(nn.Module):
    """RMSNorm over the channels of (items, channels, length)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        level = (features.square().mean(1, keepdim=True) + _EPS).sqrt()
        return features / level * self.weight[:, None]


class _Layer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.band_net = _Roformer(channels)
        blocks = nn.ModuleList(_Convolutions(channels) for _ in range(3))
        self.seq_net = nn.ModuleDict({"blocks": blocks})

    def forward(self, features: Tensor) -> Tensor:
        items, bands, channels, frames = features.shape
        rows = features.permute(0, 3, 2, 1).reshape(-1, channels, bands)
        rows = self.band_net(rows).view(items, frames, channels, bands)
        columns = rows.permute(0, 3, 2, 1).reshape(-1, channels, frames)
        for block in self.seq_net["blocks"].children():
            columns = block(columns)
        return columns.view(items, bands, channels, frames)


class _Convolutions(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(channels, channels, 7, padding=3, groups=channels),
            _Norm(channels),
            nn.Conv1d(channels, 4 * channels, 1),
            nn.SiLU(),
            nn.Conv1d(4 * channels, channels, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv(features)


class _Roformer(nn.Module):
    cos_freq: Tensor
    sin_freq: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input_norm = _Norm(channels)
        self.weight = nn.Conv1d(channels, 3 * channels, 1, bias=False)
        self.output = nn.Conv1d(channels, channels, 1, bias=False)
        self.MLP = nn.Sequential(
            _Norm(channels), nn.Conv1d(channels, 8 * channels, 1, bias=False), nn.SiLU()
        )
        self.MLP_output = nn.Conv1d(4 * channels, channels, 1, bias=False)
        self.register_buffer("cos_freq", torch.zeros(100, channels // _HEADS))
        self.register_buffer("sin_freq", torch.zeros(100, channels // _HEADS))

    def forward(self, features: Tensor) -> Tensor:
        rows, channels, bands = features.shape  # rows are frames
        projected = self.weight(self.input_norm(features)).view(rows, _HEADS, -1, bands)
        query, key, value = projected.transpose(2, 3).chunk(3, -1)  # (rows, 8, bands, N / 8)
        heads = F.scaled_dot_product_attention(self._turn(query), self._turn(key), value)
        joined = heads.transpose(2, 3).reshape(rows, channels, bands)
        features = features + self.output(joined)
        first, second = self.MLP(features).chunk(2, 1)
        return features + self.MLP_output(F.silu(first) * second)

    def _turn(self, pairs: Tensor) -> Tensor:
        bands = pairs.shape[2]
        even, odd = pairs[..., ::2], pairs[..., 1::2]
        crossed = torch.stack((-odd, even), -1).flatten(-2)
        return pairs * self.cos_freq[:bands] + crossed * self.sin_freq[:bands]
