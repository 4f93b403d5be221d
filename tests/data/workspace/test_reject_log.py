"""The summary of what was left out: few lines, and each tells where to look."""

from pathlib import Path

import pytest

from apollo_data.console import Console
from apollo_data.records import Rejection
from apollo_data.workspace.reject_log import RejectLog, tell_rejections, why_nothing


def test_files_of_one_reason_are_one_line_with_an_example_in_full(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        Rejection(
            f"shards/train/shard-{number:05d}.h5",
            "build-h5",
            f"raw/songs 2/Band {number} - It's: {number} o'clock/bass {number}.wav: no such file",
        )
        for number in range(40)
    ]
    tell_rejections(rows, Console())
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "left out by build-h5: 40 x no such file "
        "(such as raw/songs 2/Band 0 - It's: 0 o'clock/bass 0.wav)"
    ]


def test_many_reasons_stay_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    words = "abcdefghijklmnopqrst"
    rows = [Rejection(f"{word}.wav", "catalog", f"is {word}") for word in words]
    tell_rejections([*rows, rows[0]], Console())
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "left out by catalog: 2 x is a (such as a.wav)"
    assert told[1] == "left out by catalog: 1 x is b (b.wav)"
    assert told[-1] == "left out for 12 other reasons: 12 (see rejects.jsonl)"
    assert len(told) == 9


def test_where_all_is_left_out_the_main_reason_is_told() -> None:
    rows = [Rejection(f"{number}.wav", "catalog", "is an empty file") for number in range(3)]
    rows.append(Rejection("x", "catalog", "is a folder that cannot be opened"))
    told = why_nothing(rows, RejectLog(Path("o/rejects.jsonl")))
    assert told == (
        "3 x is an empty file (0.wav), and 1 for other reasons; all are in o/rejects.jsonl"
    )
