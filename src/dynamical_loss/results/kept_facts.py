"""Facts about source files, kept on disk from one process to the next.

Reading the syntax trees of the whole package takes seconds, and Snakemake would do it at each start of a job.
A fact is kept under the checksum of the text that it was computed from, so an edited file never gets an old
fact.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dynamical_loss import program_cache

_MOST = 3000
"""Number of facts at which those that this process did not use are dropped."""


class KeptFacts:
    """Facts by key, in a file that is read at the first use; without a usable file there are none."""

    def __init__(self, path: Path | None) -> None:
        """Prepare to use a file, which need not exist; None keeps nothing."""
        self._path = path
        self._known: dict[str, Any] | None = None
        self._used: dict[str, Any] = {}
        self._is_new = False

    def get(self, key: str) -> Any | None:
        """Return a fact, or None if it is not kept."""
        if self._known is None:
            self._known = self._stored()
        found = self._known.get(key)
        if found is not None:
            self._used[key] = found
        return found

    def put(self, key: str, fact: Any) -> None:
        """Keep a fact, which must be plain JSON; `write` stores it."""
        self._used[key] = fact
        self._is_new = True

    def write(self) -> None:
        """Store new facts; a folder that cannot be written to is no error."""
        if not self._is_new or self._path is None:
            return
        self._is_new = False
        facts = self._stored() | self._used  # other processes may have added theirs
        if len(facts) > _MOST:
            facts = self._used
        program_cache.write(self._path, json.dumps(facts, sort_keys=True).encode())

    def _stored(self) -> dict[str, Any]:
        content = None if self._path is None else program_cache.read(self._path)
        found: dict[str, Any] = {} if content is None else json.loads(content)
        return found


def of_user(name: str) -> KeptFacts:
    """Return facts in a file of the user's cache; a Python without packages keeps none."""
    try:
        return KeptFacts(program_cache.of_user(name))
    except ModuleNotFoundError:
        return KeptFacts(None)
