"""Every way we know in which a file can be no usable stem: one writer a kind."""

import os
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from helpers.small_songs import RATE, tone

Writer = Callable[[Path], None]


def _encoded(container: str, subtype: str | None = None, channels: int = 2) -> bytes:
    sound = np.repeat(tone("bad", 2.0)[:, :1], channels, axis=1)
    out = BytesIO()
    soundfile.write(out, sound, RATE, format=container, subtype=subtype)
    return out.getvalue()


def _bytes(content: bytes) -> Writer:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def _floats(change: Callable[[np.ndarray], None]) -> Writer:
    def write(path: Path) -> None:
        sound = tone("bad", 2.0).astype(np.float64)
        change(sound)
        container = "FLAC" if path.suffix == ".flac" else "WAV"
        soundfile.write(path, sound, RATE, subtype="DOUBLE", format=container)

    return write


def _put(value: float) -> Writer:
    def change(sound: np.ndarray) -> None:
        sound[RATE, 0] = value

    return _floats(change)


def _wav_header(**fields: int) -> bytes:
    """A WAV file of 2 s of silence whose header says what `fields` say."""
    named = {"tag": 1, "channels": 2, "rate": RATE, "align": 4, "bits": 16, "data": 8 * RATE}
    named |= fields
    byte_rate = (named["rate"] * named["align"]) % 2**32
    head = struct.pack(
        "<HHIIHH", named["tag"], named["channels"], named["rate"], byte_rate, named["align"],
        named["bits"],
    )  # fmt: skip
    body = b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", named["data"])
    return b"RIFF" + struct.pack("<I", 36 + 8 * RATE) + b"WAVE" + body + bytes(8 * RATE)


def _link(target: str) -> Writer:
    return lambda path: path.symlink_to(target)


def _damaged_flac() -> bytes:
    content = bytearray(_encoded("FLAC"))
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    return bytes(content)


_WAV = _encoded("WAV", "PCM_16")
_FLAC = _encoded("FLAC", "PCM_16")
_DATA = _WAV.index(b"data")

KINDS: dict[str, Writer] = {
    "empty": _bytes(b""),
    "one_byte": _bytes(b"R"),
    "text": _bytes(b"these are not the samples you are looking for\n" * 50),
    "web_page": _bytes(b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
    "utf16_text": _bytes("keine Töne".encode("utf-16") * 20),
    "playlist": _bytes(b"#EXTM3U\nhttp://127.0.0.1:9/secret.wav\n"),
    "noise": _bytes(np.random.default_rng(1).bytes(40_000)),
    "zeros": _bytes(bytes(40_000)),
    "zip": _bytes(b"PK\x03\x04" + bytes(400)),
    "picture": _bytes(b"\x89PNG\r\n\x1a\n" + bytes(400)),
    "riff_alone": _bytes(_WAV[:4]),
    "header_cut": _bytes(_WAV[:30]),
    "no_data_chunk": _bytes(_WAV[:_DATA]),
    "no_samples": _bytes(_WAV[: _DATA + 4] + bytes(4)),
    "half_of_it": _bytes(_WAV[: len(_WAV) // 2]),
    "last_bytes_missing": _bytes(_WAV[:-3]),
    "promises_more": _bytes(_wav_header(data=80 * RATE)),
    "no_channels": _bytes(_wav_header(channels=0, align=0)),
    "no_rate": _bytes(_wav_header(rate=0)),
    "one_hertz": _bytes(_wav_header(rate=1)),
    "a_gigahertz": _bytes(_wav_header(rate=1_000_000_000)),
    "unknown_encoding": _bytes(_wav_header(tag=0x7ABC)),
    "no_bits": _bytes(_wav_header(bits=0, align=0)),
    "six_channels": _bytes(_encoded("WAV", "PCM_16", channels=6)),
    "nan": _put(np.nan),
    "infinite": _put(np.inf),
    "minus_infinite": _put(-np.inf),
    "integers_as_floats": _floats(lambda sound: np.multiply(sound, 32767.0, out=sound)),
    "mp3_in_disguise": _bytes(_encoded("MP3")),
    "vorbis_in_disguise": _bytes(_encoded("OGG")),
    "flac_cut": _bytes(_FLAC[: len(_FLAC) // 2]),
    "flac_header_alone": _bytes(_FLAC[:60]),
    "flac_damaged": _bytes(_damaged_flac()),
    "a_folder": lambda path: path.mkdir(),
    "dangling_link": _link("nowhere-to-be-found.wav"),
    "link_to_itself": lambda path: path.symlink_to(path.name),
    "a_pipe": os.mkfifo,
    "a_device": _link("/dev/zero"),
}
