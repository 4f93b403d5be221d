"""What stages get whose work follows from several sections of the settings."""

from dataclasses import dataclass

from apollo_data.settings.data_sections import (
    CodecSettings,
    EvaluationSettings,
    MixingSettings,
    ShardSettings,
)


@dataclass(frozen=True)
class PlanSettings:
    """What the plan of all clips follows from.

    `text` holds the same as TOML; a plan is drawn anew where it differs.
    """

    seed: int
    mixing: MixingSettings
    codec: CodecSettings
    evaluation: EvaluationSettings
    train_clips: int
    valid_clips: int
    text: str


@dataclass(frozen=True)
class ClipSettings:
    """What the samples of a clip follow from, beside its recipe.

    `stems` tells whether each target's stems are kept.
    """

    sample_rate: int
    clip_seconds: float
    codec: CodecSettings
    stems: bool

    @property
    def samples(self) -> int:
        """Samples per channel of one clip."""
        return round(self.clip_seconds * self.sample_rate)


@dataclass(frozen=True)
class BuildSettings:
    """What shards follow from, beside the plan.

    `texts` holds, for each split, the settings that its shards follow from, as TOML.
    """

    shards: ShardSettings
    clips: ClipSettings
    texts: dict[str, str]
