"""Apollo, top to bottom: spectrum, band split, band-sequence blocks, reconstruction.

Parameter names and shapes are those of the published checkpoints. The memory layout is our own:
features lie channels-last, (items, frames, bands, N). So 1x1 convolutions are matrix products, and
nothing is transposed before the depthwise convolutions over time.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from apollo_model.network.base import Network
from apollo_model.network.cpu_training_passes import (
    NORM_EPS,
    ConvolutionFunction,
    RoformerFunction,
    written_out_serves,
)
from apollo_model.network.frame_blocks import WIDEST_FEATURES, in_blocks, on_cpu

BANDS = 80
HEADS = 8
ROTARY_POSITIONS = 100
KERNEL_FRAMES = 7
CONVOLUTIONS_PER_LAYER = 3
GAIN_EPS = torch.finfo(torch.float32).eps
RESIDUAL_FLOOR = 0.03  # of the frame's level
_norm = functools.partial(nn.RMSNorm, eps=NORM_EPS)
Memory = dict[nn.Module, Tensor]
_Affine = tuple[Tensor, Tensor]


class Apollo(Network):
    """Restores coded music: (batch, channels, samples) in, the same shape out.

    Every channel is its own item; channels do not see one another (paper, section II).

    Parameters
    ----------
    sample_rate, window_ms : int
        In Hz and milliseconds; the hop is half the STFT window.
    feature_dim : int
        N, the features of a band in a frame. A multiple of 16: 8 heads rotate pairs of features.
    layers : int
        B, the number of band-sequence blocks.
    residual : bool
        Predict a correction that is added to the input's spectrum, instead of a new spectrum
        (not in the paper). The correction of a bin is in units of its band's level, and zero
        before training. The weights do not show this setting, so a checkpoint must record it.
    causal : bool
        The convolutions over time see past frames only (the STFT half a window of future).

    Raises
    ------
    ValueError
        The sizes cannot be built; or `forward` gets audio of another rank or of no samples.

    Examples
    --------
    >>> network = Apollo(feature_dim=16, layers=1)
    >>> network(torch.zeros(1, 2, 4410)).shape
    torch.Size([1, 2, 4410])
    """

    def __init__(
        self,
        sample_rate: int = 44100,
        window_ms: int = 20,
        feature_dim: int = 256,
        layers: int = 6,
        residual: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if layers < 1 or feature_dim < 1 or feature_dim % (2 * HEADS):
            found = f"found {feature_dim} and {layers}"
            raise ValueError(f"feature_dim must be a multiple of 16, layers at least 1, {found}")
        self.sample_rate = sample_rate
        self.window_ms = window_ms
        self.feature_dim = feature_dim
        self.layers = layers
        self.residual = residual
        self.causal = causal
        self.activation_checkpointing = False
        # The window must be two hops, so an odd one (441 samples at 22.05 kHz) is rounded.
        self.hop_samples = round(sample_rate * window_ms / 2000)
        self.window_samples = 2 * self.hop_samples
        # The paper says 160 Hz; the published weights have bands of 5 bins (250 Hz) and a rest.
        width, rest = divmod(self.hop_samples + 1, BANDS)
        if width < 1:
            raise ValueError(f"{window_ms} ms at {sample_rate} Hz give fewer bins than {BANDS}")
        equal = BANDS - 1
        self.band_bins = (*[width] * equal, width + rest)
        # Bands of one width are computed together: (bands, bins, bins of one band).
        self._groups = (
            (slice(0, equal), slice(0, width * equal), width),
            (slice(equal, BANDS), slice(width * equal, None), width + rest),
        )
        self.BN = nn.ModuleList(_band(2 * bins + 1, feature_dim) for bins in self.band_bins)
        self.net = nn.ModuleList(_BandSequence(feature_dim, causal) for _ in range(layers))
        self.output = nn.ModuleList(_band(feature_dim, 4 * bins) for bins in self.band_bins)
        if residual:
            # Only the values of the gated units are zero. Their gates are random, so the values
            # have a gradient from the first step on.
            for band, bins in zip(self.output, self.band_bins, strict=True):
                _, weight, bias = band.parameters()
                nn.init.zeros_(weight[: 2 * bins])
                nn.init.zeros_(bias[: 2 * bins])

    @property
    def settings(self) -> dict[str, int | bool]:
        """The constructor's arguments."""
        names = ("sample_rate", "window_ms", "feature_dim", "layers", "residual", "causal")
        return {name: getattr(self, name) for name in names}

    @property
    def context_frames(self) -> int:
        """STFT frames that an output frame sees on each side: 54 for 6 layers.

        Each of the 18 convolutions of 7 frames adds 3, or 6 past frames in the causal form.
        """
        convolutions = self.layers * CONVOLUTIONS_PER_LAYER
        return convolutions * (KERNEL_FRAMES - 1) // (1 if self.causal else 2)

    @property
    def core(self) -> nn.Module:
        """The band-sequence blocks."""
        return self.net

    def forward(self, audio: Tensor) -> Tensor:
        """Restore `audio`, (batch, channels, samples) at `sample_rate`, to the same shape."""
        if audio.dim() != 3 or audio.numel() == 0:
            found = tuple(audio.shape)
            raise ValueError(f"audio must be (batch, channels, samples), none 0, found {found}")
        restored = self.restore_spectrum(self.analyse(audio.flatten(0, 1)))
        return self.synthesise(restored, audio.shape[-1]).view_as(audio).to(audio.dtype)

    def analyse(self, waveform: Tensor) -> Tensor:
        """Return the spectrum, complex64 (items, frames, bins), of (items, samples).

        Frame `f` is centred on sample `f * hop_samples`. The end is padded with zeros to a whole
        hop, so that each sample lies in two frames. Otherwise the last samples would be divided
        by the end of a window, which is zero.
        """
        samples = waveform.shape[-1]
        whole = max(2, math.ceil(samples / self.hop_samples)) * self.hop_samples
        padded = F.pad(waveform.float(), (0, whole - samples))
        with torch.autocast(padded.device.type, enabled=False):
            spectrum = torch.stft(padded, **self._frames(padded), return_complex=True)
        return spectrum.transpose(1, 2)

    def synthesise(self, spectrum: Tensor, samples: int) -> Tensor:
        """Return the waveform, float32 (items, samples), of a spectrum as `analyse` gives it."""
        with torch.autocast(spectrum.device.type, enabled=False):
            columns = spectrum.transpose(1, 2)
            return torch.istft(columns, **self._frames(columns), length=samples)

    def restore_spectrum(self, spectrum: Tensor, memory: Memory | None = None) -> Tensor:
        """Restore a spectrum, complex64 (items, frames, bins); this is the network proper.

        The causal form can also process a spectrum in pieces. The caller passes the same
        `memory` with every piece, empty at first; each time convolution stores its last input
        frames in it.
        """
        if memory is not None and not self.causal:
            raise ValueError("only a causal network restores piece by piece")
        items, frames, _ = spectrum.shape
        bins = torch.view_as_real(spectrum).flatten(0, 1)  # (T, bins, 2), T = items * frames
        # The first and last layers are 1 % of the work, and need float32 for the levels' range.
        with torch.autocast(spectrum.device.type, enabled=False):
            weights = [_weights_of(self.BN[bands]) for bands, _, _ in self._groups]
            split = functools.partial(self._split, weights=weights)
            features = in_blocks(split, bins)  # (T, bands, N)
        features = features.unflatten(0, (items, frames))
        for layer in self.net:
            features = layer(features, memory, self.activation_checkpointing)
        with torch.autocast(spectrum.device.type, enabled=False):
            weights = [_weights_of(self.output[bands]) for bands, _, _ in self._groups]
            join = functools.partial(self._join, weights=weights)
            restored = in_blocks(join, features.flatten(0, 1), bins)  # (T, bins, 2)
        return torch.view_as_complex(restored).unflatten(0, (items, frames))

    def _frames(self, beside: Tensor) -> dict[str, Any]:
        # The window is no buffer: casting the network to bfloat16 would round it.
        window = torch.hann_window(self.window_samples, device=beside.device)
        return {"n_fft": self.window_samples, "hop_length": self.hop_samples, "window": window}

    def _gains(self, bins: Tensor) -> Tensor:
        power = bins.square().sum(-1)  # (T, bins)
        bands = [power[:, part].unflatten(1, (-1, width)) for _, part, width in self._groups]
        return torch.cat([band.sum(-1) for band in bands], 1).add(GAIN_EPS).sqrt()  # (T, bands)

    def _split(self, bins: Tensor, weights: Sequence[_Affine]) -> Tensor:
        gains = self._gains(bins)  # (T, bands)
        features = []
        for own, (bands, part, width) in zip(weights, self._groups, strict=True):
            gain = gains[:, bands, None]  # (T, b, 1)
            planes = bins[:, part].unflatten(1, (-1, width)).transpose(2, 3).flatten(2)
            levels = torch.cat((planes / gain, gain.log()), -1)  # (T, b, 2 * width + 1)
            features.append(_per_band(levels, own))
        return torch.cat(features, 1).to(next(self.net.parameters()).dtype)  # (T, bands, N)

    def _join(self, features: Tensor, bins: Tensor, weights: Sequence[_Affine]) -> Tensor:
        # A correction in units of an empty band's own gain could not fill it.
        restored = []
        if self.residual:
            gains = self._gains(bins)  # (T, bands)
            level = gains.square().mean(1, keepdim=True).sqrt()  # (T, 1)
            reach = torch.hypot(gains, RESIDUAL_FLOOR * level)  # (T, bands)
        for own, (bands, _, width) in zip(weights, self._groups, strict=True):
            planes = F.glu(_per_band(features[:, bands].float(), own), -1)
            values = planes.unflatten(2, (2, width)).transpose(2, 3)  # (T, b, width, 2)
            if self.residual:
                values = values * reach[:, bands, None, None]
            restored.append(values.flatten(1, 2))
        return torch.cat(restored, 1) + (bins if self.residual else 0)  # (T, bins, 2)


