"""SR-GAN's generator, the paper's baseline (Lattner and Nistal 2021, Electronics 10(11):1349).

A stack of convolutions on a scaled spectrum: an encoder that turns each frame into a small map
of features, gated convolutions over many frames with noise beside the features, and a decoder
that mirrors the encoder. docs/baselines.md says what is from the source and what is our reading.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from apollo_data.random_streams import generator
from apollo_model.network.base import Network

WINDOW = 2048
HOP = 512
BINS = 1024
"""The bin at half the sample rate is left out; it is zero in the output."""

DILATIONS = (1, 2, 4)
"""Of the encoder's 3x3 convolutions; the decoder's are the same in reverse."""

GATED_DILATIONS = (2, 4, 8, 16, 1, 2, 4, 8, 16)
LOST_FRAMES = 1 + sum(GATED_DILATIONS)
"""Frames that the middle consumes on each side: 62."""

_KERNEL = 3
_NOISE_SHARE = 4  # 64 noise channels beside 256 features
_FIRST_PLANES = 18 / 38
_PRELU_SLOPE = 0.25  # torch's own, before training
# Before training. The output is a square, whose slope at silence is 0: a network that begins
# too quiet ends in silence.
_OUTPUT_GAIN = 4.0


class SrGan(Network):
    """Restores coded music with noise: (batch, channels, samples) in, the same shape out.

    Every channel is its own item. In training each item gets a noise vector of its own; in
    use all items get the one that follows from `noise_seed`, so that a result does not depend
    on how the sound is cut into chunks and batches.

    Parameters
    ----------
    sample_rate : int
        In Hz. The STFT has 2048 samples and a hop of 512 at any rate.
    planes : int
        Maps that the encoder's last 3x3 convolution makes; the first makes 18/38 of it.
    feature_dim : int
        Features of the middle: a multiple of 4, since a quarter as many noise channels are added.
    rows : int
        Positions over the frequency that are left in the middle.
    noise_seed : int
        Noise in use follows from it. It changes the result, so a checkpoint must say it.

    Raises
    ------
    ValueError
        The sizes cannot be built; or `forward` gets audio of another rank or of no samples.

    Examples
    --------
    >>> network = SrGan(planes=2, feature_dim=4, rows=2)
    >>> network(torch.zeros(1, 2, 4410)).shape
    torch.Size([1, 2, 4410])
    """

    def __init__(
        self,
        sample_rate: int = 44100,
        planes: int = 38,
        feature_dim: int = 256,
        rows: int = 32,
        noise_seed: int = 0,
    ) -> None:
        super().__init__()
        check_sizes(planes, feature_dim, rows)
        self.sample_rate = sample_rate
        self.planes = planes
        self.feature_dim = feature_dim
        self.rows = rows
        self.noise_seed = noise_seed
        self.causal = False
        self.activation_checkpointing = False
        self.window_samples = WINDOW
        self.hop_samples = HOP
        self.noise_channels = feature_dim // _NOISE_SHARE
        self._step, self._draws = 0, 0
        self.encoder = Encoder(2, planes, feature_dim, rows)
        self.middle = _Middle(feature_dim, self.noise_channels)
        self.decoder = _Decoder(planes, feature_dim, rows)
        _keep_levels(self)
        with torch.no_grad():
            list(self.decoder.convolutions.parameters())[-2].mul_(_OUTPUT_GAIN)

    @property
    def settings(self) -> dict[str, int | bool]:
        """The constructor's arguments."""
        names = ("sample_rate", "planes", "feature_dim", "rows", "noise_seed")
        return {name: getattr(self, name) for name in names}

    @property
    def context_frames(self) -> int:
        """STFT frames that an output frame sees on each side: 7 + 62 + 7."""
        return LOST_FRAMES + 2 * sum(DILATIONS)

    @property
    def core(self) -> nn.Module:
        """All of it but the STFT."""
        return self

    def begin_step(self, number: int) -> None:
        """Let the noise of the next passes in training mode follow from `number`."""
        self._step, self._draws = number, 0

    def forward(self, audio: Tensor) -> Tensor:
        """Restore `audio`, (batch, channels, samples) at `sample_rate`, to the same shape."""
        if audio.dim() != 3 or audio.numel() == 0:
            found = tuple(audio.shape)
            raise ValueError(f"audio must be (batch, channels, samples), none 0, found {found}")
        samples = audio.shape[-1]
        restored = self.restore_planes(self._analyse(audio.flatten(0, 1)))
        return self._synthesise(restored, samples).view_as(audio).to(audio.dtype)

    def restore_planes(self, planes: Tensor) -> Tensor:
        """Restore scaled planes, (items, 2, bins, frames + 124), to (items, 2, bins, frames)."""
        planes = planes.to(self.encoder.collapse.weight.dtype)
        noise = self._noise(len(planes)).to(planes)
        features = self._run(self.encoder, planes)  # (items, N, rows, frames + 124)
        features = self._run(self.middle, features, noise)  # (items, N / 2, rows, frames)
        restored: Tensor = self._run(self.decoder, features)
        return restored

    def _run(self, part: nn.Module, *inputs: Tensor) -> Any:
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(part, *inputs, use_reentrant=False)
        return part(*inputs)

    def _noise(self, items: int) -> Tensor:
        """Return N(0, 1) noise, (items, channels, 1, 1): one vector for all of an item."""
        if not self.training:
            drawn = generator(self.noise_seed, "srgan noise").standard_normal(self.noise_channels)
            return torch.from_numpy(drawn)[:, None, None].expand(items, -1, -1, -1)
        self._draws += 1
        stream = generator(self.noise_seed, f"srgan noise {self._step}", self._draws)
        return torch.from_numpy(stream.standard_normal((items, self.noise_channels, 1, 1)))

    def _analyse(self, waveform: Tensor) -> Tensor:
        """Return scaled planes of (items, samples), with the frames that the middle consumes.

        Zeros stand for the sound before the start and after the end.
        """
        samples = waveform.shape[-1]
        lost = LOST_FRAMES * HOP
        whole = math.ceil(samples / HOP) * HOP
        padded = F.pad(waveform.float(), (lost, lost + whole - samples))
        planes = spectrum_planes(padded)
        return planes.sign() * planes.abs().sqrt()

    def _synthesise(self, planes: Tensor, samples: int) -> Tensor:
        """Return the waveform, float32 (items, samples), of scaled planes."""
        planes = planes.float()
        planes = F.pad(planes * planes.abs(), (0, 0, 0, 1))  # the left-out bin
        with torch.autocast(planes.device.type, enabled=False):
            spectrum = torch.complex(planes[:, 0], planes[:, 1])
            window = torch.hann_window(WINDOW, device=planes.device)
            return torch.istft(spectrum, WINDOW, HOP, window=window, length=samples)


