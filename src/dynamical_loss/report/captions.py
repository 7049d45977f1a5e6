"""Captions of figures: what a figure shows, and settings, n and device of the files that it was made from."""

from __future__ import annotations

import ast
import importlib.resources
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamical_loss.errors import ResultError, UnreadableError
from dynamical_loss.notation import exact
from dynamical_loss.remedies import in_words
from dynamical_loss.results import headers, recorded, sidecars

UNUSABLE = (ResultError, UnreadableError)
"""Errors of a file that is missing, damaged, or cannot be read."""

_MOST_VALUES = 6
"""Largest number of values of a setting that are listed; more are given as their range."""

_SETTINGS = (
    ("network", "model.kind"),
    ("width", "model.width"),
    ("initialisation", "model.initialisation"),
    ("learning rate η", "learning_rate"),
    ("period T", "period"),
    ("periods T", "periods"),
    ("amplitude A", "amplitude"),
    ("amplitudes A", "amplitudes"),
    ("steps", "steps"),
    ("batch size", "batch_size"),
)


@dataclass(frozen=True)
class Caption:
    """Caption of a figure.

    Attributes:
        name: name of the figure, e.g. ``fig4_cascade``.
        title: what the figure shows, in one sentence.
        facts: pairs of words and values about the files that the figure was made from.
        problem: why the facts are missing; empty if they are not.
        is_intact: whether the figure's own files agree with their checksums.
    """

    name: str
    title: str
    facts: Sequence[tuple[str, str]]
    problem: str = ""
    is_intact: bool = True

    @property
    def alternative(self) -> str:
        """Text for readers who cannot see the figure."""
        return " ".join([self.title, *(f"{words}: {value}." for words, value in self.facts)])

    @property
    def restructured(self) -> str:
        """The caption as reStructuredText."""
        lines = [f":{_escaped(words)}: {_escaped(value)}" for words, value in self.facts]
        return (
            "\n".join([_escaped(self.title), "", *lines, *([_escaped(self.problem)] if self.problem else [])])
            + "\n"
        )


def title(figure: str) -> str:
    """Return what a figure shows: the first sentence of the docstring of its module, without the number.

    Examples:
        >>> title("fig2_spiral_dataset")
        'The spiral dataset, with one arm for each class.'
    """
    source = importlib.resources.files("dynamical_loss.figures").joinpath(f"{figure}.py")
    sentence = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or figure
    words = sentence.partition("\n")[0].partition(": ")[2] or sentence
    return words[:1].upper() + words[1:]


def caption(picture: Path) -> Caption:
    """Return the caption of a rendered figure, from its sidecar and the attributes of its input files.

    Args:
        picture: PNG file of the figure; its sidecar lies beside it.
    """
    name = picture.stem
    try:
        attributes = sidecars.read(sidecars.beside(picture))
    except UNUSABLE as error:
        return Caption(
            name, title(name), [], f"The figure cannot be shown: {in_words(error)}", is_intact=False
        )
    try:
        paths = [picture.parent / path for path in recorded.recorded(attributes, recorded.INPUTS, picture)]
        files = {path: headers.of_result(path) for path in paths}
    except UNUSABLE as error:
        problem = f"The files that the figure was made from cannot be read: {in_words(error)}"
        return Caption(name, title(name), [], problem)
    return Caption(name, title(name), list(_facts(files)))


def _facts(files: Mapping[Path, Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    settings = [found for attributes in files.values() for found in trainings(attributes)]
    described = (str(one["dataset_description"]) for one in files.values() if "dataset_description" in one)
    yield from _values("data", described)
    for words, key in _SETTINGS:
        yield from _values(words, _numbers(recorded.setting(one, key) for one in settings))
    yield from _values("n", (text for path, one in files.items() if (text := runs(path.stem, one))))
    yield from _values("precision", (str(one.get("precision", "")) for one in files.values()))
    devices = (str(one.get("trained_on", one.get("device", ""))) for one in files.values())
    yield from _values("device", devices)
    yield from _values("commit", (str(one.get("git_commit", ""))[:12] for one in files.values()))


def trainings(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings of all trainings that a file records; none if it records none.

    Args:
        attributes: global attributes of the file.
    """
    try:
        settings = json.loads(str(attributes["settings"]))
    except (KeyError, ValueError):
        return []
    nested = settings.get("trajectories") or settings.get("trajectory") or settings
    found = nested if isinstance(nested, list) else [nested]
    return [one for one in found if "model" in one or "learning_rate" in one]


def runs(name: str, attributes: Mapping[str, Any]) -> str:
    """Return how many runs a file holds, in words; nothing if it holds no runs of its own.

    Args:
        name: name of the file.
        attributes: its global attributes.

    Examples:
        >>> runs("spiral_w100", {"source": "stages.aggregate_phase", "settings": '{"seeds": 50}'})
        '50 runs in each cell of spiral_w100'
    """
    stage = headers.stage(attributes)
    settings = json.loads(str(attributes.get("settings", "{}")))
    if stage in ("aggregate_phase", "gather_draws", "aggregate_lazy") and "seeds" in settings:
        seeds, draws = settings["seeds"], settings.get("noise_seeds") or settings.get("data_seeds")
        if not (isinstance(draws, list) and draws):
            return f"{seeds} runs in each cell of {name}"
        if settings.get("draws") == "paired":
            return f"{seeds} runs in each cell of {name}, each on a draw of the data of its own"
        cells = f"{seeds * len(draws)} runs in each cell of {name}"
        return f"{cells}: {seeds} initial seeds on each of {len(draws)} draws of the data"
    if stage in ("fit_threshold", "gather_runs"):
        count = len(trainings(attributes))
        return f"{count} run{'' if count == 1 else 's'} of {name}"
    return f"run {name}" if stage == "train_trajectory" else ""


def _numbers(values: Iterable[Any]) -> Iterable[str]:
    """Yield values as text, each of a list by itself, numbers in ascending order."""
    known: list[Any] = []
    for value in values:
        known += value if isinstance(value, list) else [value]
    numbers = {float(one) for one in known if isinstance(one, int | float) and not isinstance(one, bool)}
    yield from (exact(one) for one in sorted(numbers))
    for one in known:
        if isinstance(one, str | dict):
            yield one if isinstance(one, str) else json.dumps(one)


def _values(words: str, found: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Yield one fact with all different values, or nothing if no file has a value."""
    known = [one for one in dict.fromkeys(found) if one not in ("", "none")]
    if len(known) > _MOST_VALUES:
        yield words, f"{len(known)} values from {known[0]} to {known[-1]}"
    elif known:
        yield words, ", ".join(known)


def _escaped(text: str) -> str:
    r"""Return text in which reStructuredText finds no markup.

    Examples:
        >>> _escaped("|λ| and seed_")
        '\\|λ\\| and seed\\_'
    """
    return "".join(f"\\{one}" if one in "\\`*_|:<>[]" else one for one in text)
