"""The sections of a pipeline file that training reads; every default stands here."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from apollo_data.settings.data_sections import Section


class NetworkSettings(Section):
    """Apollo's size; the defaults are the published network."""

    window_ms: PositiveInt = 20
    feature_dim: Annotated[int, Field(ge=16, multiple_of=16)] = 256
    layers: PositiveInt = 6
    residual: bool = False
    """Predict a correction to the input spectrum, zero at first, instead of the whole spectrum."""


class LossSettings(Section):
    """Weights of the generator's losses; a weight of 0 leaves the term out."""

    adversarial: Annotated[float, Field(ge=0.0)] = 1.0
    feature_matching: Annotated[float, Field(ge=0.0)] = 1.0
    reconstruction: Annotated[float, Field(ge=0.0)] = 1.0
    waveform: Annotated[float, Field(ge=0.0)] = 0.0
    """Negative SI-SNR in dB; not in the paper."""


class TrainingSettings(Section):
    """The paper's training (section III-C); one process."""

    seed: int = 0
    batch_size: PositiveInt = 1
    crop_seconds: PositiveFloat | None = None
    """Length of a random crop from each clip; the whole clip when not set."""
    max_epochs: PositiveInt = 500
    max_minutes: PositiveFloat | None = None
    """Ends training after the validation that follows this time, for machines of unknown speed."""
    batches_per_epoch: PositiveInt | None = None
    """The whole training split when not set."""
    live: bool = False
    """Mix and code the training clips as they are needed, new ones in each epoch, instead of
    reading shards; see docs/loading.md. Validation reads its shards all the same."""
    loader_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that read ahead, or mix; 0 does it between the steps."""
    generator_learning_rate: PositiveFloat = 1e-3
    discriminator_learning_rate: PositiveFloat = 1e-4
    betas: tuple[float, float] = (0.5, 0.99)
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    decay: PositiveFloat = 0.98
    """The learning rates are multiplied by this every `decay_epochs` epochs."""
    decay_epochs: PositiveInt = 2
    gradient_norm: PositiveFloat = 5.0
    patience_epochs: PositiveInt = 20
    """Training stops after this many epochs without a better validation loss."""
    loss: LossSettings = LossSettings()
