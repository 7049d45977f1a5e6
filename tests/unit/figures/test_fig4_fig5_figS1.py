"""Fig. 4, 5 and S1 draw the right numbers, as read back from their artists."""

import json
import math

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba

from dynamical_loss.analysis import event_table
from dynamical_loss.analysis.events import Event
from dynamical_loss.errors import UserError
from dynamical_loss.figures import along_run, fig4_cascade, fig5_threshold_scaling, figS1_hessian_modes, style
from dynamical_loss.models.kinds.mlp import MLPSettings
from figure_parts import drawn, labelled_ticks, letters, panel, require_legible_texts

RATE, PERIOD, STEPS = 0.5, 200, 1000
ZOOM = [160, 420]
EVENTS = {"sharpness": [(180, 240), (380, 430)], "loss": [(190, 230)]}
THRESHOLD = 3.4
FIT = {("sharpness", 100): (1.7, -0.95), ("loss", 100): (2.1, -1.02)}


pytestmark = pytest.mark.usefixtures("look")


def settings(**others):
    return {
        "learning_rate": RATE,
        "period": PERIOD,
        "amplitude": 70.0,
        "model": {"width": 100},
        "seed": 0,
        **others,
    }


def trajectory(steps=STEPS):
    step = np.arange(steps + 1)
    loss = 0.5 + 0.3 * np.sin(2 * np.pi * step / PERIOD) ** 2 + 0.05 * (-1.0) ** step
    return xr.Dataset(
        {
            "class_weight": (("step", "class_index"), np.ones((step.size, 3))),
            "weighted_loss": ("step", loss),
            "train_accuracy": ("step", np.linspace(0.3, 1, step.size)),
            "validation_accuracy": ("step", np.linspace(0.3, 0.9, step.size)),
            "oscillation_end": ((), min(800, steps)),
        },
        coords={"step": step},
        attrs={"settings": json.dumps(settings())},
    )


def spectrum(steps=STEPS, every=5, *, modes=4, static=True, ntk=True, density=True, **origin):
    snapshot = np.arange(0, steps + 1, every)
    top = 3 + np.cos(2 * np.pi * snapshot / PERIOD) + 0.2 * (-1.0) ** snapshot
    values = top[:, None] / 2.0 ** np.arange(modes)
    variables = {
        "hessian_eigenvalue": (("snapshot_step", "mode"), values),
        "hessian_min_eigenvalue": ("snapshot_step", np.full(snapshot.size, -0.05)),
    }
    if static:
        variables["hessian_eigenvalue_static"] = (("snapshot_step", "mode"), 1.5 * values)
        variables["hessian_min_eigenvalue_static"] = ("snapshot_step", np.full(snapshot.size, -0.2))
    if ntk:
        variables["ntk_eigenvalue"] = (("snapshot_step", "mode"), 1e3 * values)
        variables["ntk_eigenvalue_notebook"] = (("snapshot_step", "mode"), 10 * values)
    if density:
        node = np.tile([-0.1, 0.0, 0.5, 2.0], (2, 3, 1))
        variables["density_step"] = ("density_step", [0, steps])
        variables["density_node"] = (("density_step", "probe", "node"), node)
        variables["density_weight"] = (("density_step", "probe", "node"), np.full(node.shape, 0.25))
    probes = {"ntk": {"notebook_samples": 50} if ntk else None, "trajectory": settings(**origin)}
    return xr.Dataset(variables, coords={"snapshot_step": snapshot}, attrs={"settings": json.dumps(probes)})


def instabilities(events=EVENTS, threshold=THRESHOLD):
    spans = [(rule, *span) for rule, own in events.items() for span in own]
    rows = [Event(*row, True, 0, peak_sharpness=float(rank)) for rank, row in enumerate(spans)]
    return xr.Dataset(
        {
            **{name: ("event", values) for name, values in event_table.columns(rows).items()},
            "threshold_all": ("rule", [threshold, threshold]),
        },
        coords={"rule": ["sharpness", "loss"]},
        attrs={"settings": json.dumps({"tolerance": 0.1, "trajectory": settings()})},
    )


def along(**replaced):
    whole = {"trajectory": trajectory(), "spectrum": spectrum(), "instabilities": instabilities(), **replaced}
    return {role: [dataset] for role, dataset in whole.items()}


