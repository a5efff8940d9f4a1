"""What the tests of builds share: one release server, on which every test has a repository of its own."""

import itertools
from collections.abc import Iterator

import pytest

from tests.engines.builds.forge import Forge
from tests.servers.launch import start

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def common_forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """One server for all tests of a file."""
    folder = tmp_path_factory.mktemp("releases")
    with start("release_server", "--folder", str(folder), "--rate-limit", "9999") as server:
        yield Forge(folder, server, "")


@pytest.fixture
def forge(common_forge: Forge) -> Iterator[Forge]:
    """An empty repository on the release server, which works when the test begins."""
    yield Forge(common_forge.folder, common_forge.server, f"tests/repo{next(_numbers)}")
    common_forge.server.set_fault("none")
