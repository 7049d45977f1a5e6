"""Write tables of the stored results into documents, and the costs from which resource requests follow.

``python benchmarks/table.py`` writes the tables of benchmarks/README.md and docs/how-it-works.md, and
src/dynamical_loss/models/costs.json.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dynamical_loss.datasets.kind import Shape
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.kinds.myrtle5 import Myrtle5Settings
from dynamical_loss.paper.protocols import PHASE_STEPS, WIDE

FOLDER = Path(__file__).resolve().parent
README = FOLDER / "README.md"
FRONT = FOLDER.parent / "docs" / "how-it-works.md"
RESULTS = FOLDER / "results"
COSTS = FOLDER.parent / "src/dynamical_loss/models/costs.json"
PROTOCOLS = FOLDER.parent / "workflow/scales/protocols.yaml"
_BETWEEN = re.compile(r"(<!-- (table|speed) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)

SHARED = (50, 20, 1)
"""Numbers of amplitudes per job for which the table lists the overhead."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Entry = dict[str, Any]


def number(value: float | None) -> str:
    """Format an integer in full and other numbers to three significant digits; a dash if there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if isinstance(value, int) or value == 0 or 1e-3 <= abs(value) < 1e7:
        digits = 0 if isinstance(value, int) or value == 0 else 2 - math.floor(math.log10(abs(value)))
        text = f"{round(value, digits):,.{max(0, digits)}f}"
        return text.replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} · 10" + str(int(exponent)).translate(_RAISED)


def spread(entry: Entry | None) -> str:
    """Format an entry as median [minimum, maximum], or as the median alone if there is a single value."""
    if entry is None or entry["median"] is None:
        return "–"
    text = number(entry["median"])
    if entry["minimum"] < entry["maximum"]:
        text += f" [{number(entry['minimum'])}, {number(entry['maximum'])}]"
    return text


def select(entries: Iterable[Entry], **keys: Any) -> list[Entry]:
    """Return the entries that have all the given values."""
    return [entry for entry in entries if all(entry.get(key) == value for key, value in keys.items())]


def first(entries: Iterable[Entry], **keys: Any) -> Entry | None:
    """Return the first entry that has all the given values; None if there is none."""
    return next(iter(select(entries, **keys)), None)


def median(entries: Iterable[Entry], **keys: Any) -> float | None:
    """Return the median of the first entry that has all the given values; None if there is none."""
    found = first(entries, **keys)
    value: float | None = found["median"] if found else None
    return value


def rows(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table; the text is empty if there are no rows."""
    lines = ["| " + " | ".join(row) + " |" for row in body]
    head = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*head, *lines]) + "\n\n" if lines else ""


def _steps(entries: Sequence[Entry]) -> str:
    body = []
    for time in select(entries, section="step", quantity="time"):
        case = {key: time[key] for key in ("width", "precision")}
        own = {**case, "contender": time["contender"], "seeds": time["seeds"]}
        limit = median(entries, section="roofline", quantity="time", **case)
        share = limit / time["median"] if limit and time["median"] else None
        body.append(
            (
                f"{time['width']}, {time['precision']}",
                time["contender"] + (f" ({time['note']})" if "note" in time else ""),
                str(time["seeds"]),
                spread(time),
                number(median(entries, quantity="throughput", **own)),
                spread(first(entries, quantity="times faster than plain vmap", **own)),
                spread(first(entries, quantity="times slower than the floor", **own)),
                "–" if share is None else f"{share:.1%}".replace("%", " %"),
                number(median(entries, quantity="compilation", **own)),
                number(median(entries, quantity="peak memory", **own)),
                str(time["repetitions"]),
            )
        )
    header = (
        "width, precision",
        "contender",
        "runs",
        "µs per step and run",
        "steps · runs per second and core",
        "× faster than plain vmap",
        "× slower than the floor",
        "share of the roofline",
        "compilation, s",
        "peak memory, MB",
        "n",
    )
    idle = [e["median"] for e in select(entries, section="process", contender="idle")]
    alone = f"Imports, data and initial parameters alone take {number(max(idle))} MB.\n\n" if idle else ""
    return rows(header, body) + alone + _wide_study(entries)