def thresholds(rates=(0.25, 0.5, 1.0), widths=(100, 1000), values=None, fits=FIT, **model):
    definitions = ["sharpness", "sharpness_starts", "loss"]
    seeds = [0, 1, 2]
    if values is None:
        values = np.full((3, len(rates), len(widths), 3), np.nan)
        scatter = np.array([0.9, 1.0, 1.1])
        for row, (prefactor, exponent) in zip((0, 2), FIT.values(), strict=True):
            values[row, :, 0] = prefactor * np.array(rates)[:, None] ** exponent * scatter
        values[0, -1, 1:, 0] = 1.6
    table = ("definition", "width")
    parameters = np.full((2, 3, len(widths)), np.nan)
    for (definition, width), found in fits.items():
        parameters[:, definitions.index(definition), widths.index(width)] = found
    interval = parameters[1][..., None] + np.array([-0.04, 0.03])
    return xr.Dataset(
        {
            "threshold": (("learning_rate", "width", "seed"), values[0]),
            "threshold_by_definition": (("definition", "learning_rate", "width", "seed"), values),
            "prefactor": (table, parameters[0]),
            "exponent": (table, parameters[1]),
            "exponent_interval": ((*table, "bound"), interval),
        },
        coords={
            "learning_rate": list(rates),
            "width": list(widths),
            "seed": seeds,
            "definition": definitions,
            "bound": ["lower", "upper"],
        },
        attrs={"settings": json.dumps({"trajectories": [{"model": {"width": w, **model}} for w in widths]})},
    )


def static_runs(width, seeds, **others):
    run = {"amplitude": 1.0, "model": {"width": width}} | others
    return [
        spectrum(modes=1, static=False, ntk=False, density=False, seed=seed, **run) for seed in range(seeds)
    ]


def fig5(threshold):
    inputs = {
        "threshold": [threshold],
        "static_narrow": static_runs(100, 3),
        "static_wide": static_runs(1000, 1),
    }
    return drawn(fig5_threshold_scaling.render(inputs, {}))


def level(axis, label):
    """Return the height of the horizontal line with a label."""
    heights = {tuple(line.get_ydata()) for line in axis.lines if label in str(line.get_label())}
    assert len(heights) == 1
    low, high = heights.pop()
    assert low == high
    return low


def verticals(axis, name):
    return [line.get_xdata()[0] for line in axis.lines if line.get_gid() == name]


def legend_words(axis):
    legends = [child for child in axis.get_children() if isinstance(child, mpl.legend.Legend)]
    return " ".join(text.get_text() for legend in legends for text in legend.get_texts())


def has_words(axis, words):
    return any(words in text.get_text() for text in axis.texts)


# -- Fig. 4 ----------------------------------------------------------------------------------------


def test_fig4_has_the_papers_twelve_panels():
    figure = drawn(fig4_cascade.render(along(), {"zoom": ZOOM}))
    assert sorted(letters(figure)) == list("abcdefghijkl")
    assert panel(figure, "a").get_xlim() == (0, STEPS)
    assert panel(figure, "g").get_xlim() == tuple(ZOOM)
    assert panel(figure, "b").get_yscale() == panel(figure, "e").get_yscale() == "log"
    assert panel(figure, "c").get_ylabel() == "F(t) − F(t − 1)"


def test_fig4_bound_and_threshold_lie_where_they_were_measured():
    figure = drawn(fig4_cascade.render(along(), {"zoom": ZOOM}))
    for letter in "ek":
        assert level(panel(figure, letter), "2/η") == pytest.approx(2 / RATE)
        assert level(panel(figure, letter), "th") == pytest.approx(THRESHOLD)
    assert "3.4" in legend_words(panel(figure, "e"))


def test_fig4_event_lines_lie_at_the_events_of_the_papers_rule():
    figure = drawn(fig4_cascade.render(along(), {"zoom": ZOOM}))
    for letter in "abcdef":
        assert verticals(panel(figure, letter), "start") == [180, 380]
        assert verticals(panel(figure, letter), "finish") == [240, 430]
    for letter in "ghijkl":
        assert verticals(panel(figure, letter), "start") == [180, 380]
        assert verticals(panel(figure, letter), "finish") == [240]  # 430 lies outside the zoom


def test_fig4_unfinished_event_has_no_finish():
    events = instabilities()
    events["event_finished"][1] = 0
    figure = drawn(fig4_cascade.render(along(instabilities=events), {"zoom": ZOOM}))
    assert verticals(panel(figure, "e"), "finish") == [240]


