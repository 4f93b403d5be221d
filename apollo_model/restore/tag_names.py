"""Names of tags: the Vorbis comment name of each ID3 frame, MP4 atom, APE and ASF name."""

import re

# Vorbis name, ID3 frame, MP4 atom, other names: of APE, ASF (WMA), and ffmpeg's own
_NAMES = (
    ("title", "TIT2", "\xa9nam", ()),
    ("subtitle", "TIT3", "", ("wm/subtitle",)),
    ("artist", "TPE1", "\xa9ART", ("author", "wm/author")),
    ("album", "TALB", "\xa9alb", ("wm/albumtitle",)),
    ("albumartist", "TPE2", "aART", ("album artist", "album_artist", "wm/albumartist")),
    ("composer", "TCOM", "\xa9wrt", ("wm/composer",)),
    ("lyricist", "TEXT", "", ("wm/writer",)),
    ("conductor", "TPE3", "", ("wm/conductor",)),
    ("remixer", "TPE4", "", ("mixartist", "wm/modifiedby")),
    ("genre", "TCON", "\xa9gen", ("wm/genre",)),
    ("date", "TDRC", "\xa9day", ("year", "wm/year")),
    ("tracknumber", "TRCK", "trkn", ("track", "wm/tracknumber")),
    ("discnumber", "TPOS", "disk", ("disc", "disk", "wm/partofset")),
    ("grouping", "TIT1", "\xa9grp", ("contentgroup", "wm/contentgroupdescription")),
    ("bpm", "TBPM", "tmpo", ("wm/beatsperminute",)),
    ("copyright", "TCOP", "cprt", ()),
    ("isrc", "TSRC", "", ("wm/isrc",)),
    ("language", "TLAN", "", ("wm/language",)),
    ("mood", "TMOO", "", ("wm/mood",)),
    ("organization", "TPUB", "", ("publisher", "wm/publisher")),
    ("originaldate", "TDOR", "", ("wm/originalreleasetime",)),
    ("compilation", "TCMP", "cpil", ("wm/iscompilation",)),
    ("titlesort", "TSOT", "sonm", ("wm/titlesortorder",)),
    ("artistsort", "TSOP", "soar", ("wm/artistsortorder",)),
    ("albumsort", "TSOA", "soal", ("wm/albumsortorder",)),
    ("albumartistsort", "TSO2", "soaa", ("wm/albumartistsortorder",)),
    ("composersort", "TSOC", "soco", ("wm/composersortorder",)),
    ("comment", "COMM", "\xa9cmt", ("description",)),
    ("lyrics", "USLT", "\xa9lyr", ("unsyncedlyrics", "unsynced lyrics", "wm/lyrics")),
    ("tracktotal", "", "", ("totaltracks",)),
    ("disctotal", "", "", ("totaldiscs",)),
    ("releasetype", "", "", ("musicbrainz_albumtype",)),
    ("releasestatus", "", "", ("musicbrainz_albumstatus",)),
    ("releasecountry", "", "", ("musicbrainz_albumreleasecountry",)),
)
# MusicBrainz's names of ID3's TXXX frames and MP4's free-form atoms.
_DESCRIPTIONS = (
    "MusicBrainz Album Id",
    "MusicBrainz Album Artist Id",
    "MusicBrainz Album Release Country",
    "MusicBrainz Album Status",
    "MusicBrainz Album Type",
    "MusicBrainz Artist Id",
    "MusicBrainz Disc Id",
    "MusicBrainz Release Group Id",
    "MusicBrainz Release Track Id",
    "MusicBrainz Work Id",
    "Acoustid Fingerprint",
    "Acoustid Id",
)
BY_ID3 = {id3: name for name, id3, _, _ in _NAMES if id3}
BY_MP4 = {mp4: name for name, _, mp4, _ in _NAMES if mp4}
TO_ID3 = {name: id3 for name, id3, _, _ in _NAMES if id3}
TO_MP4 = {name: mp4 for name, _, mp4, _ in _NAMES if mp4}
TOTALS = (("tracknumber", "tracktotal"), ("discnumber", "disctotal"))
"""Vorbis comments write "3/12" as two comments."""
MUSICBRAINZ = "http://musicbrainz.org"
"""Owner of ID3's UFID frame, which stands for `musicbrainz_trackid`."""

_ALIASES = {alias: name for name, _, _, aliases in _NAMES for alias in aliases}
_OF_THE_CODING = re.compile(
    r"encod|replaygain|r128|itun(smpb|norm|pgap)|metadata_block_picture|cover ?art"
    r"|waveformat|wmfsdk|isvbr|wm/picture|devicecon"
    r"|major_brand|minor_version|compatible_brands|handler_name|vendor_id|coding_history"
    r"|^(creation_time|duration)$|_statistics_"
)


def vorbis_name(name: str) -> str:
    """Return the Vorbis comment name, in lower case, of a tag of any kind.

    Examples
    --------
    >>> vorbis_name("MusicBrainz Album Id"), vorbis_name("WM/Year"), vorbis_name("Catalog")
    ('musicbrainz_albumid', 'date', 'catalog')
    """
    lower = name.lower()
    if found := re.fullmatch(r"(musicbrainz|acoustid)[ /_](.+)", lower):
        lower = f"{found[1]}_{found[2].replace(' ', '')}"
    return _ALIASES.get(lower, lower)


def is_of_the_coding(name: str) -> bool:
    """Tell whether a tag describes the coded sound or its container, not the music."""
    return bool(_OF_THE_CODING.search(name.lower()))


_TO_TXXX = {vorbis_name(text): text for text in _DESCRIPTIONS}


def free_description(name: str) -> str:
    """Return the description of the TXXX frame, or MP4 atom, for a Vorbis name without its own."""
    return _TO_TXXX.get(name, name.upper())
