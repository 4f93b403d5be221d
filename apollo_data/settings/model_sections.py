"""The sections of a pipeline file that training reads; every default stands here."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from apollo_data.settings.data_sections import Section

MetricName = Literal["si_snr", "sdr", "spectral", "lsd", "visqol"]
"""Scores of a validation: SI-SNR and SDR in dB, the multi-resolution STFT error that training
lowers, the log-spectral distance in dB, ViSQOL."""


class SrGanSettings(Section):
    """SR-GAN's size; the defaults are the published one, of 322.53 million parameters."""

    planes: Annotated[int, Field(ge=2, le=256)] = 38
    """Maps of the encoder's 3x3 convolutions."""
    feature_dim: Annotated[int, Field(ge=4, le=2048, multiple_of=4)] = 256
    """Features of the middle; a quarter as many noise channels stand beside them."""
    rows: Annotated[int, Field(ge=1, le=128)] = 32
    """Positions over the frequency that are left in the middle."""
    noise_seed: int = 0
    """The noise that the trained network uses follows from it."""


class NetworkSettings(Section):
    """The network's kind and size; the defaults are the published Apollo.

    The other settings here are Apollo's; those of SR-GAN are in ``[network.srgan]``.
    """

    kind: Literal["apollo", "srgan"] = "apollo"
    window_ms: PositiveInt = 20
    feature_dim: Annotated[int, Field(ge=16, multiple_of=16)] = 256
    layers: PositiveInt = 6
    residual: bool = False
    """Predict a correction to the input spectrum, zero at first, instead of the whole spectrum."""
    causal: bool = False
    """Convolve over the past only, so that `apollo-model stream` can run the network."""
    srgan: SrGanSettings | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> "NetworkSettings":
        if self.kind == "apollo" and self.srgan is not None:
            raise ValueError('the sizes in network.srgan need network.kind = "srgan"')
        if self.kind == "srgan":
            for name in APOLLO_SIZE:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} is a setting of Apollo; those of SR-GAN are in network.srgan"
                    )
        return self

    @property
    def srgan_size(self) -> SrGanSettings:
        """SR-GAN's size: as set, or the published one."""
        return self.srgan or SrGanSettings()

    @property
    def size(self) -> dict[str, Any]:
        """What the network's class is built with, without the sample rate."""
        if self.kind == "srgan":
            return self.srgan_size.model_dump()
        return self.model_dump(include=set(APOLLO_SIZE))

    @classmethod
    def of(cls, kind: str, size: dict[str, Any]) -> "NetworkSettings":
        """Return the settings of a network that exists."""
        return cls.model_validate({"kind": kind, **({kind: size} if kind == "srgan" else size)})


APOLLO_SIZE = ("window_ms", "feature_dim", "layers", "residual", "causal")


class LossSettings(Section):
    """Weights of the generator's losses; a weight of 0 leaves the term out."""

    adversarial: Annotated[float, Field(ge=0.0)] = 1.0
    feature_matching: Annotated[float, Field(ge=0.0)] = 1.0
    reconstruction: Annotated[float, Field(ge=0.0)] = 1.0
    waveform: Annotated[float, Field(ge=0.0)] = 0.0
    """Negative SI-SNR in dB; not in the paper."""


class TrainingSettings(Section):
    """The paper's training (section III-C); docs/training.md explains each setting.

    A step takes ``batch_size * accumulate_steps * processes`` pairs.
    """

    seed: int = 0
    batch_size: PositiveInt = 1
    """Pairs that one process computes at once."""
    accumulate_steps: PositiveInt = 1
    """Batches whose gradients one process adds up to a step; saves memory, not time."""
    crop_seconds: PositiveFloat | None = None
    """Length of a random crop from each clip; the whole clip when not set."""
    max_epochs: PositiveInt = 500
    max_minutes: PositiveFloat | None = None
    """Training stops after this time, with a last validation; for machines of unknown speed."""
    batches_per_epoch: PositiveInt | None = None
    """Steps in an epoch; the whole training split when not set."""
    live: bool = False
    """Mix and code the training clips as they are needed, new ones in each epoch, instead of
    reading shards; see docs/loading.md. Validation reads its shards all the same."""
    loader_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that read ahead, or mix; 0 does it between the steps."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the networks' forward and backward pass. ``auto`` is bfloat16 on a GPU that
    has it and float32 elsewhere. Weights, STFTs and losses are float32 in any case."""
    compile: bool = False
    """Compile the network with torch.compile."""
    activation_checkpointing: bool = False
    """Compute the network's activations again in the backward pass: less memory, more time."""
    adversary: Literal["lsgan", "wgan_gp"] = "lsgan"
    """Apollo's discriminators with least-squares losses, or SR-GAN's critic: Wasserstein with a
    gradient penalty, without feature matching, in the size of an SR-GAN network."""
    generator_learning_rate: PositiveFloat = 1e-3
    discriminator_learning_rate: PositiveFloat = 1e-4
    betas: tuple[float, float] = (0.5, 0.99)
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    decay: PositiveFloat = 0.98
    """The learning rates are multiplied by this every `decay_epochs` epochs."""
    decay_epochs: PositiveInt = 2
    gradient_norm: PositiveFloat = 5.0
    """Gradients of a larger norm are scaled down to it."""
    discriminator_warmup_steps: Annotated[int, Field(ge=0)] = 0
    """The discriminator is trained alone for so many steps, before the network changes."""
    discriminator_steps: PositiveInt = 1
    """The network is updated in every so many-th step only, the discriminator in each."""
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Average the weights over the steps with this decay; validate and keep the average."""
    validation_metrics: tuple[MetricName, ...] = ("si_snr", "sdr", "lsd")
    """What each validation measures, beside `choose_by`."""
    choose_by: MetricName = "si_snr"
    """The best network is the one with the best of this; early stopping heeds it too."""
    keep_best: PositiveInt = 1
    """How many of the best networks are kept."""
    patience_epochs: PositiveInt = 20
    """Training stops after this many epochs without a better validation."""
    checkpoint_minutes: PositiveFloat = 10.0
    """The state is saved this often, and after each epoch."""
    checkpoint_steps: PositiveInt | None = None
    """The state is saved after this many steps, too."""
    keep_steps: PositiveInt | None = None
    """Every so many steps the state is saved and kept for good."""
    log_steps: PositiveInt = 10
    """On a GPU, losses and norms are fetched once in so many steps; fetching them waits for it."""
    max_bad_steps: PositiveInt = 10
    """Training stops after so many steps in a row in which one network's gradient is not finite."""
    loss: LossSettings = LossSettings()

    @model_validator(mode="after")
    def _loss_of_the_adversary(self) -> "TrainingSettings":
        if self.adversary == "wgan_gp" and self.loss.feature_matching:
            raise ValueError(
                'adversary = "wgan_gp" has no feature matching; set '
                "training.loss.feature_matching = 0"
            )
        return self
