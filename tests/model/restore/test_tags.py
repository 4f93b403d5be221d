"""Tags of every kind of file, as other programs write them, carried to each of our formats."""

import base64
from collections.abc import Callable
from pathlib import Path

import ffmpeg
import mutagen
import numpy as np
import pytest
import soundfile
from helpers.small_songs import tone
from mutagen import apev2, asf, flac, id3, mp4
from mutagen.aiff import AIFF
from mutagen.mp3 import MP3
from mutagen.wave import WAVE

from apollo_data.audio.ffmpeg import run_ffmpeg
from apollo_data.audio.files import decode
from apollo_model.restore.formats import FORMATS
from apollo_model.restore.tag_writing import write_tags
from apollo_model.restore.tags import Picture, Tags, read_tags

RATE = 44100
COVER = b"\xff\xd8\xff\xe0" + np.random.default_rng(0).bytes(1_000_000)
TITLE, ARTISTS, ALBUM = "Группа крови / 血液型", ["Кино", "Łukasz"], "Ünder 'quoted' = \"x\""
ID = "f27ec8db-af05-4f36-916e-3d57f91ecf5e"
WHOLE = {
    "title": [TITLE],
    "artist": ARTISTS,
    "album": [ALBUM],
    "albumartist": ["Various"],
    "tracknumber": ["3/12"],
    "discnumber": ["1/2"],
    "date": ["1988-01-05"],
    "comment": ["two\nlines"],
    "compilation": ["1"],
    "musicbrainz_albumid": [ID],
}


def coded(path: Path, *options: str) -> None:
    """A short piece of music as `path` says, by soundfile or ffmpeg, without tags."""
    plain = path.with_suffix(".plain.wav")
    soundfile.write(plain, tone("tags", 0.2), RATE)
    run_ffmpeg(ffmpeg.input(str(plain)).output(str(path), map_metadata="-1"), 60)


def frames() -> list[id3.Frame]:
    return [
        id3.TIT2(encoding=1, text=[TITLE]),
        id3.TPE1(encoding=3, text=ARTISTS),
        id3.TALB(encoding=3, text=[ALBUM]),
        id3.TPE2(encoding=0, text=["Various"]),
        id3.TRCK(encoding=0, text=["3/12"]),
        id3.TPOS(encoding=0, text=["1/2"]),
        id3.TDRC(encoding=0, text=["1988-01-05"]),
        id3.TCMP(encoding=0, text=["1"]),
        id3.COMM(encoding=3, lang="rus", desc="", text=["two\nlines"]),
        id3.COMM(encoding=3, lang="eng", desc="iTunNORM", text=["0000 0000"]),
        id3.TXXX(encoding=3, desc="MusicBrainz Album Id", text=[ID]),
        id3.TXXX(encoding=3, desc="replaygain_track_gain", text=["-9 dB"]),
        id3.APIC(encoding=0, mime="image/jpeg", type=3, desc="", data=COVER),
    ]


def with_id3(path: Path) -> None:
    coded(path)
    file = {".mp3": MP3, ".wav": WAVE, ".aiff": AIFF}[path.suffix](path)
    if file.tags is None:
        file.add_tags()
    for frame in frames():
        file.tags.add(frame)
    file.save()


def with_mp4(path: Path) -> None:
    coded(path)
    file = mp4.MP4(path)
    file["\xa9nam"], file["\xa9ART"], file["\xa9alb"] = [TITLE], ARTISTS, [ALBUM]
    file["aART"], file["\xa9day"], file["\xa9cmt"] = ["Various"], ["1988-01-05"], ["two\nlines"]
    file["trkn"], file["disk"], file["cpil"], file["pgap"] = [(3, 12)], [(1, 2)], True, True
    file["----:com.apple.iTunes:MusicBrainz Album Id"] = [ID.encode()]
    file["----:com.apple.iTunes:iTunSMPB"] = [b"00000000 00000840"]
    file["covr"] = [mp4.MP4Cover(COVER, mp4.MP4Cover.FORMAT_JPEG)]
    file.save()


def with_comments(path: Path) -> None:
    coded(path)
    file = mutagen.File(path)
    file.update(
        TITLE=[TITLE], artist=ARTISTS, ALBUM=[ALBUM], ALBUMARTIST=["Various"], TRACKNUMBER=["3"],
        TOTALTRACKS=["12"], DISCNUMBER=["1"], DISCTOTAL=["2"], DATE=["1988-01-05"],
        COMMENT=["two\nlines"], COMPILATION=["1"], MUSICBRAINZ_ALBUMID=[ID], ENCODER=["x"],
    )  # fmt: skip
    art = flac.Picture()
    art.type, art.mime, art.data = 3, "image/jpeg", COVER
    if isinstance(file, flac.FLAC):
        file.add_picture(art)
    else:
        file["metadata_block_picture"] = [base64.b64encode(art.write()).decode()]
    file.save()