def _wide_study(entries: Sequence[Entry]) -> str:
    """Tell what Fig. 3 costs at the paper's size with the wide network, from the time of a step."""
    own = {"contender": "fused engine", "width": WIDE, "precision": "float32"}
    time = first(entries, section="step", quantity="time", **own)
    if time is None:
        return ""
    study = yaml.safe_load(PROTOCOLS.read_text(encoding="utf-8"))["phase"]["lecun_w1000"]
    # The static loss (A = 1) is one cell for all periods.
    cells, seeds = len(study["periods"]) * (len(study["amplitudes"]) - 1) + 1, study["seeds"]
    hours = time["median"] * cells * seeds * PHASE_STEPS / 3.6e9
    return (
        f"At the fused engine's speed, the training of Figure 3 at width {WIDE} (`protocols.yaml`: "
        f"{cells} cells, {seeds} seeds, {number(PHASE_STEPS)} steps) takes {number(hours)} core-hours.\n\n"
    )


def _rules(entries: Sequence[Entry]) -> str:
    body = [
        (f"{ratio['width']}, {ratio['precision']}", ratio["engine"], spread(ratio), str(ratio["repetitions"]))
        for ratio in select(entries, section="rules")
    ]
    return rows(("width, precision", "engine", "step with DAL ÷ step at a constant rate", "n"), body)


def _flow(entries: Sequence[Entry]) -> str:
    body = []
    for time in select(entries, section="flow", quantity="time"):
        (ratio,) = select(entries, section="flow", quantity="times a plain gradient", width=time["width"])
        body.append((str(time["width"]), number(time["median"]), spread(ratio), str(time["repetitions"])))
    header = ("width", "evaluation of the flow, µs", "÷ plain gradient", "n")
    return rows(header, body)


def _limits(entries: Sequence[Entry]) -> str:
    body = []
    for time in select(entries, section="roofline", quantity="time"):
        case = {"section": "roofline", **{key: time[key] for key in ("width", "precision")}}
        peaks = {"section": "roofline", "precision": time["precision"]}
        body.append(
            (
                f"{time['width']}, {time['precision']}",
                number(median(entries, quantity="textbook operations", **case)),
                number(median(entries, quantity="fewest operations", **case)),
                number(median(entries, quantity="bytes", **case)),
                number(median(entries, quantity="matrix product", **peaks)),
                number(median(entries, quantity="multiply-adds", **peaks)),
                number(median(entries, section="roofline", quantity="copy bandwidth")),
                number(time["median"]),
            )
        )
    header = (
        "width, precision",
        "operations, textbook",
        "operations, fewest",
        "bytes",
        "matrix product, GFLOP/s",
        "multiply-adds, GFLOP/s",
        "copy in L2, GB/s",
        "roofline, µs per step",
    )
    return rows(header, body)


def _probes(entries: Sequence[Entry]) -> str:
    body = []
    for largest in select(entries, section="probe", quantity="largest residual"):
        own = {key: largest[key] for key in ("section", "width", "probe")}
        time = next(e for e in select(entries, **own) if e["unit"] == "s")
        body.append(
            (
                str(largest["width"]),
                {"hessian": "Hessian", "ntk": "NTK"}[largest["probe"]],
                str(largest["modes"]),
                str(largest["order"]),
                spread(time),
                number(largest["median"]),
                number(median(entries, quantity="median residual", **own)),
                f"{largest['snapshots']} over {number(largest['steps'])} steps",
            )
        )
    header = (
        "width",
        "probe",
        "modes",
        "Lanczos order",
        "s for 2800 snapshots",
        "largest residual / λ",
        "median residual / λ",
        "snapshots measured",
    )
    return rows(header, body)


