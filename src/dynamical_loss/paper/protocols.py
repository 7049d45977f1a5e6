"""The paper's protocols, as rules that a result is compared with.

Each protocol states what a result must record to count as the paper's: settings, data, sizes and seeds.
Numbers of steps are for η = 1; for other learning rates the paper scales all times with 1/η.
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
"""Parts of the paper's loss that variants leave out, with the paper's values."""

WEIGHT_DECAY = "optimiser.weight_decay"

REDUCTION = f"{DATASET_SETTINGS}.reduction"

ANSWERS = {f"{DATASET_SETTINGS}.labels": "class", f"{DATASET_SETTINGS}.split": "official"}
"""Labels and split of the images; the paper uses the labels and the split that the images come with."""

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
"""Keys that were introduced later: results from before a key existed have the paper's value."""


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
"""Numbers of hidden units of the paper's two networks."""

PHASE_STEPS, SPIRAL_SEEDS = 35_000, 50
"""Numbers of steps and seeds in Fig. 3."""

CASCADE_PERIOD, CASCADE_AMPLITUDE, CASCADE_STEPS = 5_000, 70.0, 70_000
"""T, A and number of steps in Fig. 4 and Fig. 5a."""

SPIRAL: dict[str, Any] = {"classes": 3, "points_per_class": 100, "turns": 2.0, "noise": 0.2, "train_seed": 0}
"""The authors' training set; the seed of their validation set is not published."""

_ROUNDING = 0.01  # relative tolerance of times, because scaling by 1/η rounds them to whole steps

_DRAW = f"{DATASET_SETTINGS}.train_seed"

