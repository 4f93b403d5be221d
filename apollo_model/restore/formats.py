"""The formats that results can be written in: what each can hold, and its options."""

from dataclasses import dataclass
from pathlib import Path

from apollo_data.errors import AudioError, DataError

FORMATS = ("wav", "flac", "aiff", "mp3", "m4a", "ogg", "opus")
_SUFFIXES = {f".{name}": name for name in FORMATS} | {".aif": "aiff", ".wave": "wav"}
_LOSSY = ("mp3", "m4a", "ogg", "opus")
_MPEG_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_RATES_HZ = {"mp3": _MPEG_RATES_HZ, "m4a": (7350, *_MPEG_RATES_HZ, 64000, 88200, 96000)}
_MAX_RATE_HZ = {"flac": 655_350, "ogg": 200_000}
_OPUS_RATE_HZ = 48000
_MAX_CHANNELS = {"wav": 1024, "aiff": 1024, "flac": 8, "mp3": 2, "m4a": 8, "ogg": 8, "opus": 8}
# ffmpeg writes these into each other's places.
_MIXED_UP = {"opus": (5, 7), "m4a": (7,)}
_NAMES = {"m4a": "M4A (AAC)", "ogg": "Ogg Vorbis", "opus": "Opus"}
_SUBTYPES = {"float": "FLOAT", "16": "PCM_16", "24": "PCM_24"}
_SUBTYPE_BYTES = {"FLOAT": 4, "PCM_24": 3, "PCM_16": 2}
_VORBIS_KBPS = 400  # about what quality 9 takes, at most
_MAX_AIFF_BYTES = (1 << 32) - (1 << 20)


def format_of_name(path: Path) -> str | None:
    """Return the format that a file name's suffix stands for, None if it stands for none.

    Examples
    --------
    >>> format_of_name(Path("a.AIF")), format_of_name(Path("a.wma"))
    ('aiff', None)
    """
    return _SUFFIXES.get(path.suffix.lower())


@dataclass(frozen=True)
class OutputFormat:
    """How results are written.

    Attributes
    ----------
    container
        One of `FORMATS`.
    depth
        16, 24 or float; None gives float for WAV, and 24 bits for FLAC and AIFF.
    kbps
        Bitrate of MP3, M4A and Opus; None gives 320, 256 and 192.
    """

    container: str = "wav"
    depth: str | None = None
    kbps: int | None = None

    @property
    def name(self) -> str:
        """The format's usual name."""
        return _NAMES.get(self.container, self.container.upper())

    @property
    def is_lossy(self) -> bool:
        """Whether the format is coded with loss."""
        return self.container in _LOSSY

    @property
    def subtype(self) -> str:
        """What libsndfile calls the samples' type."""
        return _SUBTYPES[self.depth or ("float" if self.container == "wav" else "24")]

    @property
    def clips(self) -> bool:
        """Whether the format cannot hold more than full scale."""
        return self.is_lossy or self.subtype != "FLOAT"

    def check(self) -> None:
        """Raise a `DataError` if the options do not go together."""
        if self.is_lossy and self.depth:
            raise DataError(f"--depth belongs to WAV, FLAC and AIFF, not to {self.name}")
        if self.kbps and self.container == "ogg":
            raise DataError("Ogg Vorbis has one quality here (9); leave out --kbps")
        if self.kbps and not self.is_lossy:
            raise DataError(f"--kbps belongs to MP3, M4A and Opus, not to {self.name}")
        if self.container == "flac" and self.depth == "float":
            raise DataError("FLAC has no float samples; use --depth 24, or --format wav")

    def rate_for(self, wanted: int) -> int:
        """Return the sample rate to write where `wanted` hertz would be best.

        Raises
        ------
        AudioError
            The format does not have that rate.
        """
        if self.container == "opus":
            return _OPUS_RATE_HZ
        rates = _RATES_HZ.get(self.container)
        highest = _MAX_RATE_HZ.get(self.container, wanted)
        if wanted > highest or (rates and wanted not in rates):
            raise AudioError(f"{self.name} has no {wanted} Hz; leave out --keep-rate, or use WAV")
        return wanted

    def check_size(self, channels: int, samples: int) -> None:
        """Raise an `AudioError` if the format cannot hold so many channels, or samples in all."""
        most = _MAX_CHANNELS[self.container]
        if channels > most:
            raise AudioError(f"has {channels} channels, {self.name} holds {most}; use --format wav")
        if channels in _MIXED_UP.get(self.container, ()):
            raise AudioError(
                f"has {channels} channels, which ffmpeg would mix up in {self.name};"
                " use --format flac"
            )
        size = samples * _SUBTYPE_BYTES[self.subtype]
        if self.container == "aiff" and size > _MAX_AIFF_BYTES:
            raise AudioError(f"would take {size / 1e9:.1f} GB, AIFF ends at 4 GB; use --format wav")

    def kbps_for(self, channels: int, rate: int) -> int:
        """Return the bitrate in kbit/s that is asked of the encoder."""
        if self.container == "mp3":
            most = 320 if rate >= 32000 else 160 if rate >= 16000 else 64
            return min(self.kbps or 320, most)
        if self.container == "m4a":
            return self.kbps or max(256, 96 * channels)
        return min(self.kbps or 192, 256 * channels)

    def likely_bytes(self, channels: int, samples: int, seconds: float) -> int:
        """Return about how large a result will be; `samples` counts those of all channels."""
        if self.container == "ogg":
            return round(seconds * 125 * _VORBIS_KBPS * max(1, channels / 2))
        if self.is_lossy:
            return round(seconds * 125 * self.kbps_for(channels, 48000))
        # Music in FLAC takes half to two thirds of its samples' bytes.
        share = 2 if self.container == "flac" else 1
        return samples * _SUBTYPE_BYTES[self.subtype] // share
