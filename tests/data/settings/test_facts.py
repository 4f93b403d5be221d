import pytest

from apollo_data.cli.download import Source
from apollo_data.errors import DataError
from apollo_data.settings import facts as committed


def test_the_facts_of_both_data_sets_are_whole() -> None:
    for name in Source:
        facts = committed.source_facts(name.value)
        assert facts.name == name.value
        assert facts.address.startswith("https://")
        assert facts.archive == f"{name.value}.zip"
        assert len(bytes.fromhex(facts.sha256)) == 32
        assert facts.approximate_bytes < facts.approximate_unpacked_bytes
        assert facts.licence
        assert facts.licence_address.startswith("https://")


def test_musdb18hq_is_the_published_archive() -> None:
    facts = committed.source_facts("musdb18hq")
    assert facts.address == "https://zenodo.org/records/3338373/files/musdb18hq.zip?download=1"
    assert facts.sha256 == "baac80d0483c61d74b2e5f3be75fa557eec52898339e6aa45c1fa48833c5d21d"


def test_an_unknown_source_is_named_with_the_known_ones() -> None:
    with pytest.raises(DataError, match="'musdb': is not known; name one of musdb18hq, moisesdb"):
        committed.source_facts("musdb")
