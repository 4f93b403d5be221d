"""Free disk space is checked before the work; a full disk is one clear error."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from apollo_data.disk_space import full_disk_reason, require_free_space, telling_full_disk
from apollo_data.errors import DataError


def test_folders_on_one_disk_share_its_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: SimpleNamespace(free=5_000_000))
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    require_free_space({one: 2_000_000, two: 3_000_000}, "the export")
    with pytest.raises(DataError, match=r"one and .*two: the export needs 5\.5 MB, this disk has"):
        require_free_space({one: 2_500_000, two: 3_000_000}, "the export")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_whoever_found_it_out(tmp_path: Path, code: int) -> None:
    words = os.strerror(code)
    hidden = RuntimeError(f"Can't write data (file write failed: errno = {code}, '{words}', x)")
    for error in (OSError(code, words), hidden):
        with (
            pytest.raises(DataError, match=rf"out: {words.lower()}; run again"),
            telling_full_disk(tmp_path / "out", "run again"),
        ):
            raise error


def test_the_disk_itself_is_asked_and_other_errors_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="else"), telling_full_disk(tmp_path):
        raise ValueError("something else")
    with pytest.raises(ValueError, match="else"), telling_full_disk(tmp_path / "no" / "such"):
        raise ValueError("something else")

    def refuse(**_options: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(DataError, match="quota"), telling_full_disk(tmp_path):
        raise RuntimeError("Error : flac encoder internal error.")


def test_only_a_full_disk_counts_as_one() -> None:
    assert full_disk_reason(PermissionError(errno.EACCES, "Permission denied")) is None