def with_ape(path: Path) -> None:
    coded(path)
    tags = apev2.APEv2()
    for name, value in (
        ("Title", TITLE), ("Artist", ARTISTS), ("Album", ALBUM), ("Album Artist", "Various"),
        ("Track", "3/12"), ("Disc", "1/2"), ("Year", "1988-01-05"), ("Comment", "two\nlines"),
        ("Compilation", "1"), ("MUSICBRAINZ_ALBUMID", ID), ("REPLAYGAIN_TRACK_GAIN", "-9 dB"),
    ):  # fmt: skip
        tags[name] = value
    tags["Cover Art (Front)"] = apev2.APEValue(b"cover.jpg\0" + COVER, apev2.BINARY)
    tags.save(path)


def with_asf(path: Path) -> None:
    coded(path)
    file = asf.ASF(path)
    file["Title"], file["Author"], file["WM/AlbumTitle"] = TITLE, ARTISTS, ALBUM
    file["WM/AlbumArtist"], file["WM/TrackNumber"] = "Various", "3/12"
    file["WM/PartOfSet"], file["WM/Year"] = "1/2", "1988-01-05"
    file["Description"], file["WM/IsCompilation"] = "two\nlines", "1"
    file["MusicBrainz/Album Id"] = ID
    mime = "image/jpeg\0".encode("utf-16-le")
    head = b"\x03" + len(COVER).to_bytes(4, "little") + mime + b"\0\0"
    file["WM/Picture"] = asf.ASFByteArrayAttribute(head + COVER)
    file.save()


SOURCES: dict[str, Callable[[Path], None]] = {
    "id3.mp3": with_id3,
    "id3.wav": with_id3,
    "id3.aiff": with_id3,
    "itunes.m4a": with_mp4,
    "comments.flac": with_comments,
    "comments.ogg": with_comments,
    "comments.opus": with_comments,
    "ape.wv": with_ape,
    "ape.mp3": with_ape,
    "asf.wma": with_asf,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of each of our formats without tags."""
    folder = tmp_path_factory.mktemp("results")
    for form in FORMATS:
        coded(folder / f"out.{form}")
    return folder


@pytest.mark.parametrize("name", SOURCES)
def test_all_goes_from_everywhere_to_everywhere(tmp_path: Path, results: Path, name: str) -> None:
    SOURCES[name](tmp_path / name)
    found = read_tags(tmp_path / name)
    assert found.texts == WHOLE
    for form in FORMATS:
        out = tmp_path / f"out.{form}"
        out.write_bytes((results / out.name).read_bytes())
        assert write_tags(out, form, found) == 0
        again = read_tags(out)
        assert again.texts == WHOLE, form
        assert [(art.kind, art.mime, art.data) for art in again.pictures] == [
            (3, "image/jpeg", COVER)
        ]
        decode(out, tmp_path / "decoded.wav")
        assert soundfile.info(tmp_path / "decoded.wav").duration == pytest.approx(0.2, abs=0.06)


def test_other_programs_find_the_names_that_they_expect(tmp_path: Path, results: Path) -> None:
    texts = {**WHOLE, "musicbrainz_trackid": [ID], "date": ["spring of 88"]}
    for form in ("flac", "mp3"):
        (tmp_path / f"a.{form}").write_bytes((results / f"out.{form}").read_bytes())
        write_tags(tmp_path / f"a.{form}", form, Tags(texts))
        assert read_tags(tmp_path / f"a.{form}").texts == texts
    comments = flac.FLAC(tmp_path / "a.flac")
    assert (comments["tracknumber"], comments["tracktotal"]) == (["3"], ["12"])
    frames = MP3(tmp_path / "a.mp3").tags
    assert frames["TXXX:MusicBrainz Album Id"].text == [ID]
    assert frames["UFID:http://musicbrainz.org"].data == ID.encode()


def test_texts_of_riff_and_of_old_id3(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.wav", "w", RATE, 2) as file:
        file.title, file.artist = "Tüne = #1; \\o/", "Кино"
        file.write(tone("riff", 0.2))
    found = read_tags(tmp_path / "a.wav").texts
    assert found == {"title": ["Tüne = #1; \\o/"], "artist": ["Кино"]}
    coded(tmp_path / "old.mp3")
    fields = (b"Title", b"Artist", b"Album", b"1999", b"said so\0\0\0")
    sizes = (30, 30, 30, 4, 28)
    old = b"".join(field.ljust(size, b"\0") for field, size in zip(fields, sizes, strict=True))
    with (tmp_path / "old.mp3").open("ab") as out:
        out.write(b"TAG" + old + b"\0\x07" + b"\x11")
    assert read_tags(tmp_path / "old.mp3").texts == {
        "title": ["Title"], "artist": ["Artist"], "album": ["Album"], "date": ["1999"],
        "comment": ["said so"], "tracknumber": ["7"], "genre": ["Rock"],
    }  # fmt: skip


def test_a_picture_too_large_for_flac_is_left_out(tmp_path: Path) -> None:
    coded(tmp_path / "a.flac")
    huge = Tags({"title": ["x"]}, (Picture(3, "image/png", bytes(17_000_000)),))
    assert write_tags(tmp_path / "a.flac", "flac", huge) == 1
    assert read_tags(tmp_path / "a.flac") == Tags({"title": ["x"]})