def test_fig4_zoom_shows_both_branches():
    figure = drawn(fig4_cascade.render(along(), {"zoom": ZOOM}))
    even = [line for line in panel(figure, "h").lines if line.get_color() == along_run.EVEN_COLOUR]
    odd = [line for line in panel(figure, "h").lines if line.get_color() == along_run.ODD_COLOUR]
    loss = trajectory()["weighted_loss"].values
    for lines, parity in ((even, 0), (odd, 1)):
        steps = np.concatenate([line.get_xdata() for line in lines]).astype(int)
        assert set(steps) == {step for step in range(ZOOM[0], ZOOM[1] + 1) if step % 2 == parity}
        np.testing.assert_allclose(np.concatenate([line.get_ydata() for line in lines]), loss[steps])


def test_fig4_axis_of_the_ntk_names_both_kernels():
    figure = drawn(fig4_cascade.render(along(), {"zoom": ZOOM}))
    assert "full kernel" in legend_words(panel(figure, "f"))
    assert "50 samples" in legend_words(panel(figure, "f"))


def test_fig4_without_ntk_events_or_threshold_says_so_and_draws_the_rest():
    inputs = along(spectrum=spectrum(ntk=False), instabilities=instabilities({}, np.nan))
    figure = drawn(fig4_cascade.render(inputs, {"zoom": ZOOM}))
    assert has_words(panel(figure, "f"), "not probed")
    assert has_words(panel(figure, "l"), "not probed")
    assert level(panel(figure, "e"), "2/η") == pytest.approx(2 / RATE)
    assert "th" not in legend_words(panel(figure, "e"))
    assert verticals(panel(figure, "e"), "start") == []


@pytest.mark.parametrize("zoom", [None, [2, 5], [0, 6]])
def test_fig4_of_a_few_steps_with_few_snapshots(zoom):
    inputs = along(trajectory=trajectory(6), spectrum=spectrum(6, 3), instabilities=instabilities({}, np.nan))
    figure = drawn(fig4_cascade.render(inputs, {} if zoom is None else {"zoom": zoom}))
    assert panel(figure, "a").get_xlim() == (0, 6)


@pytest.mark.parametrize("zoom", [[-1, 5], [2, 7], [3, 3], [5, 2], [100_000, 200_000], [math.nan, 5]])
def test_fig4_refuses_a_zoom_that_is_not_all_in_the_run(zoom):
    inputs = along(trajectory=trajectory(6), spectrum=spectrum(6, 3), instabilities=instabilities({}, np.nan))
    with pytest.raises(UserError, match=r"--option zoom: \[.*\] does not lie in the run, .* steps 0 to 6;"):
        fig4_cascade.render(inputs, {"zoom": zoom})


@pytest.mark.parametrize("zoom", [5, "ab", [1], [1, 2, 3], [1, "b"], [True, 2], {"a": 1}])
def test_fig4_refuses_a_zoom_that_is_none(zoom):
    with pytest.raises(
        UserError, match=r"--option zoom: .* is not an interval of steps; give \[START, STOP\]"
    ):
        fig4_cascade.render(along(), {"zoom": zoom})


@pytest.mark.parametrize("factor", [1e-12, 1e-5, 1.0, 1e5, 1e12])
@pytest.mark.parametrize("power", [0.001, 1, 40])
def test_fig4_and_fig5_label_every_axis_whatever_they_show(factor, power):
    def scaled(values):
        return factor * values**power

    path, probes = trajectory(), spectrum()
    path["weighted_loss"] = scaled(path["weighted_loss"])
    for name in ("hessian_eigenvalue", "ntk_eigenvalue", "ntk_eigenvalue_notebook"):
        probes[name] = scaled(probes[name])
    inputs = {"threshold": [thresholds(rates=(0.5,), fits={})]}
    for role in ("static_narrow", "static_wide"):
        inputs[role] = [run.map(scaled) for run in static_runs(100, 2)]
        for run, given in zip(inputs[role], static_runs(100, 2), strict=True):
            run.attrs = given.attrs
    for figure in (
        fig4_cascade.render(along(trajectory=path, spectrum=probes), {"zoom": ZOOM}),
        fig5_threshold_scaling.render(inputs, {}),
    ):
        drawn(figure)
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                if axis.get_tick_params()[{"x": "labelbottom", "y": "labelleft"}[axis.axis_name]]:
                    found = labelled_ticks(axis)
                    assert len(found) >= 2 and len(set(found)) == len(found), (
                        axes.get_title(loc="left"),
                        found,
                    )


def test_fig4_of_a_diverged_run():
    path, probes = trajectory(), spectrum()
    path["weighted_loss"][300:] = np.nan
    probes["hessian_eigenvalue"][60:] = np.nan
    probes["ntk_eigenvalue"][:] = np.nan
    drawn(fig4_cascade.render(along(trajectory=path, spectrum=probes), {"zoom": [400, 800]}))


