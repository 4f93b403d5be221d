"""Where the files of `manifests/` and `pipelines/` are, in a checkout and in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def packaged_file(folder: str, name: str) -> Path | None:
    """Return a file of `manifests/` or `pipelines/`; None if this installation has no such file.

    A wheel has both folders inside the package `apollo_data`, a checkout beside it.
    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (path := parent / folder / name).is_file():
            return path
    return None


def pipeline_names() -> tuple[str, ...]:
    """Return the names of the pipelines that come with the software, sorted."""
    folders = (parent / "pipelines" for parent in (_PACKAGE, _PACKAGE.parent))
    return tuple(sorted({path.stem for folder in folders for path in folder.glob("*.toml")}))