_SPIRAL_DATA = (
    _dataset("spiral"),
    *exactly(
        Sort.DATA,
        {f"{DATASET_SETTINGS}.{key}": value for key, value in SPIRAL.items() if key != "train_seed"},
    ),
    # It is not published whether the authors drew new noise for each run, so several draws are allowed too.
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
    """Return a rule for the length of runs; longer runs count too, because results have settled by then."""
    return Rule(
        ("steps", "learning_rate"),
        Sort.SIZE,
        steps,
        lambda found, paper: found >= (1 - _ROUNDING) * paper,
        operator.mul,
        "runs of η × steps = {found:g}, in the paper {paper}",
    )


def phase_of_spiral(width: int) -> Protocol:
    """Return the protocol of Fig. 3: a phase diagram of the network with the given width."""
    return (
        *_perceptron(width),
        *exactly(Sort.PROTOCOL, {"learning_rate": 1.0}),
        _training_time(PHASE_STEPS),
        _seeds(SPIRAL_SEEDS),
    )


def spiral_study(width: int) -> Protocol:
    """Return the protocol of studies beyond the paper (Fig. S7, F7): as Fig. 3, but any learning rate."""
    return (
        *_perceptron(width),
        *recorded_at_all(Sort.PROTOCOL, "learning_rate"),
        Rule(("steps",), Sort.SIZE, PHASE_STEPS, operator.ge),
    )


def averaged_run(width: int) -> Protocol:
    """Return the protocol of the study of sizes and learning rates (Fig. S8): any learning rate, T and A."""
    return (
        *_perceptron(width),
        *recorded_at_all(Sort.PROTOCOL, "learning_rate", "period", "amplitude"),
        Rule(("steps",), Sort.SIZE, PHASE_STEPS, operator.ge),
    )


def edge_run(static: bool) -> Protocol:
    """Return the protocol of runs that are measured at each step (Fig. F5, F9).

    Args:
        static: whether the loss is static; otherwise it is the dynamical loss of Fig. 4.
    """
    loss = {"amplitude": 1.0} if static else {"period": CASCADE_PERIOD, "amplitude": CASCADE_AMPLITUDE}
    return (*_perceptron(NARROW), *exactly(Sort.PROTOCOL, {"learning_rate": 1.0, **loss}))


def residual_run(static: bool) -> Protocol:
    """Return the protocol of runs on the squared error that are measured at each step (Fig. F10).

    The learning rate is our choice.

    Args:
        static: whether the loss is static; otherwise T and A are those of Fig. 4.
    """
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
"""Protocols of the runs that flows follow (Fig. F4), by data.

They are our choice, because the paper about flows is not at hand.
"""

CASCADE: Protocol = (
    *_perceptron(NARROW),
    *exactly(Sort.PROTOCOL, {"learning_rate": 1.0, "period": CASCADE_PERIOD, "amplitude": CASCADE_AMPLITUDE}),
    _training_time(CASCADE_STEPS),
)
"""Protocol of Fig. 4: the run whose instabilities are followed."""

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
"""Protocol of Fig. 5a: the run of Fig. 4 at any learning rate and width."""


def static_run(width: int) -> Protocol:
    """Return the protocol of Fig. 5b and 5c: a run with the static loss at any learning rate."""
    return (
        *_perceptron(width),
        *exactly(Sort.PROTOCOL, {"amplitude": 1.0}),
        _training_time(PHASE_STEPS),
    )


# Images --------------------------------------------------------------------------------------------

TRAIN_IMAGES, VALIDATION_IMAGES = 50_000, 10_000
"""Numbers of training and validation images in CIFAR-10."""

CHANNELS, BATCH, EPOCHS, IMAGE_SEEDS = 64, 512, 700, 30
LEARNING_RATE, PEAK_EPOCH, FINAL_FACTOR = 0.02, 300, 0.1
LEARNING_RATE_SCHEDULE = ((0.0, 0.0), (PEAK_EPOCH / EPOCHS, 1.0), (1.0, FINAL_FACTOR))
OSCILLATION_EPOCHS = 600
MOMENTUM = {"momentum": 0.9, "nesterov": True}
"""Settings of Myrtle5 in Fig. 1: the learning rate rises to its peak and then falls to a tenth of it."""

WIDE_RESNET_BATCH, WIDE_RESNET_EPOCHS = 1024, 200
"""Published settings of the supplement's Wide ResNet: batch size and number of epochs."""

_FRACTIONS = close(1e-3)  # shares of a run may be rounded by less than an epoch


def _epochs(steps: int, batch: int | None, images: int) -> float:
    """Return the number of passes over the training set; the last batch of a pass may be smaller."""
    return float(steps / -(-images // (batch or images)))


def _cifar10(epochs: int) -> Protocol:
    """Return rules for the number of images, the number of epochs, and the origin of the images."""
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
    """Return rules for the paper's loss and momentum, and for further settings."""
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
"""Protocol of a single run as in Fig. 1, which may be measured on a fixed part of the images (Fig. S2)."""

REGIME_CHANNELS, REGIME_IMAGES, REGIME_STEPS = 20, 5_000, 8_575
"""Channels, images and steps of Fig. 1 at the size of a CPU (Fig. S9).

The number of parameters for each image is the paper's, and the number of steps is an eighth of the paper's.
"""

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
"""Protocol of the studies of Fig. S9; controls have another learning rate, length or weight decay."""

QUESTIONS_SIDE, QUESTIONS_STEPS = 2, 2_000
"""Reduction of the images and number of steps for the talk's questions (Fig. S10).

The images have 16×16 pixels, and the number of steps is the same for all batch sizes.
"""

QUESTIONS_IMAGES, QUESTIONS_PERIOD, QUESTIONS_AMPLITUDE = 10_000, 20, 10.0
"""Number of training images, T and A for the talk's questions; they are our choice."""

QUESTIONS: Protocol = (
    *exactly(
        Sort.SIZE,
        {"model.kind": "wide_resnet", "model.depth": 10, "model.widening": 1, "steps": QUESTIONS_STEPS},
    ),
    _dataset("CIFAR-10"),
    *exactly(
        Sort.DATA,
        {
            REDUCTION: QUESTIONS_SIDE,
            "train_samples": QUESTIONS_IMAGES,
            "validation_samples": VALIDATION_IMAGES,
        },
    ),
    *_as_before(Sort.DATA, *ANSWERS),
    *_descent(learning_rate=LEARNING_RATE),
    Rule(("learning_rate_schedule",), Sort.PROTOCOL, LEARNING_RATE_SCHEDULE, _FRACTIONS),
    Rule(("oscillation_stop",), Sort.PROTOCOL, OSCILLATION_EPOCHS / EPOCHS, _FRACTIONS),
    *recorded_at_all(Sort.PROTOCOL, "batch_size", "arithmetic"),
)
"""Protocol of the runs of Fig. S10, which differ in batch norm, weight decay and batch size."""

QUESTIONS_STUDY: Protocol = (
    *QUESTIONS,
    *exactly(Sort.PROTOCOL, {"periods": [QUESTIONS_PERIOD], "amplitudes": [1.0, QUESTIONS_AMPLITUDE]}),
)
"""Protocol of the studies that compare final accuracies (Fig. S10a)."""

QUESTIONS_BATCH = 64
"""Number of images in a batch of the runs whose conditioning is measured (Fig. S10b)."""

QUESTIONS_RUN: Protocol = (
    *QUESTIONS,
    *exactly(Sort.PROTOCOL, {"batch_size": QUESTIONS_BATCH, "period": QUESTIONS_PERIOD}),
    Rule(("amplitude",), Sort.PROTOCOL, QUESTIONS_AMPLITUDE, lambda found, paper: found in (1.0, paper)),
)
"""Protocol of the runs whose conditioning is measured (Fig. S10b); A is 1 with the static loss."""

MYRTLE5: Protocol = (*MYRTLE5_RUN, _ACCURACIES, _seeds(IMAGE_SEEDS))
"""Protocol of Fig. 1: a phase diagram."""

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
"""Published part of the supplement's protocol; the network's size and the number of seeds are unpublished."""


def of_images(model: Any, has_seeds: bool) -> Protocol:
    """Return the protocol that a result on images is compared with.

    A network of any other kind is compared with the protocol of Fig. 1, so its kind counts as a departure.

    Args:
        model: settings of the network.
        has_seeds: whether the result is a study over several seeds rather than a single run.
    """
    if model["kind"] == "wide_resnet":
        return WIDE_RESNET
    return MYRTLE5 if has_seeds else MYRTLE5_RUN