# -- Fig. 5 ----------------------------------------------------------------------------------------


def test_fig5_fit_lines_are_the_power_laws():
    law = panel(fig5(thresholds()), "a")
    solid = [line for line in law.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2]
    (paper,) = [line for line in solid if line.get_color() == style.CLASS_COLOURS[0]]
    prefactor, exponent = FIT["sharpness", 100]
    rates = np.asarray(paper.get_xdata())
    np.testing.assert_allclose(paper.get_ydata(), prefactor * rates**exponent)
    assert rates[0] < 0.25
    assert rates[1] > 1.0
    assert "1.70 η$^{-0.95}$ [−0.99, −0.92]" in legend_words(law)


def test_fig5_theory_is_two_over_the_learning_rate():
    figure = fig5(thresholds())
    (theory,) = [line for line in panel(figure, "a").lines if "2/η" in str(line.get_label())]
    np.testing.assert_allclose(np.multiply(theory.get_xdata(), theory.get_ydata()), 2.0)


def test_fig5_error_bars_are_students_interval_of_the_log():
    values = np.array([0.9, 1.0, 1.1])
    mean, lower, upper, n = fig5_threshold_scaling.interval([*values, np.nan])
    logs = np.log(values)
    half = 4.302652729911275 * logs.std(ddof=1) / np.sqrt(3)  # t quantile 0.975, two degrees of freedom
    assert n == 3
    np.testing.assert_allclose([mean, lower, upper], np.exp(logs.mean() + np.array([0, -half, half])))

    figure = fig5(thresholds())
    ends = [
        (segment[0, 1], segment[1, 1])
        for bars in panel(figure, "a").collections
        for segment in bars.get_segments()
    ]
    prefactor, exponent = FIT["sharpness", 100]
    expected = prefactor * 0.25**exponent * np.array([lower, upper])
    assert any(np.allclose(pair, expected) for pair in ends)


def test_interval_of_one_seed_has_no_ends_and_of_none_no_mean():
    one = fig5_threshold_scaling.interval([np.nan, 2.0])
    assert one[0] == pytest.approx(2.0)
    assert np.isnan(one[1:3]).all()
    assert fig5_threshold_scaling.interval([np.nan])[3] == 0


def test_two_seeds_show_their_range():
    np.testing.assert_allclose(fig5_threshold_scaling.interval([4.0, np.nan, 1.0]), (2.0, 1.0, 4.0, 2))


def test_fig5_definitions_differ_in_fill():
    faces = {to_rgba(line.get_markerfacecolor()) for line in panel(fig5(thresholds()), "a").lines}
    assert {to_rgba("white"), to_rgba(style.CLASS_COLOURS[0])} <= faces


def test_fig5_static_runs_lie_against_bound_and_measured_threshold():
    figure = fig5(thresholds())
    prefactor, exponent = FIT["sharpness", 100]
    scatter = np.exp(np.log([0.9, 1.0, 1.1]).mean())
    for letter in "bc":
        assert level(panel(figure, letter), "2/η") == pytest.approx(2 / RATE)
    assert level(panel(figure, "b"), "th") == pytest.approx(prefactor * RATE**exponent * scatter)
    assert "th" not in legend_words(panel(figure, "c"))  # measured at η = 1 only
    assert legend_words(panel(figure, "b")).count("seed") == 3
    assert panel(figure, "b").get_ylim() == panel(figure, "c").get_ylim()


def test_fig5_names_networks_and_optimisers_for_what_they_are():
    model = {"width": 17, "depth": 2}
    adam = {"kind": "adam", "arguments": {"b1": 0.8}}
    inputs = {
        "threshold": [thresholds(widths=(17,), fits={}, depth=2)],
        "static_narrow": static_runs(17, 1, model=model),
        "static_wide": static_runs(17, 1, model=model, optimiser=adam),
    }
    figure = drawn(fig5_threshold_scaling.render(inputs, {}))
    titles = [panel(figure, letter).get_title(loc="right") for letter in "abc"]
    assert all(MLPSettings(**model).label in title for title in titles)
    assert titles[2].endswith("adam b1=0.8")
    require_legible_texts(figure)
    # Legends describe networks with one hidden layer completely, so the title is empty.
    assert panel(fig5(thresholds()), "a").get_title(loc="right") == ""


def test_fig5_single_learning_rate_has_points_but_no_fit():
    figure = fig5(thresholds(rates=(0.5,), widths=(100,), fits={}))
    assert "no fit" in legend_words(panel(figure, "a"))
    assert level(panel(figure, "b"), "th") > 0


