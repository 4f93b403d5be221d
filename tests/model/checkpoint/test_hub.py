"""Networks by name through the real huggingface_hub, from a hub on this machine.

Skipped where the package is not installed: `pip install apollo-toolkit[hub]`.
"""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
import torch
from helpers.small_networks import loud_network

from apollo_data.errors import DataError
from apollo_model.checkpoint.formats import load_network

pytest.importorskip("huggingface_hub")

NAME = "JusperLee/Apollo"
COMMIT = "0123456789" * 4
FETCH = (
    f"from apollo_model.checkpoint.hub import fetch_checkpoint; print(fetch_checkpoint({NAME!r}))"
)


class Hub(BaseHTTPRequestHandler):
    """The two answers that a download needs, for one repository."""

    files: dict[str, bytes]
    cut_at: int | None
    asked: list[str]

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._find()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.wfile.write(self._find()[: self.cut_at])

    def _find(self) -> bytes:
        name, _, file = self.path.strip("/").partition("/resolve/main/")
        data = self.files.get(file, b"") if name == NAME else b""
        self.send_response(200 if data else 404)
        if not data:
            self.send_header("X-Error-Code", "EntryNotFound" if name == NAME else "RepoNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return data


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    official = BytesIO()
    state = loud_network(layers=1).state_dict()
    torch.save(
        {"model_name": "Apollo", "state_dict": state, "model_args": {"n_src": 1}, "infos": {}},
        official,
    )
    Hub.files, Hub.cut_at, Hub.asked = {"pytorch_model.bin": official.getvalue()}, None, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(hub: ThreadingHTTPServer, home: Path, **environment: str) -> str:
    """Fetch in a process of its own; return the file's path, or the error's last line."""
    place = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", FETCH],
        env={**os.environ, **place, "HF_HUB_DISABLE_TELEMETRY": "1", **environment},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    return (done.stderr if done.returncode else done.stdout).strip().splitlines()[-1]


def test_the_official_file_is_fetched_once(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    path = fetch(hub, tmp_path)
    assert load_network(path).layers == 1
    assert Hub.asked == [f"/{NAME}/resolve/main/pytorch_model.bin"]
    Hub.files = {}
    assert fetch(hub, tmp_path) == path
    assert fetch(hub, tmp_path, HF_HUB_OFFLINE="1") == path


def test_what_is_wrong_is_told(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    told = fetch(hub, tmp_path / "offline", HF_HUB_OFFLINE="1")
    assert "the hub cannot be reached; try again, or download its pytorch_model.bin" in told
    whole = Hub.files["pytorch_model.bin"]
    Hub.files["pytorch_model.bin"] = b"<html>not found</html>"
    with pytest.raises(DataError, match="is damaged or no checkpoint"):
        load_network(fetch(hub, tmp_path / "wrong"))
    Hub.files = {"other.bin": whole}
    assert "holds none of model.safetensors, pytorch_model.bin" in fetch(hub, tmp_path / "none")


@pytest.mark.slow
def test_a_cut_download_is_never_taken_for_the_file(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    Hub.cut_at = 1000
    assert "cannot be fetched from the hub" in fetch(hub, tmp_path)
    Hub.cut_at = None
    assert load_network(fetch(hub, tmp_path)).layers == 1
