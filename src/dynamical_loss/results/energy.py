"""Energy that the machine's processors used while a job ran, where Linux reports it.

Processors of Intel and AMD count the energy of each package (RAPL), and Linux shows the counters in
``/sys/class/powercap``. Most systems let only root read them. The counters know no processes: with other work
on the machine, its energy is counted too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COUNTERS = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """State of the counter of one package.

    Attributes:
        microjoules: energy since some time in the past, µJ.
        range: the counter starts again from 0 after this number, µJ.
    """

    microjoules: int
    range: int


def counters(folder: Path = COUNTERS) -> dict[str, Counter]:
    """Return the counters of all processor packages, by name; empty if there is none or none can be read."""
    found = {}
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            # The zones within a package, such as its cores, are parts of its energy.
            if name.startswith("package-"):
                numbers = (zone / "energy_uj", zone / "max_energy_range_uj")
                found[name] = Counter(*(int(path.read_text(encoding="ascii")) for path in numbers))
        except (OSError, ValueError):
            continue
    return found


def joules(before: Mapping[str, Counter], after: Mapping[str, Counter]) -> float | None:
    """Return the energy between two readings; None if there is no package that both have.

    A counter that started again is taken to have done so once.

    Examples:
        >>> joules({"package-0": Counter(9_000_000, 9_999_999)}, {"package-0": Counter(500_000, 9_999_999)})
        1.5
    """
    both = before.keys() & after.keys()
    if not both:
        return None
    used = ((after[name].microjoules - before[name].microjoules) % (after[name].range + 1) for name in both)
    return sum(used) / 1e6
