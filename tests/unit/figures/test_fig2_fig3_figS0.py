"""Fig. 2, 3 and S0 show the numbers in their input files."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from scipy import stats

from dynamical_loss.analysis.intervals import bootstrap_interval
from dynamical_loss.figures import (
    fig2_spiral_dataset,
    fig3_phase_spiral,
    figS0_initialisation,
    phase_plane,
    style,
)
from dynamical_loss.figures.swarm import swarm
from dynamical_loss.models.kinds.mlp import MLPSettings
from figure_parts import require_legible_texts

PERIODS = [10, 100, 1000]
AMPLITUDES = [1.0, 5.0, 70.0]


pytestmark = pytest.mark.usefixtures("look")


def draw(figure):
    """Lay out the figure, so that a warning of the layout fails the test."""
    figure.canvas.draw()
    return figure


def letters(figure):
    return [axis.get_title(loc="left") for axis in figure.axes if axis.get_title(loc="left")]


def phase(
    values, *, width=100, depth=1, initialisation="lecun", periods=PERIODS, amplitudes=AMPLITUDES, classes=3
):
    """Make a phase file whose validation accuracy is 0.1 below the training accuracy."""
    values = np.asarray(values, dtype=float)
    dimensions = ("period", "amplitude", "seed")
    dataset = xr.Dataset(
        {
            "train_accuracy": (dimensions, values),
            "validation_accuracy": (dimensions, values - 0.1),
            "diverged": (dimensions, np.zeros(values.shape, dtype=np.int8)),
        },
        coords={"period": periods, "amplitude": amplitudes, "seed": range(values.shape[-1])},
    )
    settings = {"model": {"width": width, "depth": depth, "initialisation": initialisation}}
    data = {"kind": "spiral", "classes": classes}
    return dataset.assign_attrs(settings=json.dumps(settings), dataset_settings=json.dumps(data))


def accuracies(seeds=4, low=0.4, high=0.95, scatter=0.02):
    values = np.random.default_rng(0).uniform(low, high, (3, 3, 1))
    values = values + scatter * np.random.default_rng(1).normal(size=(3, 3, seeds))
    values[:, 0] = values[0, 0]  # the static runs are the same at every period
    return values


# Fig. 2 -------------------------------------------------------------------------------------------


def test_fig2_shows_every_point_in_its_class():
    generator = np.random.default_rng(0)
    points = {part: generator.uniform(-1, 1, (30, 2)) for part in ("train", "validation")}
    labels = np.repeat([0, 1, 2], 10)
    dataset = xr.Dataset(
        {f"{part}_input": ((f"{part}_sample", "feature"), value) for part, value in points.items()}
        | {f"{part}_label": ((f"{part}_sample",), labels) for part in points}
    )
    figure = draw(fig2_spiral_dataset.render({"dataset": [dataset]}, {}))
    assert letters(figure) == ["(a)", "(b)"]
    for axis, part in zip(figure.axes, points, strict=True):
        assert axis.get_aspect() == 1.0
        for label, line in enumerate(axis.lines):
            np.testing.assert_array_equal(line.get_xydata(), points[part][labels == label])
            assert line.get_color() == style.CLASS_COLOURS[label]
        assert len({line.get_marker() for line in axis.lines}) == 3


# Fig. 3 -------------------------------------------------------------------------------------------


@pytest.fixture(name="fig3")
def _fig3():
    narrow, wide = accuracies(), accuracies(low=0.97, high=0.99, scatter=0.001)
    inputs = {"narrow": [phase(narrow)], "wide": [phase(wide, width=1000)]}
    return draw(fig3_phase_spiral.render(inputs, {})), {"narrow": narrow, "wide": wide}


def panels(figure):
    return [axis for axis in figure.axes if axis.get_title(loc="left")]


def meshes(axis):
    return [item for item in axis.collections if isinstance(item, QuadMesh)]


def test_fig3_cells_are_the_means_over_seeds(fig3):
    figure, values = fig3
    expected = [values["narrow"], values["narrow"] - 0.1, values["wide"], values["wide"] - 0.1]
    for axis, given in zip(panels(figure), expected, strict=True):
        cells, static = meshes(axis)
        np.testing.assert_allclose(
            cells.get_array().reshape(2, 3), given[:, 1:].mean(axis=-1).T, err_msg=axis.get_title()
        )
        np.testing.assert_allclose(static.get_array().ravel(), [given[0, 0].mean()])


def test_fig3_has_letters_ticks_and_the_number_of_seeds(fig3):
    figure, _ = fig3
    assert letters(figure) == ["(a)", "(b)", "(c)", "(d)"]
    for axis, width in zip(panels(figure), (100, 100, 1000, 1000), strict=True):
        assert [text.get_text() for text in axis.get_xticklabels()] == ["10", "100", "1000"]
        assert [text.get_text() for text in axis.get_yticklabels()] == ["1", "5", "70"]
        assert f"perceptron, {width} hidden units," in axis.get_title()
        assert "$n=4$" in axis.get_title()


def test_fig3_names_the_network_as_its_kind_does():
    inputs = {
        role: [phase(accuracies(), width=17, depth=depth)] for role, depth in (("narrow", 2), ("wide", 3))
    }
    figure = draw(fig3_phase_spiral.render(inputs, {}))
    for axis, depth in zip(panels(figure), (2, 2, 3, 3), strict=True):
        assert MLPSettings(width=17, depth=depth).label in axis.get_title()
    require_legible_texts(figure)


def test_fig3_colours_fill_the_range_of_the_means(fig3):
    figure, _ = fig3
    ranges = []
    for axis in panels(figure):
        cells, static = meshes(axis)
        assert static.get_clim() == cells.get_clim()
        ranges.append(cells.get_clim())
        means = np.append(cells.get_array(), static.get_array())
        assert cells.norm.vmin <= means.min() + 1e-9
        assert cells.norm.vmax >= means.max() - 1e-9
    assert ranges[0] == ranges[1]
    assert ranges[2] != ranges[3]
    # Accuracies of the wide network differ by 0.02, so the range of its colours is only a little larger.
    assert all(high - low < 0.04 for low, high in ranges[2:])


def test_fig3_cells_say_mean_and_standard_error(fig3):
    figure, values = fig3
    written = {text.get_text() for text in panels(figure)[0].texts}
    cells = values["narrow"][:, 1:].reshape(-1, 4)
    expected = {f"{100 * cell.mean():.1f}±{100 * stats.sem(cell):.1f}" for cell in cells}
    static = values["narrow"][0, 0]
    assert written == expected | {f"{100 * static.mean():.1f}±{100 * stats.sem(static):.1f}"}


def test_fig3_marks_what_differs_from_the_static_loss():
    seeds = 6
    wobble = np.linspace(-1, 1, seeds)
    values = np.empty((1, 4, seeds))
    values[0, 0] = 0.6 + 0.1 * wobble
    values[0, 1] = values[0, 0] + 0.01 + 0.001 * wobble  # small, but almost the same for every seed
    values[0, 2] = values[0, 0] + 0.01 + 0.1 * wobble  # of the same size, but within the scatter of seeds
    values[0, 3] = values[0, 0] - 0.2
    dataset = phase(values, periods=[100], amplitudes=[1.0, 5.0, 10.0, 70.0])
    found = phase_plane.statistics(dataset["train_accuracy"])
    np.testing.assert_array_equal(found.change[:, 0], [1, 0, -1])
    for cell, change in zip(values[0, 1:3], (True, False), strict=True):
        lower, upper = stats.ttest_rel(cell, values[0, 0]).confidence_interval(0.95)
        assert (lower > 0 or upper < 0) == change
    figure = draw(fig3_phase_spiral.render({"narrow": [dataset], "wide": [dataset]}, {}))
    marks = panels(figure)[0].lines
    assert [line.get_marker() for line in marks] == ["^", "v"]
    assert [math.floor(line.get_ydata()[0]) for line in marks] == [0, 2]


@pytest.mark.parametrize("seeds", [1, 2])
def test_fig3_few_seeds(seeds):
    inputs = {"narrow": [phase(accuracies(seeds))], "wide": [phase(accuracies(seeds), width=1000)]}
    figure = draw(fig3_phase_spiral.render(inputs, {}))
    assert len(letters(figure)) == 4
    if seeds == 1:
        assert not any("±" in text.get_text() for text in panels(figure)[0].texts)


def test_fig3_a_grid_without_static_runs_or_with_gaps():
    values = accuracies()[:, 1:]
    values[1, 1] = np.nan
    item = phase(values, amplitudes=AMPLITUDES[1:])
    figure = draw(fig3_phase_spiral.render({"narrow": [item], "wide": [item]}, {}))
    (cells,) = meshes(panels(figure)[0])
    assert cells.get_array().mask.sum() == 1
    assert not panels(figure)[0].lines


def test_fig3_numbers_are_left_out_where_they_do_not_fit():
    periods = list(range(1, 31))
    values = np.broadcast_to(accuracies()[:1, :, :], (30, 3, 4))
    item = phase(values, periods=periods)
    figure = draw(fig3_phase_spiral.render({"narrow": [item], "wide": [item]}, {}))
    assert len(panels(figure)[0].texts) == 1  # the static strip


def test_fig3_counts_runs_that_diverged_the_static_ones_once():
    item = phase(accuracies())
    flags = np.zeros(item["diverged"].shape, dtype=int)
    flags[:, 0, :2] = 1  # two static runs, the same at all three periods
    flags[1, 2, 3] = 1
    broken = item.assign(diverged=(item["diverged"].dims, flags))
    assert phase_plane.diverged(broken) == (3, 3 * 2 * 4 + 4)
    figure = draw(fig3_phase_spiral.render({"narrow": [broken], "wide": [item]}, {}))
    titles = [axis.get_title() for axis in panels(figure)]
    assert [title.endswith("; 3 of 28 runs diverged") for title in titles] == [True, True, False, False]


def test_fig3_says_that_a_cell_is_below_the_colours():
    values = np.full((3, 3, 4), 0.98)
    values[0, 2] = 0.6
    item = phase(values)
    figure = draw(fig3_phase_spiral.render({"narrow": [item], "wide": [item]}, {}))
    cells, _ = meshes(panels(figure)[0])
    grey = cells.to_rgba(0.6)
    assert len(set(grey[:3])) == 1
    bars = [axis._colorbar for axis in figure.axes if hasattr(axis, "_colorbar")]
    assert {bar.extend for bar in bars} == {"min"}


# Fig. S0 ------------------------------------------------------------------------------------------


def initialisations(seeds=12):
    generator = np.random.default_rng(3)
    return [
        phase(
            generator.uniform(0.4, 1.0, (1, 2, seeds)),
            initialisation=name,
            periods=[200],
            amplitudes=[1.0, 10.0],
        )
        for name in ("lecun", "glorot", "no_bias")
    ]


def test_figs0_shows_every_seed_and_the_mean_with_its_interval():
    studies = initialisations()
    figure = draw(figS0_initialisation.render({"study": studies}, {}))
    assert letters(figure) == ["(a)", "(b)"]
    for axis, variable in zip(figure.axes, ("train_accuracy", "validation_accuracy"), strict=True):
        dots = [line for line in axis.lines if "one seed each" in str(line.get_label())]
        expected = [study[variable].isel(period=0, amplitude=k).values for study in studies for k in (0, 1)]
        assert len(dots) == len(axis.containers) == len(expected)
        for dot, bar, values in zip(dots, axis.containers, expected, strict=True):
            np.testing.assert_array_equal(dot.get_ydata(), values)
            centre, _, (segments,) = bar
            assert float(centre.get_ydata()[0]) == pytest.approx(values.mean())
            ends = segments.get_segments()[0][:, 1]
            np.testing.assert_allclose(ends, bootstrap_interval(values))


def test_figs0_names_the_initialisations_and_the_paper():
    figure = draw(figS0_initialisation.render({"study": initialisations()}, {}))
    names = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert names == ["LeCun\n$n=12$", "Glorot\n$n=12$", "no bias\n$n=12$"]
    levels = [line.get_ydata()[0] for line in figure.axes[0].lines if len(line.get_ydata()) == 2]
    assert levels == pytest.approx([0.65, 1 / 3])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == len(set(legend)) == 5


def test_figs0_names_networks_and_chance_for_what_they_are():
    studies = [
        phase(
            accuracies(4, 0.05, 0.3), depth=depth, initialisation=name, amplitudes=[1.0, 5.0, 70.0], classes=5
        )
        for name, depth in (("lecun", 1), ("glorot", 2))
    ]
    figure = draw(figS0_initialisation.render({"study": studies}, {}))
    for axis in figure.axes:
        assert all(MLPSettings(depth=depth).label in axis.get_title() for depth in (1, 2))
        levels = [line.get_ydata()[0] for line in axis.lines if line.get_label() == "chance"]
        assert levels == [1 / 5]
        dots = [line for line in axis.lines if "one seed each" in str(line.get_label())]
        assert axis.get_ylim()[0] < min(min(line.get_ydata()) for line in dots)
    require_legible_texts(figure)


def test_figs0_one_seed_has_no_interval():
    figure = draw(figS0_initialisation.render({"study": initialisations(seeds=1)}, {}))
    _, _, (segments,) = figure.axes[0].containers[0]
    low, high = segments.get_segments()[0][:, 1]
    assert low == high


def test_like_values_stand_side_by_side():
    values = np.array([0.5, 0.9931, 0.9931, 0.9931, 0.7])
    shifts = swarm(values)
    np.testing.assert_allclose(shifts[[0, 4]], 0.0)
    np.testing.assert_allclose(shifts[1:4], [-0.024, 0.0, 0.024])
    assert np.ptp(swarm(np.full(50, 0.5))) == pytest.approx(0.22)
