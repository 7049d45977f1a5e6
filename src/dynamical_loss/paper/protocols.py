"""The paper's protocols, as rules that a result is held against.

Each says what a result must record to count as the paper's: settings, data, sizes and seeds.  Steps are those
at η = 1: for other learning rates the paper scales times with 1/η.
"""

from __future__ import annotations

import operator
from typing import Any

from dynamical_loss.paper.departures import (
    COPIES,
    EXACT,
    OFFICIAL,
    Protocol,
    Rule,
    Sort,
    close,
    exactly,
    recorded_at_all,
)
from dynamical_loss.results.recorded import DATASET_SETTINGS

_WAVEFORM = {"loss.waveform": "triangle"}

_LOSS = {"loss.kind": "cross_entropy", **_WAVEFORM}

LOSS_PARTS = {
    "loss.weighting": "sample",
    "loss.emphasis": "class",
    "loss.normalisation": "each_step",
    "loss.cycles": None,
}
"""Parts of the paper's loss that variants leave out."""

WEIGHT_DECAY = "optimiser.weight_decay"

REDUCTION = f"{DATASET_SETTINGS}.reduction"

ANSWERS = {f"{DATASET_SETTINGS}.labels": "class", f"{DATASET_SETTINGS}.split": "official"}
"""What is asked of an image, and of which it is learned; the paper's are those that the images come with."""

RULE = "learning_rate_rule.kind"

SCALE = "output_scale"

ACTIVATION = "model.activation"

LATER = {
    **LOSS_PARTS,
    WEIGHT_DECAY: 0.0,
    RULE: "constant",
    SCALE: None,
    ACTIVATION: "relu",
    REDUCTION: 1,
    **ANSWERS,
}
"""Keys that came later: whatever was made before them has the paper's value."""


def _as_before(sort: Sort, *keys: str) -> Protocol:
    return tuple(Rule((key,), sort, LATER[key], before=LATER[key]) for key in keys)


_PARTS = _as_before(Sort.PROTOCOL, *LOSS_PARTS, WEIGHT_DECAY, RULE, SCALE)


def _dataset(name: str) -> Rule:
    words = "the dataset is {found}, in the paper {paper}"
    return Rule(("dataset",), Sort.DATA, name, words=words)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _seeds(count: int) -> Rule:
    return Rule(("seeds",), Sort.SEEDS, count, operator.ge)


# The spiral ----------------------------------------------------------------------------------------

NARROW, WIDE = 100, 1000
"""Hidden units of the paper's two networks."""

PHASE_STEPS, SPIRAL_SEEDS = 35_000, 50
"""Of Fig. 3."""

CASCADE_PERIOD, CASCADE_AMPLITUDE, CASCADE_STEPS = 5_000, 70.0, 70_000
"""Of Fig. 4 and Fig. 5a."""

SPIRAL: dict[str, Any] = {"classes": 3, "points_per_class": 100, "turns": 2.0, "noise": 0.2, "train_seed": 0}
"""The authors' training set; they do not publish the seed of their validation set."""

_ROUNDING = 0.01  # of times: they are whole numbers of steps, which scaling by 1/η rounds

_DRAW = f"{DATASET_SETTINGS}.train_seed"

_SPIRAL_DATA = (
    _dataset("spiral"),
    *exactly(
        Sort.DATA,
        {f"{DATASET_SETTINGS}.{key}": value for key, value in SPIRAL.items() if key != "train_seed"},
    ),
    # Whether the authors drew the noise anew for each run is not published, so several draws are theirs too.
    Rule((_DRAW,), Sort.DATA, SPIRAL["train_seed"], lambda found, paper: found == paper or _is_list(found)),
)


