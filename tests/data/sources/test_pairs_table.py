"""pairs.csv as people and spreadsheets write it, and folders of degraded files of any kind."""

from pathlib import Path

import ffmpeg
import pytest
import soundfile
from helpers.small_songs import RATE, tone

from apollo_data.audio.ffmpeg import run_ffmpeg
from apollo_data.catalog.find_songs import read_catalog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", tone("x", 0.5), RATE)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "split,degraded,clean\ntrain,b.wav,a.wav\n",
        "Split,Degraded,Clean\r\nTrain,b.wav,a.wav\r\n",
        "split;degraded;clean\ntrain;b.wav;a.wav\n",
        " clean \tdegraded\tsplit\na.wav\tb.wav\tTRAIN \n\n",
        '\ufeff"clean","degraded","split"\n"a.wav","b.wav","train"\n',
        "clean,degraded,split\n.\\a.wav,.\\b.wav,train\n",
        "clean,degraded,split\nA.WAV,B.WAV,train\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_is_understood(folder: Path, text: str, encoding: str) -> None:
    if encoding == "utf-16":
        text = text.removeprefix("\ufeff")
    (folder / "pairs.csv").write_bytes(text.encode(encoding))
    catalog = read_catalog(folder)
    assert catalog.rejections == ()
    (track,) = catalog.tracks
    assert track.split == "train"
    assert track.pair
    assert (track.pair.clean, track.pair.degraded) == ("a.wav", "b.wav")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has no column 'clean'"),
        (b"one,two\na.wav,b.wav\n", "has no column 'clean'; its first row must name"),
        (b"clean,degraded\na.wav,b\0.wav\n", "control characters|cannot be read as CSV"),
        (b"clean,degraded\nm\xfcde.wav,b.wav\n", "cannot be read as CSV in UTF-8"),
        (b"clean,degraded,split\na.wav,b.wav,learn\n", "split 'learn' is none of train, valid"),
        (b"clean,degraded\na.wav,\n", "row 2 names no clean or no degraded file"),
    ],
)
def test_what_is_not_understood_has_a_row_that_says_why(
    folder: Path, content: bytes, reason: str
) -> None:
    (folder / "pairs.csv").write_bytes(content)
    catalog = read_catalog(folder)
    assert catalog.tracks == ()
    row = next(row for row in catalog.rejections if row.path == "pairs.csv")
    assert any(part in row.reason for part in reason.split("|"))


def test_degraded_files_of_any_container_are_taken(folder: Path) -> None:
    (folder / "clean").mkdir()
    (folder / "degraded").mkdir()
    for suffix in ("3gp", "mkv", "mov", "ts"):
        (folder / f"clean/{suffix}.wav").write_bytes((folder / "a.wav").read_bytes())
        source = ffmpeg.input(str(folder / "a.wav"))
        out = str(folder / f"degraded/{suffix}.{suffix}")
        run_ffmpeg(source.output(out, acodec="aac", ac=1, ar=8000), 60)
    (folder / "clean/unknown.wav").write_bytes((folder / "a.wav").read_bytes())
    (folder / "degraded/unknown.xyz").write_bytes(b"whatever")
    (folder / "degraded/notes.txt").write_text("about the tapes")
    found = {track.title: track for track in read_catalog(folder).tracks}
    assert sorted(found) == ["3gp", "mkv", "mov", "ts", "unknown"]  # aligning says what is no sound
