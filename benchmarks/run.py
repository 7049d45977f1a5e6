"""Measure the cost of training, of curvature probes and of starting jobs on this machine.

    python benchmarks/run.py [--quick] [--output FILE] [--update] [--repetitions N] [--only PART ...]

A full run writes benchmarks/results/<machine>.json, benchmarks/growth.png, the tables of benchmarks/README.md
and docs/how-it-works.md, and src/dynamical_loss/models/costs.json.  With --output, only the named file is
written, and the picture in the same folder.  --quick and --only need --output; the numbers of --quick are
meaningless, because its sizes are toy sizes.  With --only and --update instead, the selected parts replace
those in this machine's stored results, if there are any.  Times are processor time of one thread unless
stated otherwise, so that other work on the machine has little effect.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import worker

FOLDER = Path(__file__).resolve().parent
PARTS = (
    "steps",
    "rules",
    "flow",
    "roofline",
    "scaling",
    "probes",
    "growth",
    "startup",
    "compiler",
    "scale",
    "images",
    "pages",
    "overhead",
    "gpu",
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; a wrong combination of options ends the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="run everything at toy size, as a test")
    parser.add_argument("--output", type=Path, help="JSON file [benchmarks/results/<machine>.json]")
    parser.add_argument(
        "--update", action="store_true", help="replace the parts named by --only in the stored file"
    )
    parser.add_argument("--repetitions", type=int, help="repetitions of the timed steps [5; 1 with --quick]")
    parser.add_argument("--only", choices=PARTS, action="append", help="part to run; may be repeated [all]")
    parser.add_argument("--pytorch", action="store_true", help="also time PyTorch on images; see README.md")
    options = parser.parse_args(arguments)
    if options.pytorch and not pytorch_is_there():
        parser.error("--pytorch: PyTorch is not installed; pip install torch==2.13.0, or leave --pytorch out")
    if options.update and (options.quick or options.output or not options.only):
        parser.error("--update goes with --only, and neither with --quick nor with --output")
    if (options.quick or options.only) and options.output is None and not options.update:
        parser.error("--quick and --only do not replace the stored results; name an --output")
    if options.repetitions is None:
        options.repetitions = 1 if options.quick else 5
    if options.repetitions < 1:
        parser.error("--repetitions must be positive")
    return options


def pytorch_is_there() -> bool:
    """Return whether PyTorch, which is in no lock file, is installed."""
    return importlib.util.find_spec("torch") is not None


def parts(
    quick: bool, repetitions: int, with_pytorch: bool
) -> dict[str, Callable[[], list[dict[str, object]]]]:
    """Return the functions that measure each part, by name, at full or toy size."""
    import compiler
    import contenders
    import curvature
    import gpu
    import gradient_flow
    import growth
    import images
    import overhead
    import pages
    import roofline
    import rules
    import scale
    import scaling
    import startup

    cases = [
        contenders.Case(width, precision) for width in (100, 1000) for precision in contenders.PRECISIONS
    ]
    shapes = {width: roofline.Shape(300, 2, width, 3) for width in contenders.WIDTHS}
    if quick:
        return {
            "steps": lambda: contenders.measure(cases[:1], repetitions, 0.02, ("notebook", "idle")),
            "rules": lambda: rules.measure(cases[:1], repetitions, 0.02),
            "flow": lambda: gradient_flow.measure((8,), repetitions, 40),
            "roofline": lambda: roofline.measure(shapes, contenders.PRECISIONS, 2),
            "scaling": lambda: scaling.measure(1, 50),
            "probes": lambda: curvature.measure([(100, 10_000, 2501)], 1, (18, 18)),
            "growth": lambda: growth.measure(
                1, {name: sizes[:2] for name, sizes in growth.RANGES.items()}, (1000,), 200
            ),
            "startup": lambda: startup.measure(1, first=False),
            "compiler": lambda: compiler.measure(1, 4, 2),
            "scale": lambda: scale.measure(scale.Study(periods=2, amplitudes=3, seeds=2), 2, 1),
            "images": lambda: images.quick(with_pytorch),
            "pages": lambda: pages.measure(1, 500, 3, 2, 5),
            "overhead": lambda: overhead.measure(2, ("Flax linen",)),
            "gpu": lambda: gpu.measure(1, (64,), 50),
        }
    return {
        "steps": lambda: contenders.measure(cases, repetitions, 1.0),
        "rules": lambda: rules.measure(cases, repetitions, 1.0),
        "flow": lambda: gradient_flow.measure((32, 64, 128), repetitions, 1000),
        "roofline": lambda: roofline.measure(shapes, contenders.PRECISIONS, 40),
        "scaling": lambda: scaling.measure(min(3, repetitions), 20_000),
        "probes": lambda: curvature.measure([(100, 70_000, 501), (1000, 35_000, 1401)], 3, curvature.ORDERS),
        "growth": lambda: growth.measure(5),
        "startup": lambda: startup.measure(3),
        "compiler": lambda: compiler.measure(repetitions, 16, 60),
        "scale": lambda: scale.measure(scale.Study(periods=100, amplitudes=100, seeds=50), 50, 3),
        "images": lambda: images.measure(repetitions, with_pytorch),
        "pages": lambda: pages.measure(repetitions, 70_001, 16, 50, 141),
        "overhead": lambda: overhead.measure(80 * repetitions),
        "gpu": lambda: gpu.measure(repetitions),
    }


def same_software(one: dict[str, str], other: dict[str, str]) -> bool:
    """Return whether two descriptions agree; a package that only one of them names may have any version."""
    versions, others = (
        dict(entry.rsplit(" ", 1) for entry in description["packages"].split(", "))
        for description in (one, other)
    )
    rest = [{key: value for key, value in each.items() if key != "packages"} for each in (one, other)]
    return rest[0] == rest[1] and all(others.get(name, value) == value for name, value in versions.items())


def merged(stored: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Replace the newly measured sections in the stored results, and record their date and commit."""
    sections = sorted({entry["section"] for entry in found["measurements"]})
    kept = [entry for entry in stored["measurements"] if entry["section"] not in sections]
    origin = {key: found[key] for key in ("date", "git_commit", "git_state", "wall_seconds")}
    updates = {**stored.get("updates", {}), **dict.fromkeys(sections, origin)}
    return {**stored, "updates": updates, "measurements": kept + found["measurements"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store the results, and write the tables and the picture."""
    options = parse(arguments)
    os.environ.update(worker.ENVIRONMENT)  # before JAX and numpy start
    import growth
    import machine
    import table

    result = machine.description() | {"quick": options.quick, "measurements": []}
    own = table.RESULTS / f"{machine.label()}.json"
    stored = json.loads(own.read_text(encoding="utf-8")) if options.update and own.exists() else None
    if stored is not None and not same_software(stored["software"], result["software"]):
        sys.exit(f"error: {own} is of other packages; run the whole benchmark first")
    began = time.perf_counter()
    for name, measure in parts(options.quick, options.repetitions, options.pytorch).items():
        if options.only is None or name in options.only:
            result["measurements"] += measure()
            print(f"{time.perf_counter() - began:6.0f} s  {name}", file=sys.stderr, flush=True)
    result["wall_seconds"] = round(time.perf_counter() - began)
    if stored is not None:
        result = merged(stored, result)
    output = options.output or own
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.only is None or "growth" in options.only:
        picture = output.with_suffix(".png") if options.output else FOLDER / "growth.png"
        growth.draw(result["measurements"], picture)
    if options.output is None:
        table.write()
    print(table.render([result]))


if __name__ == "__main__":
    main()
