"""What is inside the shards of a working folder, as digests that can be compared."""

import hashlib
import time
from pathlib import Path

import h5py

from apollo_data.shards import find_shards
from apollo_data.storage import sha256_file


def contents(out: Path) -> dict[str, str]:
    """Digest of every dataset in every shard."""
    digests: dict[str, str] = {}
    for path in find_shards(out / "shards"):
        with h5py.File(path) as shard:

            def visit(name: str, item: object, path: Path = path) -> None:
                if isinstance(item, h5py.Dataset):
                    if item.dtype.kind == "O":
                        data = "\n".join(item.asstr()[:]).encode()
                    else:
                        data = item[:].tobytes()
                    key = f"{path.relative_to(out)}{item.name}"
                    digests[key] = hashlib.sha256(data).hexdigest()

            shard.visititems(visit)
    return digests


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every shard file, and the list that speaks of them."""
    found = {str(path.relative_to(out)): sha256_file(path) for path in find_shards(out / "shards")}
    return {**found, "list": (out / "shards.jsonl").read_text()}


def wait_for_shards(out: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(out.rglob("shard-*.h5"))) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(list(out.rglob("shard-*.h5"))) >= count
