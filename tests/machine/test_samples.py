"""Every sample says where it is from."""

import pytest

from tests.machine.recorded import PROVENANCES, SAMPLES, samples

ALL = [(path.stem, name) for path in sorted(SAMPLES.glob("*.toml")) for name in samples(path.stem)]


@pytest.mark.parametrize(("system", "name"), ALL)
def test_every_sample_says_whether_it_was_captured_quoted_or_constructed(system: str, name: str) -> None:
    sample = samples(system)[name]
    assert sample.provenance in PROVENANCES
    assert sample.text or sample.files or sample.keys
    if sample.provenance == "quoted":
        assert sample.source.startswith("https://")
    else:
        assert sample.note


def test_there_are_samples_of_every_system() -> None:
    assert {system for system, _ in ALL} == {"linux", "linux_gpus", "macos", "nvidia", "windows"}
