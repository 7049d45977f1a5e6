"""The cluster that runs for the length of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.slurm import Cluster, running


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A SLURM cluster that accepts jobs."""
    with running() as started:
        yield started
