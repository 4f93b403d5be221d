"""Pipeline files: TOML in, one frozen and validated object out.

Defaults stand where they are declared. They are the paper's (arXiv 2409.08514) where it
gives a number. A file in `pipelines/` states only how it differs from them. Unknown keys
are refused with the nearest known one: a misspelt setting that is silently ignored costs
days.
"""

import difflib
import sys
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import tomli_w
from pydantic import Field, model_validator

from apollo_data.errors import SettingsError
from apollo_data.records import SPLITS
from apollo_data.settings.data_sections import (
    LOUDNESS_BLOCK_SECONDS,
    ActivitySettings,
    CatalogSettings,
    CodecSettings,
    DemoSettings,
    EvaluationSettings,
    MixingSettings,
    PairedSettings,
    Section,
    ShardSettings,
    Share,
)
from apollo_data.settings.model_sections import NetworkSettings, TrainingSettings
from apollo_data.settings.packaged import packaged_file, pipeline_names
from apollo_data.settings.stage_settings import BuildSettings, ClipSettings, PlanSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Settings(Section):
    """A whole pipeline file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "default"
    seed: int = 0
    sample_rate: Literal[44100] = 44100
    source: Literal["folder", "demo"] = "folder"
    """Where raw audio comes from: a folder in a known layout, or the synthesised demo songs."""
    strict: bool = False
    """End the run at the first thing that must be left out, instead of recording it."""
    max_rejected_share: Share = 0.05
    """If more files or clips are rejected than this, the run finishes and exits with status 1."""
    demo: DemoSettings = DemoSettings()
    catalog: CatalogSettings = CatalogSettings()
    activity: ActivitySettings = ActivitySettings()
    mixing: MixingSettings = MixingSettings()
    paired: PairedSettings = PairedSettings()
    codec: CodecSettings = CodecSettings()
    shards: ShardSettings = ShardSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _measurable_loudness(self) -> "Settings":
        for name, rules in (("mixing", self.mixing), ("evaluation.mixing", self.evaluation.mixing)):
            short = self.mixing.clip_seconds < LOUDNESS_BLOCK_SECONDS
            if short and rules.normalise_lufs is not None:
                raise ValueError(
                    f"{name}.normalise_lufs needs a mixing.clip_seconds of "
                    f"{LOUDNESS_BLOCK_SECONDS:g} or more: shorter clips have no integrated loudness"
                )
        return self

    @property
    def clip_samples(self) -> int:
        """Samples per channel of one clip."""
        return self.for_clips().samples

    def for_plan(self) -> PlanSettings:
        """Return what the plan of all clips follows from."""
        clips = {"train_clips", "valid_clips"}
        drawn = {"seed": True, "mixing": True, "codec": True, "evaluation": True, "shards": clips}
        return PlanSettings(
            seed=self.seed,
            mixing=self.mixing,
            codec=self.codec,
            evaluation=self.evaluation,
            train_clips=self.shards.train_clips,
            valid_clips=self.shards.valid_clips,
            text=settings_toml(self, drawn),
        )

    def for_clips(self) -> ClipSettings:
        """Return what the samples of a clip follow from."""
        seconds, stems = self.mixing.clip_seconds, self.shards.stems
        return ClipSettings(self.sample_rate, seconds, self.codec, stems)

    def for_shards(self) -> BuildSettings:
        """Return what shards follow from."""
        texts = {split: self._shard_text(split) for split in SPLITS}
        return BuildSettings(self.shards, self.for_clips(), texts)

    def _shard_text(self, split: str) -> str:
        """Return the settings that a split's shards follow from, as TOML: no more and no less.

        How many clips there are in all, or how a network is trained, is not among them; a
        change there leaves finished shards as they are.
        """
        own: dict[str, Any]
        if split == "test":
            drawn = {"seed", "mixing", "bitrates_kbps", "variants"}
            own = {"mixing": {"clip_seconds"}, "codec": {"paper_clamp"}, "evaluation": drawn}
        else:
            own = {"mixing": True, "codec": {"bitrates_kbps", "variants", "paper_clamp"}}
        common = {
            "seed": True,
            "sample_rate": True,
            "activity": True,
            "shards": {"dtype", "compression", "stems"},
        }
        return settings_toml(self, {**common, **own})

    @property
    def codecs(self) -> frozenset[str]:
        """All codecs that the pipeline needs, by name."""
        variants = (*self.codec.variants, *self.evaluation.variants)
        return frozenset({"mp3"}.union(*(variant.codecs for variant in variants)))


def load_settings(path: Path | None) -> Settings:
    """Read a pipeline file; without one, return the documented defaults.

    Parameters
    ----------
    path
        A TOML file, or the bare name of a pipeline that comes with the software, such as
        ``demo``. A file of that name in the current folder has precedence.

    Raises
    ------
    SettingsError
        The file is missing or not TOML, a key is unknown or a value cannot be meant.
    """
    if path is None:
        return Settings()
    path = _pipeline_path(Path(path))
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            # A pipe would wait for a writer, and a device may have no end.
            raise SettingsError(f"{path}: is a device or a pipe; name a TOML file")
        with path.open("rb") as source:
            values = tomllib.load(source)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}); name a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not TOML ({error})") from None
    values.setdefault("name", path.stem)
    return parse_settings(values, str(path))


def _pipeline_path(path: Path) -> Path:
    """Return the packaged pipeline of a bare name; any other path as it is."""
    if path.is_file() or path.suffix or len(path.parts) != 1:
        return path
    packaged = packaged_file("pipelines", f"{path.name}.toml")
    if packaged is None:
        raise SettingsError(
            f"pipeline {path.name!r}: is neither a file nor a pipeline of this software; "
            f"name a TOML file or one of {', '.join(pipeline_names())}"
        )
    return packaged


def parse_settings(values: dict[str, Any], origin: str) -> Settings:
    """Validate settings that `origin` (a file's name) holds."""
    try:
        return Settings.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"{origin}: {_explain(first)}") from None


def _explain(problem: Any) -> str:
    place = [str(part) for part in problem["loc"]]
    name = ".".join(place)
    if problem["type"] == "extra_forbidden":
        known = sorted(_section_at(place[:-1]).model_fields)
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"unknown setting {name!r}; {hint}"
    message = str(problem["msg"].removeprefix("Value error, "))
    if not place:  # about several sections at once; all settings as "found" would help nobody
        return message
    return f"setting {name!r}: {message}, found {problem['input']!r}"


def _section_at(place: list[str]) -> type[pydantic.BaseModel]:
    section: type[pydantic.BaseModel] = Settings
    for part in place:
        if part.isdecimal():  # a place in a list of tables
            continue
        annotation = section.model_fields[part].annotation
        annotation = next(iter(typing.get_args(annotation)), annotation)
        if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
            section = annotation
    return section


def section_toml(name: str, section: Section) -> str:
    """Return one section of the settings as TOML text."""
    return tomli_w.dumps({name: section.model_dump(mode="json", exclude_none=True)})


def settings_toml(settings: Settings, include: Any = None) -> str:
    """Return settings as TOML text, all or those that `include` names (as pydantic takes it)."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True, include=include))
