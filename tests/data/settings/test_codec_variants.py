"""What `[[codec.variants]]` may say, what is drawn from it, and that the document is true."""

import collections
import re
from pathlib import Path

import numpy as np
import pytest

from apollo_data.errors import SettingsError
from apollo_data.mixing import MixPool
from apollo_data.random_streams import generator
from apollo_data.records import ActiveSpan, Coding, Stem, StemActivity, Track
from apollo_data.settings import Settings, load_settings, parse_settings, settings_toml
from apollo_data.settings.codec_variants import MP3_KBPS, CodecVariant, draw_variant
from apollo_data.workspace.manifest import from_json, to_json

DOCUMENT = Path("docs/codecs.md")


def load(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "mine.toml").write_text(text)
    return load_settings(tmp_path / "mine.toml")


def draws(count: int, *variants: CodecVariant) -> list[Coding]:
    return [draw_variant(variants, generator(0, "test", index)) for index in range(count)]


def test_variants_are_drawn_by_weight() -> None:
    often = CodecVariant(codec="aac", bitrates_kbps=(64, 96), weight=3)
    seldom = CodecVariant(codec="vorbis", qualities=(2,))
    counts = collections.Counter(coding.label for coding in draws(2000, often, seldom))
    assert counts.keys() == {"aac 64", "aac 96", "vorbis q2"}
    assert counts["vorbis q2"] == pytest.approx(500, abs=75)
    assert counts["aac 64"] == pytest.approx(750, abs=90)


def test_a_range_is_uniform_on_the_logarithmic_scale() -> None:
    variant = CodecVariant(codec="opus", bitrate_range_kbps=(24, 128))
    kbps = np.array([coding.requested_kbps for coding in draws(2000, variant)])
    assert 24 <= kbps.min() < 25 < 125 < kbps.max() <= 128
    parts = np.histogram(np.log(kbps), np.log([24, 24 * (128 / 24) ** 0.5, 128]))[0]
    assert parts[0] == pytest.approx(1000, abs=100)
    assert len(set(kbps)) > 500


def test_constant_mp3_snaps_to_what_there_is() -> None:
    variant = CodecVariant(codec="mp3", bitrate_range_kbps=(24, 128))
    counts = collections.Counter(coding.requested_kbps for coding in draws(3000, variant))
    assert set(counts) == {float(kbps) for kbps in MP3_KBPS if 24 <= kbps <= 128}
    average = CodecVariant(codec="mp3", mode="abr", bitrate_range_kbps=(24, 128))
    coding = draws(1, average)[0]
    assert coding.mode == "abr"
    assert coding.requested_kbps not in MP3_KBPS


def test_codings_say_what_differs_and_survive_json() -> None:
    cascade = CodecVariant.model_validate(
        {
            "codec": "mp3",
            "bitrates_kbps": [64],
            "stereo": "plain",
            "lowpass": "off",
            "then": [{"codec": "aac", "mode": "vbr", "qualities": [1]}],
        }
    )
    (coding,) = draws(1, cascade)
    assert coding.label == "mp3 64 plain stereo no low-pass + aac q1"
    assert coding.codecs == "mp3+aac"
    assert to_json(coding) == {
        "codec": "mp3",
        "requested_kbps": 64.0,
        "stereo": "plain",
        "lowpass": "off",
        "then": [{"codec": "aac", "mode": "vbr", "quality": 1.0}],
    }
    assert from_json(Coding, to_json(coding)) == coding
    assert to_json(Coding("mp3", 64.0)) == {"codec": "mp3", "requested_kbps": 64.0}