def _rest(entries: Sequence[Entry]) -> str:
    body = [
        (
            f"work of {e['processes']} training processes ÷ work of one, wall time",
            spread(e),
            e["repetitions"],
        )
        for e in select(entries, section="scaling")
    ]
    for entry in select(entries, section="start"):
        jobs = f", {number(entry['jobs'])} jobs" if entry.get("jobs") else ""
        body.append((entry["quantity"] + jobs + ", s, wall time", spread(entry), entry["repetitions"]))
    body += [
        (f"exponent of training time in {e['varied']}", number(e["median"]), e["repetitions"])
        for e in select(entries, section="growth", quantity="exponent")
    ]
    for kept in dict.fromkeys(e["kept"] for e in select(entries, section="growth", quantity="peak memory")):
        found = select(entries, section="growth", quantity="peak memory", kept=kept)
        shortest, longest = (pick(found, key=lambda e: e["steps"]) for pick in (min, max))
        body.append(
            (
                f"peak memory of a {kept}'s run, {number(shortest['steps'])} and {number(longest['steps'])} "
                "steps, MB",
                f"{number(shortest['median'])} and {number(longest['median'])}",
                1,
            )
        )
    return rows(("what", "measured", "n"), ((what, value, str(n)) for what, value, n in body))


def _compiler(entries: Sequence[Entry]) -> str:
    body = []
    for time in select(entries, section="compiler", quantity="time"):
        (ratio,) = select(entries, section="compiler", unit="1", work=time["work"])
        body.append((time["work"], number(time["median"]), spread(ratio), str(time["repetitions"])))
    header = ("work", "processor time, s", "at XLA's own level of optimisation ÷ at the pipeline's", "n")
    return rows(header, body) if body else ""


def _scale(entries: Sequence[Entry]) -> str:
    found = select(entries, section="scale")
    body = []
    for time in select(found, quantity="plan"):
        own = {key: time[key] for key in ("cells", "amplitudes_per_block", "jobs")}
        memory = first(found, quantity="memory of the plan", **own)
        body.append(
            (
                f"snakemake -n, {number(time['cells'])} cells, {time['amplitudes_per_block']} per job",
                number(time["jobs"]),
                spread(time),
                spread(memory),
                str(time["repetitions"]),
            )
        )
    for quantity, words, peak in (
        ("study without training", "whole study, without training", "memory of Snakemake"),
        ("command of a training job", "within it: command of each training job", None),
        ("aggregation", "its last job (aggregation), run again alone", "memory of the aggregation"),
    ):
        for time in select(found, quantity=quantity):
            jobs = 1 if quantity == "aggregation" else time["jobs"]
            size = spread(first(found, quantity=peak)) if peak else "–"
            body.append((words, number(jobs), spread(time), size, str(time["repetitions"])))
    for step in select(found, quantity="training step"):
        words = "real training of the same network, µs per step and run, processor time"
        body.append((words, "–", spread(step), "–", str(step["repetitions"])))
    header = ("study of many cells", "jobs", "s, wall time", "peak memory, MB", "n")
    return rows(header, body) + overhead(entries)


def overhead(entries: Sequence[Entry]) -> str:
    """Format a table of overhead and training per job, for several numbers of amplitudes per job.

    The table assumes the measured overhead per job whatever the number of amplitudes.
    """
    found = first(entries, section="scale", quantity="overhead a job")
    step = median(entries, section="scale", quantity="training step")
    if found is None or step is None:
        return ""
    busy = median(entries, section="scale", quantity="overhead a job in processor time")
    compute = found["cells"] * found["seeds"] * found["steps"] * step / 1e6
    body = []
    for amplitudes in SHARED:
        jobs = found["periods"] * math.ceil(found["amplitudes"] / amplitudes) + 1
        share = found["median"] * jobs / compute
        body.append(
            (
                str(amplitudes),
                number(jobs),
                number(compute / jobs),
                number(found["median"]),
                number(busy),
                f"{share:.2%}".replace("%", " %"),
            )
        )
    header = (
        f"amplitudes per job, with {found['seeds']} seeds",
        "training jobs",
        "training per job, core · s",
        "overhead per job, core · s",
        "processor time of the overhead, s",
        "overhead / training",
    )
    return rows(header, body)


