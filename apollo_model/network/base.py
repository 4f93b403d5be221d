"""The base class of all restoration networks."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """A network that restores coded sound: (batch, channels, samples) in, the same shape out.

    Attributes
    ----------
    sample_rate
        In Hz.
    window_samples, hop_samples
        Of its STFT.
    feature_dim
        Channels of its widest part.
    causal
        Whether it looks at the past only.
    activation_checkpointing
        Compute activations again in the backward pass: less memory, more time.
    """

    sample_rate: int
    window_samples: int
    hop_samples: int
    feature_dim: int
    causal: bool
    activation_checkpointing: bool

    @property
    @abstractmethod
    def settings(self) -> dict[str, int | bool]:
        """The constructor's arguments."""

    @property
    @abstractmethod
    def context_frames(self) -> int:
        """STFT frames that an output frame depends on, on each side; a causal one's, before it."""

    @property
    @abstractmethod
    def core(self) -> nn.Module:
        """The part that may compute in bfloat16; the rest stays float32."""

    def begin_step(self, number: int) -> None:
        """Prepare for a training step: whatever is drawn at random in it follows from `number`."""
        del number

    @abstractmethod
    def forward(self, audio: Tensor) -> Tensor:
        """Restore `audio`, (batch, channels, samples) at `sample_rate`, to the same shape."""
