"""Settings: pipeline files in TOML to one frozen, validated object; committed facts."""

from apollo_data.settings.codec_variants import MP3_KBPS, CodecVariant, draw_variant
from apollo_data.settings.data_sections import (
    ALL_BITRATES_KBPS,
    LOUDNESS_BLOCK_SECONDS,
    ActivitySettings,
    BitrateKbps,
    CatalogSettings,
    CodecSettings,
    DemoSettings,
    DetectorName,
    EvaluationSettings,
    MixingSettings,
    PairedSettings,
    ShardSettings,
    SileroSettings,
    StemMixSettings,
)
from apollo_data.settings.model_sections import LossSettings, NetworkSettings, TrainingSettings
from apollo_data.settings.pipeline_file import (
    Settings,
    load_settings,
    parse_settings,
    section_toml,
    settings_toml,
)
from apollo_data.settings.stage_settings import BuildSettings, ClipSettings, PlanSettings

__all__ = [
    "ALL_BITRATES_KBPS",
    "LOUDNESS_BLOCK_SECONDS",
    "MP3_KBPS",
    "ActivitySettings",
    "BitrateKbps",
    "BuildSettings",
    "CatalogSettings",
    "ClipSettings",
    "CodecSettings",
    "CodecVariant",
    "DemoSettings",
    "DetectorName",
    "EvaluationSettings",
    "LossSettings",
    "MixingSettings",
    "NetworkSettings",
    "PairedSettings",
    "PlanSettings",
    "Settings",
    "ShardSettings",
    "SileroSettings",
    "StemMixSettings",
    "TrainingSettings",
    "draw_variant",
    "load_settings",
    "parse_settings",
    "section_toml",
    "settings_toml",
]
