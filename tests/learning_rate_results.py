"""Made-up phase diagrams of several learning rates."""

from __future__ import annotations

from claim_results import changed, phase

DECAY = [[0.0, 2.0], [1.0, 0.0]]


def study(static, dynamical, *, choosing=(), cell=(200, 10), seeds=20, steps=35_000, **settings):
    """Validation accuracies at A = 1 and in a cell, alike but for noise; `choosing`: of seeds 0 to 4."""
    period, amplitude = cell
    values = {1: static, amplitude: dynamical}
    amplitudes = [each for each in (1, amplitude) if values[each] is not None]
    item = phase(
        lambda _, each: 0.05 + values[each],
        periods=(period,),
        amplitudes=amplitudes,
        seeds=seeds,
        steps=steps,
    )
    rule = {"kind": "constant", "power": 1.0, "constant": 2.0, "cap": None, "steps_of": "own_run"}
    settings["learning_rate_rule"] = rule | settings.get("learning_rate_rule", {})
    if choosing:
        accuracy = item["validation_accuracy"].copy()
        for amplitude, value in zip(amplitudes, choosing, strict=True):
            accuracy.loc[{"amplitude": amplitude, "seed": slice(0, 4)}] = value
        item = item.assign(validation_accuracy=accuracy)
    return changed(item, **settings)


def dal(static, dynamical, power=1.0, cap=2.0, steps_of="own_run", constant=2.0, **more):
    rule = {"kind": "dal", "power": power, "cap": cap, "steps_of": steps_of, "constant": constant}
    return study(static, dynamical, learning_rate_rule=rule, **more)