class _Pointwise(nn.Conv1d):
    """A 1x1 convolution on (..., channels); its weight keeps the published (out, in, 1)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Conv1d's own name)
        return F.linear(input, self.weight.squeeze(-1), self.bias)


class _TimeConvolution(nn.Conv1d):
    """Depthwise convolution over the frames of (items, frames, bands, N)."""

    def __init__(self, channels: int, causal: bool) -> None:
        super().__init__(channels, channels, KERNEL_FRAMES, groups=channels)
        self.causal = causal

    def forward(self, input: Tensor, memory: Memory | None = None) -> Tensor:  # noqa: A002
        past = KERNEL_FRAMES - 1
        if memory is not None and self in memory:
            input = torch.cat((memory[self], input), 1)  # noqa: A001
        elif self.causal:
            input = F.pad(input, (0, 0, 0, 0, past, 0))  # noqa: A001
        if memory is not None:
            memory[self] = input[:, -past:].clone()
        # To a 2-D convolution this layout is channels-last, so nothing is copied. Autocast would
        # copy the features, for a layer that takes little time.
        with torch.autocast(input.device.type, enabled=False):
            convolved = F.conv2d(
                input.permute(0, 3, 1, 2),  # (items, N, frames, bands)
                self.weight.unsqueeze(-1),
                self.bias,
                padding=(0 if self.causal else past // 2, 0),
                groups=self.groups,
            )
        return convolved.permute(0, 2, 3, 1)


class _BandSequence(nn.Module):
    """One layer: attention over the bands of each frame, then convolutions over time.

    Without gradients its input is overwritten.
    """

    def __init__(self, channels: int, causal: bool) -> None:
        super().__init__()
        blocks = [_ConvolutionBlock(channels, causal) for _ in range(CONVOLUTIONS_PER_LAYER)]
        self.band_net = _Roformer(channels)
        self.seq_net = nn.ModuleDict({"blocks": nn.ModuleList(blocks)})

    def forward(
        self, features: Tensor, memory: Memory | None, checkpointing: bool = False
    ) -> Tensor:
        if memory is None and written_out_serves(features, self.band_net.weight.weight):
            rows = self.band_net.written_out(features.flatten(0, 1), keep=not checkpointing)
            features = rows.view_as(features)
            for block in self.seq_net["blocks"].children():
                assert isinstance(block, _ConvolutionBlock)
                features = block.written_out(features, keep=not checkpointing)
            return features
        if checkpointing and torch.is_grad_enabled():
            return checkpoint(self._plain, features, memory, use_reentrant=False)
        return self._plain(features, memory)

    def _plain(self, features: Tensor, memory: Memory | None) -> Tensor:
        rows = features.flatten(0, 1)
        features = in_blocks(self.band_net, rows, out=rows).view_as(features)
        for block in self.seq_net["blocks"].children():
            features = block(features, memory)
        return features


class _Roformer(nn.Module):
    """Transformer layer over the bands of each frame, with rotary positions; (T, bands, N)."""

    cos_freq: Tensor
    sin_freq: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input_norm = _norm(channels)
        self.weight = _Pointwise(channels, 3 * channels, 1, bias=False)
        self.output = _Pointwise(channels, channels, 1, bias=False)
        self.MLP = nn.Sequential(
            _norm(channels),
            _Pointwise(channels, WIDEST_FEATURES * channels, 1, bias=False),
            nn.SiLU(),
        )
        self.MLP_output = _Pointwise(4 * channels, channels, 1, bias=False)
        pairs = torch.arange(0, channels // HEADS, 2, dtype=torch.float64) / (channels // HEADS)
        angles = torch.outer(torch.arange(ROTARY_POSITIONS), 10000.0**-pairs)
        angles = angles.repeat_interleave(2, 1)  # (positions, N/8)
        self.register_buffer("cos_freq", angles.cos().float())
        self.register_buffer("sin_freq", angles.sin().float())

    def forward(self, features: Tensor) -> Tensor:
        features = features + self._attend(self.input_norm(features))
        first, second = self.MLP(features).chunk(2, -1)
        return features + self.MLP_output(F.silu(first) * second)

    def written_out(self, features: Tensor, keep: bool) -> Tensor:
        """Return what `forward` does, with a faster backward pass on a CPU."""
        turn = self._turn(features.shape[1], features.dtype)
        weights = (self.input_norm.weight, self.weight.weight, self.output.weight)
        gated = (self.MLP[0].weight, self.MLP[1].weight, self.MLP_output.weight)
        return RoformerFunction.apply(self, keep, turn, features, *weights, *gated)

    def _attend(self, features: Tensor) -> Tensor:
        projected = self.weight(features).unflatten(-1, (HEADS, 3, -1))  # (T, bands, 8, 3, N/8)
        turned = self._rotate(projected[..., :2, :]).transpose(1, 2)  # (T, 8, bands, 2, N/8)
        (query, key), value = turned.unbind(3), projected[..., 2, :].transpose(1, 2)
        if on_cpu(query):
            # The tiled attention is slow for only 80 bands: twice the time in training.
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
            heads = scores.softmax(-1).to(value.dtype) @ value  # (T, 8, bands, N/8)
        else:
            heads = F.scaled_dot_product_attention(query, key, value)
        return self.output(heads.transpose(1, 2).flatten(2))

    def _rotate(self, pairs: Tensor) -> Tensor:
        """Rotate each pair (x0, x1), taken as a complex number, by its band's angle."""
        precise = torch.promote_types(pairs.dtype, torch.float32)
        turn = self._turn(pairs.shape[1], precise)[:, None, None]
        turned = torch.view_as_complex(pairs.to(precise).unflatten(-1, (-1, 2))) * turn
        return torch.view_as_real(turned).flatten(-2).to(pairs.dtype)

    def _turn(self, bands: int, dtype: torch.dtype) -> Tensor:
        """Return unit complex numbers, (bands, N / 16)."""
        parts = (table[:bands, ::2].to(dtype) for table in (self.cos_freq, self.sin_freq))
        return torch.complex(*parts)


