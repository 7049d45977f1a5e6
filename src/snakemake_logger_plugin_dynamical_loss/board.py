"""What is known of a running study, and the one line that says it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TAIL_BYTES = 400
_FRACTION = re.compile(rb"(\d+)%, \d+ s elapsed")


@dataclass
class _Job:
    rule: str
    words: str
    logs: list[str]
    started: float


@dataclass
class Board:
    """A running study.

    Attributes:
        total: number of jobs of the study.
        done: number of finished jobs.
    """

    total: int = 0
    done: int = 0
    _failed: set[int] = field(default_factory=set)
    _left: Counter[str] = field(default_factory=Counter)
    _running: dict[int, _Job] = field(default_factory=dict)
    _took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _began: float | None = None

    def take(self, event: Any, fields: Mapping[str, Any], now: float) -> None:
        """Take an event of Snakemake into account; unknown events change nothing.

        Args:
            event: kind of the event, a member of ``LogEvent``, or None.
            fields: attributes of the event's record.
            now: time in seconds.
        """
        kind = str(event)
        if kind == "run_info":
            counts = {rule: int(count) for rule, count in dict(fields["stats"]).items() if rule != "total"}
            self._left, self.total = Counter(counts), sum(counts.values())
            self._began = now
        elif kind == "job_info":
            words = fields.get("rule_msg") or fields["rule_name"]
            job = _Job(fields["rule_name"], str(words), list(map(str, fields.get("log") or [])), now)
            self._running[int(fields["jobid"])] = job
            self._failed.discard(int(fields["jobid"]))  # the job is tried again
        elif kind == "job_finished":
            self._end(int(fields["job_id"]), now, failed=False)
        elif kind == "job_error":
            self._end(int(fields["jobid"]), now, failed=True)
        elif kind == "progress":
            self.done, self.total = int(fields["done"]), int(fields["total"])

    def _end(self, number: int, now: float, *, failed: bool) -> None:
        job = self._running.pop(number, None)
        if job is None:
            return
        if failed:
            self._failed.add(number)
        else:
            self._left[job.rule] -= 1
            self._took[job.rule].append(now - job.started)

    def seconds_left(self, now: float) -> float | None:
        """Estimate the time that is left; None before the first job has finished.

        A job is expected to take as long as the finished jobs of its rule did in the mean.  Without any,
        the mean of all finished jobs counts.  As many jobs are expected to run side by side as did so far.
        """
        times = [each for rule in self._took.values() for each in rule]
        if not times or self._began is None:
            return None
        mean = sum(times) / len(times)
        means = {rule: sum(each) / len(each) for rule, each in self._took.items()}
        work = sum(means.get(rule, mean) * count for rule, count in self._left.items() if count > 0)
        passed = {number: now - job.started for number, job in self._running.items()}
        for number, job in self._running.items():
            work -= min(passed[number], means.get(job.rule, mean))
        side_by_side = max(1.0, (sum(times) + sum(passed.values())) / max(now - self._began, 1e-9))
        return max(work, 0.0) / side_by_side

    def line(self, now: float, width: int) -> str:
        """Return the state of the study in one line of at most `width` characters."""
        parts = [f"{self.done} of {self.total} jobs"]
        if self._failed:
            parts.append(f"{len(self._failed)} failed")
        left = self.seconds_left(now)
        if left is not None and self.done < self.total:
            parts.append(f"about {_duration(left)} left")
        elif self._began is not None:
            parts.append(f"{_duration(now - self._began)} so far")
        running = [f"{job.words}{_own_progress(job.logs)}" for job in self._running.values()]
        if running:
            parts.append(f"now: {'; '.join(running)}")
        text = " · ".join(parts)
        return text if len(text) <= width else f"{text[: width - 1]}…"


def _duration(seconds: float) -> str:
    """Return a time in words.

    Examples:
        >>> _duration(42), _duration(600), _duration(9000)
        ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _own_progress(logs: list[str]) -> str:
    """Return how far a job is, from the last line of its log that says so; nothing if there is none."""
    for name in logs:
        try:
            with Path(name).open("rb") as stream:
                stream.seek(max(0, Path(name).stat().st_size - _TAIL_BYTES))
                found = _FRACTION.findall(stream.read())
        except OSError:
            continue
        if found:
            return f" {int(found[-1])} %"
    return ""