def test_a_list_gives_every_combination() -> None:
    variant = CodecVariant.model_validate(
        {
            "codec": "mp3",
            "bitrates_kbps": [64, 128],
            "then": [{"codec": "opus", "mode": "cbr", "bitrates_kbps": [48, 96]}],
        }
    )
    assert [coding.label for coding in variant.every()] == [
        "mp3 64 + opus cbr 48",
        "mp3 64 + opus cbr 96",
        "mp3 128 + opus cbr 48",
        "mp3 128 + opus cbr 96",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("codec = 'wma'\nbitrates_kbps = [64]", "'codec.variants.0.codec'"),
        ("codec = 'aac'\nbitrate = 64", "'codec.variants.0.bitrate'; did you mean 'bitrates_kbps'"),
        ("codec = 'aac'", "give one of bitrates_kbps, bitrate_range_kbps and qualities"),
        ("codec = 'aac'\nbitrates_kbps = [64]\nqualities = [1]", "give one of"),
        ("codec = 'aac'\nbitrates_kbps = [16]", "a bitrate of aac lies from 24 to 320"),
        ("codec = 'vorbis'\nbitrates_kbps = [32]", "a bitrate of vorbis lies from 48 to 500"),
        ("codec = 'vorbis'\nqualities = [-1]", "a quality of vorbis lies from 0 to 10"),
        ("codec = 'mp3'\nqualities = [10]", "a quality of mp3 lies from 0 to 9"),
        ("codec = 'mp3'\nbitrates_kbps = [50]", "mode 'abr' takes any"),
        ("codec = 'mp3'\nbitrate_range_kbps = [33, 39]", "no constant bitrate of MP3"),
        ("codec = 'aac'\nbitrate_range_kbps = [96, 64]", "must be [lowest, highest]"),
        ("codec = 'mp3'\nmode = 'vbr'\nbitrates_kbps = [64]", "mode 'vbr' goes with qualities"),
        ("codec = 'mp3'\nmode = 'abr'\nqualities = [2]", "mode 'vbr' goes with qualities"),
        ("codec = 'opus'\nqualities = [2]", "opus has no mode 'vbr' here"),
        ("codec = 'vorbis'\nmode = 'cbr'\nbitrates_kbps = [64]", "vorbis has no mode 'cbr' here"),
        ("codec = 'opus'\nbitrates_kbps = [64]\nstereo = 'plain'", "for MP3 only"),
        ("codec = 'aac'\nbitrates_kbps = [64]\nweight = 0", "'codec.variants.0.weight'"),
        (
            "codec = 'aac'\nbitrates_kbps = [64]\nthen = [{codec = 'mp3', wait = 1}]",
            "unknown setting 'codec.variants.0.then.0.wait'",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)) as caught:
        load(tmp_path, f"[[codec.variants]]\n{text}")
    assert "\n" not in str(caught.value)


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    aac = "\n[[{}.variants]]\ncodec = 'aac'\n"
    with pytest.raises(SettingsError, match="bitrates_kbps is not used"):
        load(tmp_path, "[codec]\nbitrates_kbps = [64]" + aac.format("codec") + "qualities = [1]")
    for line in ("bitrate_range_kbps = [64, 96]", "bitrates_kbps = [64]\nweight = 2"):
        with pytest.raises(SettingsError, match="variants of the evaluation are not drawn"):
            load(tmp_path, aac.format("evaluation") + line)


def pool(split: str, **changes: object) -> MixPool:
    stems = tuple(
        Stem(name, f"{name}.wav", 60.0, 44100, 2) for name in ("vocals", "bass", "drums", "piano")
    )
    track = Track("a", "test", split, "A", "B", stems)
    spans = (ActiveSpan(0.0, 60.0),)
    heard = [StemActivity("a", split, s.stem_class, s.path, 1, 60.0, spans, "x") for s in stems]
    settings = parse_settings({"mixing": {"distinct_songs": False}, **changes}, "test")
    return MixPool([track], heard, split, settings.for_plan())


def test_the_codings_change_and_the_mixes_do_not() -> None:
    variants = [
        {"codec": "aac", "bitrate_range_kbps": [32, 128]},
        {"codec": "mp3", "qualities": [0, 4]},
    ]
    usual, other = pool("train"), pool("train", codec={"variants": variants})
    for index in range(20):
        before, after = usual.draw(index), other.draw(index)
        assert (before.stems, before.category) == (after.stems, after.category)
        assert before.codings[0].label.startswith("mp3 ")
        assert after.codings[0].label.startswith(("aac ", "mp3 q"))
        assert after == other.draw(index)


def test_the_evaluation_has_its_own_codings_after_the_papers() -> None:
    test = pool("test", evaluation={"variants": [{"codec": "opus", "bitrates_kbps": [48, 96]}]})
    labels = [coding.label for coding in test.draw(0).codings]
    assert labels == [*(f"mp3 {kbps}" for kbps in (24, 32, 48, 64, 96, 128)), "opus 48", "opus 96"]


def test_the_documents_examples_are_valid_and_travel_as_toml(tmp_path: Path) -> None:
    examples = re.findall(r"^```toml\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)
    assert len(examples) >= 5
    codecs: set[str] = set()
    for example in examples:
        settings = load(tmp_path, example)
        assert settings.codec.variants or settings.evaluation.variants or "[codec]" in example
        assert load(tmp_path, settings_toml(settings)) == settings
        codecs |= settings.codecs
    assert codecs == {"mp3", "aac", "opus", "vorbis"}


def test_the_document_names_every_setting() -> None:
    text = DOCUMENT.read_text()
    assert not [name for name in CodecVariant.model_fields if f"`{name}`" not in text]
