"""The cluster, for the length of the tests."""

import pytest

from cluster.slurm import running


@pytest.fixture(scope="session")
def cluster():
    """A SLURM cluster that takes jobs."""
    with running() as started:
        yield started
