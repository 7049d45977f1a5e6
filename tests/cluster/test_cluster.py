"""The test cluster itself: it starts only where it is allowed to, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from cluster import slurm
from dynamical_loss.errors import UserError


def test_a_real_clusters_node_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "slurm.conf"
    path.write_text("ClusterName=university\n", encoding="utf-8")
    monkeypatch.setattr(slurm, "CONFIGURATION", path)
    with pytest.raises(UserError, match="belongs to a real SLURM cluster"), slurm.running():
        pass
    assert path.read_text(encoding="utf-8") == "ClusterName=university\n"


def test_what_a_killed_run_left_is_removed_by_the_next_and_by_none_while_it_runs():
    code = "from cluster.slurm import running\nwith running() as cluster: print(cluster.folder); input()"
    command = [sys.executable, "-u", "-c", code]
    folder = Path(__file__).parents[1]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, **pipes) as first:
        left = Path(first.stdout.readline().strip())
        assert (left / "run/slurmctld.pid").exists()
        with pytest.raises(UserError, match="other SLURM tests run on this machine"), slurm.running():
            pass
        before = {name: slurm.processes(name) for name in slurm.DAEMONS}
        first.kill()
    assert slurm.CONFIGURATION.exists()
    with slurm.running() as second:
        assert not left.exists()
        for name, numbers in before.items():
            assert numbers and slurm.processes(name)
            assert not numbers & slurm.processes(name)
    assert not second.folder.exists()
    assert not slurm.CONFIGURATION.exists()
    assert not any(slurm.processes(name) for name in slurm.DAEMONS)
