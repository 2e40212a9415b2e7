"""A tiny project on which faults are tried, made once for a process that tests."""

from collections.abc import Iterator

import pytest

from support.servers import running_server
from support.staged import Staged, staged


@pytest.fixture(scope="session")
def project_by_stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """Run every stage and command once, and keep what stood before each."""
    with running_server() as server, staged(tmp_path_factory.mktemp("staged"), server) as made:
        yield made