def test_fig5_without_any_instability():
    figure = fig5(thresholds(values=np.full((3, 3, 2, 3), np.nan), fits={}))
    assert has_words(panel(figure, "a"), "no instability")
    assert "th" not in legend_words(panel(figure, "b"))


def test_fig5_without_other_definitions():
    figure = fig5(thresholds()[["threshold"]])
    assert "width 100, 3 seeds: no fit" in legend_words(panel(figure, "a"))


def test_fig5_of_static_runs_that_diverged():
    inputs = {
        "threshold": [thresholds()],
        "static_narrow": static_runs(100, 1),
        "static_wide": static_runs(1000, 1),
    }
    for role in ("static_narrow", "static_wide"):
        inputs[role][0]["hessian_eigenvalue"][:] = np.nan
    drawn(fig5_threshold_scaling.render(inputs, {}))


# -- Fig. S1 ---------------------------------------------------------------------------------------


def mode_lines(axis, rank):
    return [line for line in axis.lines if line.get_label() == f"_mode {rank}"]


def test_figs1_draws_every_mode_the_smallest_and_the_bound():
    figure = drawn(figS1_hessian_modes.render(along(), {}))
    probes = spectrum()
    for letter, suffix in (("a", ""), ("c", "_static")):
        axis = panel(figure, letter)
        for rank in range(4):
            (line,) = mode_lines(axis, rank + 1)
            np.testing.assert_allclose(line.get_ydata(), probes[f"hessian_eigenvalue{suffix}"][:, rank])
        (smallest,) = [line for line in axis.lines if line.get_label() == "_smallest"]
        np.testing.assert_allclose(smallest.get_ydata(), probes[f"hessian_min_eigenvalue{suffix}"])
        (bound,) = [line for line in axis.lines if line.get_gid() == "2/η"]
        assert bound.get_ydata()[0] == pytest.approx(2 / RATE)


def test_figs1_shades_the_instabilities_and_zooms_into_the_largest():
    figure = drawn(figS1_hessian_modes.render(along(), {}))
    spans = [patch for patch in panel(figure, "a").patches if patch.get_gid() == "unstable"]
    ends = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in spans]
    assert ends == EVENTS["sharpness"]
    low, high = panel(figure, "b").get_xlim()
    assert 240 < low < 380  # the second has the higher peak
    assert 430 < high < STEPS


def test_figs1_density_integrates_to_one_and_peaks_at_the_nodes():
    node = np.array([[-0.1, 0.0, 2.0]])
    weight = np.array([[0.2, 0.7, 0.1]])
    scale = 0.04
    grid = scale * np.sinh(np.linspace(-6, 9, 4000))
    density = figS1_hessian_modes.smoothed_density(node, weight, grid, scale=scale)
    assert np.trapezoid(density, grid) == pytest.approx(1.0, rel=1e-4)
    near_two = (grid > 1) & (grid < 4)
    assert np.trapezoid(density[near_two], grid[near_two]) == pytest.approx(0.1, rel=1e-3)
    assert abs(grid[density.argmax()]) < 0.01


def test_figs1_has_a_density_panel_a_step():
    figure = drawn(figS1_hessian_modes.render(along(), {}))
    assert [panel(figure, letter).get_title(loc="right") for letter in "ef"] == [
        "t = 0",
        "t = 1\N{NARROW NO-BREAK SPACE}000",
    ]


def test_figs1_without_static_loss_density_events():
    probes = spectrum(static=False, density=False, modes=1)
    figure = drawn(
        figS1_hessian_modes.render(along(spectrum=probes, instabilities=instabilities({}, np.nan)), {})
    )
    assert letters(figure) == "ab"
    assert not panel(figure, "a").patches


def test_figs1_of_a_few_steps_with_nan():
    probes = spectrum(6, 3)
    probes["hessian_eigenvalue"][1:] = np.nan
    probes["hessian_min_eigenvalue"][:] = np.nan
    probes["density_node"][0] = np.nan
    inputs = along(trajectory=trajectory(6), spectrum=probes, instabilities=instabilities({}, np.nan))
    figure = drawn(figS1_hessian_modes.render(inputs, {}))
    assert letters(figure) == "abcde"  # one density of two is left out


def test_figs1_with_only_one_snapshot():
    inputs = along(trajectory=trajectory(6), spectrum=spectrum(0), instabilities=instabilities({}, np.nan))
    drawn(figS1_hessian_modes.render(inputs, {}))