class Encoder(nn.Module):
    """From planes of a spectrum, (items, inputs, bins, frames), to (items, N, rows, frames).

    The 3x3 convolutions keep the size; then one of all bins gives each frame its features.
    """

    def __init__(self, inputs: int, planes: int, feature_dim: int, rows: int) -> None:
        super().__init__()
        self.rows = rows
        sizes = (inputs, first_planes(planes), planes, planes)
        self.convolutions = nn.ModuleList(
            _same_size(sizes[layer], sizes[layer + 1], dilation)
            for layer, dilation in enumerate(DILATIONS)
        )
        self.collapse = nn.Conv2d(planes, rows * feature_dim // 2, (BINS, 1))
        self.widen = nn.Conv2d(feature_dim // 2, feature_dim, 1)
        self.enter = nn.Conv2d(feature_dim, feature_dim, _KERNEL, padding=(1, 0))
        self.activation = nn.PReLU()

    def forward(self, planes: Tensor, time_padding: int = 0) -> Tensor:
        """Return the features; without `time_padding` a frame is lost on each side."""
        for convolution in self.convolutions:
            planes = self.activation(convolution(planes))
        # A kernel of all bins is a matrix product, which is computed faster.
        columns = planes.flatten(1, 2).transpose(1, 2)  # (items, frames, planes * bins)
        collapsed = F.linear(columns, self.collapse.weight.flatten(1), self.collapse.bias)
        features = self.activation(collapsed).transpose(1, 2).unflatten(1, (-1, self.rows))
        features = F.pad(self.widen(features), (time_padding, time_padding))
        return self.activation(self.enter(features))


class GatedConvolution(nn.Module):
    """A dilated 3x3 convolution whose first half is gated by its second."""

    def __init__(self, inputs: int, feature_dim: int, dilation: int, pad_time: bool) -> None:
        super().__init__()
        padding = (dilation, dilation if pad_time else 0)
        self.convolution = nn.Conv2d(
            inputs, feature_dim, _KERNEL, padding=padding, dilation=dilation
        )
        self.activation = nn.PReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Return half the convolution's channels."""
        values, gates = self.convolution(features).chunk(2, 1)
        return self.activation(values) * gates.sigmoid()


class _Middle(nn.Module):
    """Gated convolutions over features and noise; 61 frames are lost on each side."""

    def __init__(self, feature_dim: int, noise_channels: int) -> None:
        super().__init__()
        inputs = (feature_dim + noise_channels, *[feature_dim // 2] * (len(GATED_DILATIONS) - 1))
        self.gated = nn.Sequential(
            *(
                GatedConvolution(size, feature_dim, dilation, pad_time=False)
                for size, dilation in zip(inputs, GATED_DILATIONS, strict=True)
            )
        )

    def forward(self, features: Tensor, noise: Tensor) -> Tensor:
        spread = noise.expand(-1, -1, *features.shape[2:])
        restored: Tensor = self.gated(torch.cat((features, spread), 1))
        return restored


class _Decoder(nn.Module):
    """From (items, N / 2, rows, frames) to planes, (items, 2, bins, frames)."""

    def __init__(self, planes: int, feature_dim: int, rows: int) -> None:
        super().__init__()
        self.spread = nn.ConvTranspose2d(rows * feature_dim // 2, planes, (BINS, 1))
        sizes = (planes, planes, first_planes(planes), 2)
        self.convolutions = nn.ModuleList(
            _same_size(sizes[layer], sizes[layer + 1], dilation)
            for layer, dilation in enumerate(reversed(DILATIONS))
        )
        self.activation = nn.PReLU()

    def forward(self, features: Tensor) -> Tensor:
        columns = features.flatten(1, 2).transpose(1, 2)  # (items, frames, rows * N / 2)
        product = columns @ self.spread.weight.flatten(1)
        planes = product.transpose(1, 2).unflatten(1, (-1, BINS))
        assert self.spread.bias is not None
        planes = planes + self.spread.bias[:, None, None]
        for convolution in self.convolutions:
            planes = convolution(self.activation(planes))
        return planes


def check_sizes(planes: int, feature_dim: int, rows: int) -> None:
    """Raise ValueError for sizes that cannot be built."""
    if planes < 2 or rows < 1 or feature_dim < _NOISE_SHARE or feature_dim % _NOISE_SHARE:
        raise ValueError(
            f"planes must be at least 2, rows at least 1, feature_dim a multiple of {_NOISE_SHARE},"
            f" found {planes}, {rows} and {feature_dim}"
        )


def _keep_levels(network: nn.Module) -> None:
    """Draw weights anew so that the features' level stays the same from layer to layer.

    The source does not say how it does. torch's own default loses a factor of three in each
    gated convolution, and neither the noise nor the encoder's features would reach the output.
    """
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            # The transposed kernel reaches each bin once, with one of its rows.
            spread = isinstance(part, nn.ConvTranspose2d)
            inputs = part.in_channels if spread else part.weight[0].numel()
            nn.init.normal_(part.weight, std=math.sqrt(2 / (1 + _PRELU_SLOPE**2) / inputs))
            assert part.bias is not None
            nn.init.zeros_(part.bias)
    for part in network.modules():
        if isinstance(part, GatedConvolution):
            with torch.no_grad():  # a gate is about 0.5
                part.convolution.weight[: part.convolution.out_channels // 2].mul_(2)


def first_planes(planes: int) -> int:
    """Return the maps of the encoder's first convolution."""
    return round(planes * _FIRST_PLANES)


def spectrum_planes(waveform: Tensor) -> Tensor:
    """Return real and imaginary parts, (items, 2, bins, frames), of (items, samples)."""
    with torch.autocast(waveform.device.type, enabled=False):
        spectrum = torch.stft(
            waveform.float(),
            WINDOW,
            HOP,
            window=torch.hann_window(WINDOW, device=waveform.device),
            pad_mode="constant",
            return_complex=True,
        )
    return torch.view_as_real(spectrum[:, :BINS]).permute(0, 3, 1, 2)


def _same_size(inputs: int, outputs: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, _KERNEL, padding=dilation, dilation=dilation)