def _gradient_descent(loss: str = "cross_entropy") -> Protocol:
    return (
        *exactly(
            Sort.PROTOCOL,
            {
                "loss.kind": loss,
                **_WAVEFORM,
                "model.kind": "mlp",
                "model.depth": 1,
                "optimiser.kind": "sgd",
                "optimiser.arguments": {},
                "batch_size": None,
                "learning_rate_schedule": [],
                "oscillation_stop": None,
                "evaluation_samples": None,
            },
        ),
        *_PARTS,
    )


_RELU = _as_before(Sort.PROTOCOL, ACTIVATION)


def _perceptron(width: int, loss: str = "cross_entropy") -> Protocol:
    return (*_SPIRAL_DATA, *_gradient_descent(loss), *_RELU, *exactly(Sort.SIZE, {"model.width": width}))


def _training_time(steps: int) -> Rule:
    """Longer runs count as well: what is looked at has settled by then."""
    return Rule(
        ("steps", "learning_rate"),
        Sort.SIZE,
        steps,
        lambda found, paper: found >= (1 - _ROUNDING) * paper,
        operator.mul,
        "runs of η × steps = {found:g}, in the paper {paper}",
    )


def phase_of_spiral(width: int) -> Protocol:
    """Of Fig. 3: a phase diagram of the network of that width."""
    return (
        *_perceptron(width),
        *exactly(Sort.PROTOCOL, {"learning_rate": 1.0}),
        _training_time(PHASE_STEPS),
        _seeds(SPIRAL_SEEDS),
    )


def spiral_study(width: int) -> Protocol:
    """Of studies beyond the paper (Fig. S7, F7): that of Fig. 3, with learning rates of its own."""
    return (
        *_perceptron(width),
        *recorded_at_all(Sort.PROTOCOL, "learning_rate"),
        Rule(("steps",), Sort.SIZE, PHASE_STEPS, operator.ge),
    )


def averaged_run(width: int) -> Protocol:
    """Of the study of sizes and learning rates (Fig. S8): runs of its own learning rates, T and A."""
    return (
        *_perceptron(width),
        *recorded_at_all(Sort.PROTOCOL, "learning_rate", "period", "amplitude"),
        Rule(("steps",), Sort.SIZE, PHASE_STEPS, operator.ge),
    )


def edge_run(static: bool) -> Protocol:
    """Of runs looked at from step to step (Fig. F5, F9): the static loss, or that of Fig. 4."""
    loss = {"amplitude": 1.0} if static else {"period": CASCADE_PERIOD, "amplitude": CASCADE_AMPLITUDE}
    return (*_perceptron(NARROW), *exactly(Sort.PROTOCOL, {"learning_rate": 1.0, **loss}))


def residual_run(static: bool) -> Protocol:
    """Of runs on the squared error, looked at from step to step (Fig. F10); η is our choice."""
    loss = {"amplitude": 1.0} if static else {"period": CASCADE_PERIOD, "amplitude": CASCADE_AMPLITUDE}
    return (*_perceptron(NARROW, "mse"), *exactly(Sort.PROTOCOL, {"learning_rate": 0.3, **loss}))


_TANH = exactly(Sort.PROTOCOL, {ACTIVATION: "tanh"})

FLOWS: dict[str, Protocol] = {
    "spiral": (
        *_SPIRAL_DATA,
        *_gradient_descent(),
        *_TANH,
        *exactly(Sort.SIZE, {"model.width": NARROW, "learning_rate": 1.0, "amplitude": 1.0}),
    ),
    "breast cancer": (
        _dataset("breast cancer"),
        *exactly(Sort.PROTOCOL, {"loss.kind": "cross_entropy", "model.kind": "mlp", "amplitude": 1.0}),
        *_PARTS,
        *_TANH,
        *exactly(Sort.SIZE, {"model.width": 10, "model.depth": 2}),
    ),
}
"""Of runs that flows follow (Fig. F4), by their data: our choice, as the paper of flows is not at hand."""

