"""Provenance of a result: the state of the repository."""

import subprocess
import textwrap

from dynamical_loss.results import digest
from dynamical_loss.results.record import git_state


def test_git_state_follows_the_working_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "REPOSITORY", tmp_path)
    assert git_state() == ("unknown", "unknown")
    script = """
        git init -q . && git config user.email a@b.c && git config user.name a
        echo 1 > file && git add file && git commit -q -m first
    """
    subprocess.run(["sh", "-ec", textwrap.dedent(script)], cwd=tmp_path, check=True)
    commit, state = git_state()
    assert len(commit) == 40 and state == "clean"
    (tmp_path / "file").write_text("2", encoding="utf-8")
    assert git_state() == (commit, "dirty")