def _images(entries: Sequence[Entry]) -> str:
    found = select(entries, section="images")
    body = []
    for speed in select(found, quantity="throughput"):
        own = {key: speed[key] for key in ("contender", "channels", "batch", "arithmetic", "device")}
        ratios = ("of pytorch", "of plain xla", "of the convolutions alone", "of the matrix product")
        body.append(
            (
                speed["device"],
                f"{speed['channels']}, {speed['batch']}, {speed['arithmetic']}",
                speed["contender"],
                spread(speed),
                *(spread(first(found, quantity=ratio, **own)) for ratio in ratios),
                str(speed["repetitions"]),
            )
        )
    header = (
        "device",
        "channels, batch, arithmetic",
        "contender",
        "images per second",
        "÷ pytorch",
        "÷ plain xla",
        "÷ convolutions alone",
        "÷ matrix product",
        "n",
    )
    return rows(header, body) + _image_limits(found) + _accuracies(found)


def _image_limits(found: Sequence[Entry]) -> str:
    body = [
        (f"product of float32 matrices, {e['device']}, GFLOP/s", number(e["median"]))
        for e in select(found, quantity="matrix product")
    ]
    operations = {e["channels"]: e["median"] for e in select(found, quantity="operations")}
    body += [
        (f"operations of training on an image, {channels} channels, millions", number(value / 1e6))
        for channels, value in operations.items()
    ]
    for way in ("device", "host"):
        body += [
            (
                f"bytes to the {way} in a stretch of {number(e['steps'])} steps on {number(e['samples'])} "
                f"images, {e['device']}",
                number(int(e["median"])),
            )
            for e in select(found, quantity=f"bytes to the {way} in a stretch")
        ]
    return rows(("training on images", "measured"), body)


def _accuracies(found: Sequence[Entry]) -> str:
    body = []
    for accuracy in select(found, quantity="accuracy"):
        keys = ("channels", "batch", "epochs", "period", "amplitude", "arithmetic")
        own = {key: accuracy[key] for key in keys}
        mean = median(found, quantity="mean difference of accuracy", **own)
        half = median(found, quantity="half its 95 % interval", **own)
        body.append(
            (
                "static"
                if accuracy["amplitude"] == 1
                else f"{accuracy['period']}, {accuracy['amplitude']:g}",
                accuracy["arithmetic"],
                spread(accuracy),
                "–" if mean is None else f"{mean:+.4f} ± {half:.4f}".replace("-", "−"),
                str(accuracy["repetitions"]),
            )
        )
    header = ("digits: T, A", "arithmetic", "validation accuracy", "mean difference from full", "seeds")
    return rows(header, body)


def _pages(entries: Sequence[Entry]) -> str:
    found = select(entries, section="pages")
    body = [(e["page"], e["quantity"], e["unit"], spread(e), str(e["repetitions"])) for e in found]
    return rows(("page in Chromium", "quantity", "unit", "measured, wall time", "n"), body) if body else ""


def _overhead(entries: Sequence[Entry]) -> str:
    found = select(entries, section="overhead")
    body = [
        (e["framework"], f"{e['median']:.3f} [{e['lower']:.3f}, {e['upper']:.3f}]", str(e["groups"]))
        for e in found
    ]
    header = ("framework", "step with the weighting / without, mean [95 %]", "groups of four steps")
    return rows(header, body) if body else ""


def _gpu(entries: Sequence[Entry]) -> str:
    body = [
        (e["device"], f"{e['width']}, {e['precision']}", number(e["seeds"]), spread(e), str(e["repetitions"]))
        for e in select(entries, section="gpu")
    ]
    return rows(("GPU", "width, precision", "runs", "µs per step and run, wall time", "n"), body)


def _updates(result: dict[str, Any]) -> str:
    """List date and commit of the sections that were measured later than the rest."""
    return "".join(
        f" Section {name}: {origin['date'][:10]}, commit {_commit(origin)}."
        for name, origin in result.get("updates", {}).items()
    )


def _commit(origin: dict[str, Any]) -> str:
    commit: str = origin["git_commit"][:12]
    return commit + (" with changes" if origin["git_state"] == "dirty" else "")


_PARTS = (
    _steps,
    _rules,
    _flow,
    _limits,
    _probes,
    _rest,
    _compiler,
    _scale,
    _images,
    _pages,
    _overhead,
    _gpu,
)