CASCADE: Protocol = (
    *_perceptron(NARROW),
    *exactly(Sort.PROTOCOL, {"learning_rate": 1.0, "period": CASCADE_PERIOD, "amplitude": CASCADE_AMPLITUDE}),
    _training_time(CASCADE_STEPS),
)
"""Of Fig. 4: the run whose instabilities are followed."""

THRESHOLD: Protocol = (
    *_SPIRAL_DATA,
    *_gradient_descent(),
    *_RELU,
    *recorded_at_all(Sort.SIZE, "model.width"),
    *exactly(Sort.PROTOCOL, {"amplitude": CASCADE_AMPLITUDE}),
    Rule(
        ("period", "learning_rate"),
        Sort.PROTOCOL,
        CASCADE_PERIOD,
        lambda found, paper: abs(found / paper - 1) <= _ROUNDING,
        operator.mul,
        "η × T is {found:g}, in the paper {paper}",
    ),
    _training_time(CASCADE_STEPS),
)
"""Of Fig. 5a: the same run at any learning rate and width."""


def static_run(width: int) -> Protocol:
    """Of Fig. 5b and 5c: a run with the static loss at any learning rate."""
    return (
        *_perceptron(width),
        *exactly(Sort.PROTOCOL, {"amplitude": 1.0}),
        _training_time(PHASE_STEPS),
    )


# Images --------------------------------------------------------------------------------------------

TRAIN_IMAGES, VALIDATION_IMAGES = 50_000, 10_000
"""Of CIFAR-10."""

CHANNELS, BATCH, EPOCHS, IMAGE_SEEDS = 64, 512, 700, 30
LEARNING_RATE, PEAK_EPOCH, FINAL_FACTOR = 0.02, 300, 0.1
LEARNING_RATE_SCHEDULE = ((0.0, 0.0), (PEAK_EPOCH / EPOCHS, 1.0), (1.0, FINAL_FACTOR))
OSCILLATION_EPOCHS = 600
MOMENTUM = {"momentum": 0.9, "nesterov": True}
"""Of Fig. 1, Myrtle5: the learning rate rises to its peak and falls to a tenth of it."""

WIDE_RESNET_BATCH, WIDE_RESNET_EPOCHS = 1024, 200
"""Of the supplement's Wide ResNet, as far as it is published."""

_FRACTIONS = close(1e-3)  # of a run: less than an epoch, so that a configuration may round them