class _ConvolutionBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise network, with a residual connection."""

    def __init__(self, channels: int, causal: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _TimeConvolution(channels, causal),
            _norm(channels),
            _Pointwise(channels, 4 * channels, 1),
            nn.SiLU(),
            _Pointwise(4 * channels, channels, 1),
        )

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        convolved = self.conv[0](features, memory)  # (items, frames, bands, N)
        rows = features.flatten(0, 1)
        changed = in_blocks(self._change, rows, convolved.flatten(0, 1), out=rows)
        return changed.view_as(features)

    def written_out(self, features: Tensor, keep: bool) -> Tensor:
        """Return what `forward` does, with a faster backward pass on a CPU."""
        past = (KERNEL_FRAMES - 1) // (1 if self.conv[0].causal else 2)
        return ConvolutionFunction.apply(self, keep, past, features, *self.conv.parameters())

    def _change(self, features: Tensor, convolved: Tensor) -> Tensor:
        return features + self.conv[1:](convolved)


def _band(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_norm(inputs), _Pointwise(inputs, outputs, 1))


def _weights_of(bands: nn.ModuleList) -> _Affine:
    """Return the weights, (b, in, out), and biases, (b, 1, out), of the bands' convolutions.

    The norms' weights are multiplied into them, since they are smaller than the features.
    """
    parameters = [parameter.float() for parameter in bands.parameters()]  # three of each band
    scales, weights, biases = (torch.stack(parameters[kind::3]) for kind in range(3))
    return (weights.squeeze(-1) * scales.unsqueeze(1)).transpose(1, 2), biases.unsqueeze(1)


def _per_band(inputs: Tensor, own: _Affine) -> Tensor:
    """Apply each band's RMSNorm and 1x1 convolution in one batched product: (T, b, in or out)."""
    weights, biases = own
    normed = F.rms_norm(inputs, inputs.shape[-1:], eps=NORM_EPS).transpose(0, 1)  # (b, T, in)
    return torch.baddbmm(biases, normed, weights).transpose(0, 1)