def _name(machine: dict[str, Any]) -> str:
    return f"{machine['processor']} ({machine['architecture']}) with vectors of {machine['vector_bits']} bits"


def render(results: Sequence[dict[str, Any]]) -> str:
    """Format all tables, one machine after another."""
    parts = []
    for result in results:
        machine, entries = result["machine"], result["measurements"]
        caches = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
        parts.append(
            f"### {_name(machine)}, {machine['cores']} cores\n\n"
            f"{result['date'][:10]}, commit {_commit(result)}, {machine['system']}"
            f"{f', caches {caches}' if caches else ''}, Python {result['software']['python']}, "
            f"{result['software']['packages']}; measured in {result['wall_seconds']} s.{_updates(result)}\n\n"
            + "".join(part(entries) for part in _PARTS)
        )
    return "".join(parts) or "No results are stored; `make bench` measures them.\n\n"


def headline(results: Sequence[dict[str, Any]]) -> str:
    """Format the short table of docs/how-it-works.md: the cost of a step, one line per case and machine."""
    names = ("notebook", "plain vmap", "xla engine", "fused engine", "floor")
    body = []
    for result in results:
        times = select(result["measurements"], section="step", quantity="time")
        for case in dict.fromkeys((time["width"], time["precision"]) for time in times):
            here = select(times, width=case[0], precision=case[1])
            cells = [number(median(here, contender=name)) for name in names]
            body.append((_name(result["machine"]), f"{case[0]}, {case[1]}", *cells))
    return rows(("one core of", "width, precision", *names), body) or "Nothing is measured yet.\n\n"


def stored() -> list[dict[str, Any]]:
    """Read the stored results, in the order of the machines' names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def updated(readme: str) -> str:
    """Return the text of a document with its tables rebuilt."""
    text = {"table": render(stored()), "speed": headline(stored())}
    return _BETWEEN.sub(lambda match: match[1] + text[match[2]] + match[3], readme)


def costs(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return fields of `models.kind.Cost` by the kind of layer, in µs, for the slowest of the machines.

    A machine on which only some sections were measured does not count.
    Costs of perceptrons are those of the XLA engine.  Costs of convolutions are those of a plain XLA program,
    because the nodes of a cluster may have no C compiler.  The two numbers of channels separate the cost of a
    product from that of an activation.  Double precision is assumed to slow convolutions as much as
    perceptrons.
    """
    measured = (result["measurements"] for result in results)
    found = [_costs_of(entries) for entries in measured if select(entries, section="images")]
    return {
        kind: {field: float(f"{max(each[kind][field] for each in found):.3g}") for field in found[0][kind]}
        for kind in found[0]
    }


def _costs_of(entries: Sequence[Entry]) -> dict[str, dict[str, float]]:
    def measured(**keys: Any) -> float:
        found = median(entries, **keys)
        assert found is not None
        return found

    def step(precision: str) -> float:
        own = {"contender": "xla engine", "width": 1000, "precision": precision}
        return measured(section="step", quantity="time", **own)

    spiral, images = Shape(300, 300, (2,), 3), Shape(1, 1, (32, 32, 3), 10)
    dense = step("float32") / (300 * MLPSettings(width=1000).size(spiral).products)
    double = step("float64") / step("float32")
    sizes, times = [], []
    for channels in (16, 64):
        own = {"contender": "plain xla", "channels": channels, "arithmetic": "full", "device": "one core"}
        size = Myrtle5Settings(kind="myrtle5", channels=channels).size(images)
        sizes.append((size.products, size.activations))
        times.append(1e6 / measured(section="images", quantity="throughput", **own))
    product, activation = np.linalg.solve(sizes, times).tolist()
    return {
        "dense": {"product": dense, "activation": 0.0, "double": double},
        "convolutional": {"product": product, "activation": max(activation, 0.0), "double": double},
    }


def write() -> None:
    """Write the tables of both documents, and the costs from which resource requests are computed."""
    for path in (README, FRONT):
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
    COSTS.write_text(json.dumps(costs(stored()), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