def _epochs(steps: int, batch: int | None, images: int) -> float:
    """Passes over the training set; the last batch of each may be smaller."""
    return float(steps / -(-images // (batch or images)))


def _cifar10(epochs: int) -> Protocol:
    """How much is trained on, for how long, and what the images are."""
    return (
        *exactly(Sort.DATA, {"train_samples": TRAIN_IMAGES, "validation_samples": VALIDATION_IMAGES}),
        Rule(
            ("steps", "batch_size", "train_samples"),
            Sort.SIZE,
            epochs,
            value=_epochs,
            words="runs of {found:g} epochs, in the paper {paper}",
        ),
        *_as_before(Sort.DATA, REDUCTION, *ANSWERS),
        # A lossless copy holds the same numbers as the official archives.
        Rule((COPIES,), Sort.DATA, OFFICIAL, lambda found, paper: found in (OFFICIAL, EXACT)),
    )


_ACCURACIES = Rule(
    ("evaluation_samples",),
    Sort.PROTOCOL,
    VALIDATION_IMAGES,
    lambda found, paper: found is None or found >= paper,
    words="accuracies of {found} images, the test set has {paper}",
)


def _descent(**more: Any) -> Protocol:
    """The paper's loss and momentum, and further settings."""
    known = {**_LOSS, "optimiser.kind": "sgd", "optimiser.arguments": MOMENTUM, **more}
    return (*exactly(Sort.PROTOCOL, known), *_PARTS)


MYRTLE5_RUN: Protocol = (
    *exactly(Sort.SIZE, {"model.kind": "myrtle5", "model.channels": CHANNELS}),
    _dataset("CIFAR-10"),
    *_descent(learning_rate=LEARNING_RATE, batch_size=BATCH),
    Rule(("learning_rate_schedule",), Sort.PROTOCOL, LEARNING_RATE_SCHEDULE, _FRACTIONS),
    Rule(("oscillation_stop",), Sort.PROTOCOL, OSCILLATION_EPOCHS / EPOCHS, _FRACTIONS),
    *_cifar10(EPOCHS),
    *recorded_at_all(Sort.PROTOCOL, "arithmetic"),
)
"""Of a single run by the protocol of Fig. 1, which looks at a fixed part of the images (Fig. S2)."""

REGIME_CHANNELS, REGIME_IMAGES, REGIME_STEPS = 20, 5_000, 8_575
"""Of the headline at a CPU's size (Fig. S9): the paper's parameters an image, an eighth of its steps."""

REGIME: Protocol = (
    *exactly(Sort.SIZE, {"model.kind": "myrtle5", "model.channels": REGIME_CHANNELS}),
    _dataset("CIFAR-10"),
    *exactly(Sort.DATA, {"train_samples": REGIME_IMAGES, "validation_samples": VALIDATION_IMAGES}),
    *_as_before(Sort.DATA, REDUCTION, *ANSWERS),
    *_descent(batch_size=BATCH, evaluation_samples=None),
    Rule(("learning_rate_schedule",), Sort.PROTOCOL, LEARNING_RATE_SCHEDULE, _FRACTIONS),
    Rule(("oscillation_stop",), Sort.PROTOCOL, OSCILLATION_EPOCHS / EPOCHS, _FRACTIONS),
    *recorded_at_all(Sort.PROTOCOL, "learning_rate", "steps", "arithmetic"),
)
"""Of its studies; controls have another learning rate, length or weight decay."""

QUESTIONS_SIDE, QUESTIONS_STEPS = 2, 2_000
"""Of the talk's questions (Fig. S10): images of 16×16 pixels, and equal steps whatever the batch."""

QUESTIONS: Protocol = (
    *exactly(Sort.SIZE, {"model.kind": "wide_resnet", "steps": QUESTIONS_STEPS}),
    _dataset("CIFAR-10"),
    *exactly(Sort.DATA, {REDUCTION: QUESTIONS_SIDE, "validation_samples": VALIDATION_IMAGES}),
    *_as_before(Sort.DATA, *ANSWERS),
    *_descent(),
    *recorded_at_all(Sort.PROTOCOL, "learning_rate", "batch_size", "arithmetic"),
)
"""Of its studies, which differ in batch norm, weight decay and batch."""

MYRTLE5: Protocol = (*MYRTLE5_RUN, _ACCURACIES, _seeds(IMAGE_SEEDS))
"""Of Fig. 1: a phase diagram."""

WIDE_RESNET: Protocol = (
    *exactly(Sort.SIZE, {"model.kind": "wide_resnet"}),
    _dataset("CIFAR-10"),
    *exactly(Sort.PROTOCOL, {**_LOSS, "batch_size": WIDE_RESNET_BATCH}),
    *_PARTS,
    *_cifar10(WIDE_RESNET_EPOCHS),
    *recorded_at_all(
        Sort.PROTOCOL,
        "optimiser.kind",
        "optimiser.arguments",
        "learning_rate",
        "learning_rate_schedule",
        "oscillation_stop",
        "arithmetic",
    ),
    _ACCURACIES,
)
"""Of the supplement, as far as it is published; neither the size of the network nor the seeds are."""


def of_images(model: Any, has_seeds: bool) -> Protocol:
    """The protocol that a result of images is held against.

    A network of another kind is held against that of Fig. 1, from which its kind is a departure.

    Args:
        model: settings of the network.
        has_seeds: whether it is a study over seeds, and no single run.
    """
    if model["kind"] == "wide_resnet":
        return WIDE_RESNET
    return MYRTLE5 if has_seeds else MYRTLE5_RUN
