"""The explorer in a real browser: every page opens from a file, reacts, and asks no network."""

import json
import shutil

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from browser import opened
from dynamical_loss.analysis.threshold_study import DEFINITIONS
from explorer_results import SPIKE, STEPS, UNSTABLE, diagram, run, thresholds, written

KINDS = {
    "phase": lambda: {"phase": [diagram()]},
    "run": run,
    "threshold": lambda: {"threshold": [thresholds()]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def pages(folder):
    """One page of each kind."""
    return {kind: written(kind, files(), folder / kind / "one.html") for kind, files in KINDS.items()}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_and_fits_its_window(browser, pages, kind, width, dark):
    with opened(browser, pages[kind], width=width, dark=dark) as shown:
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
        for place in shown.page.query_selector_all(".place"):
            box = place.bounding_box()
            assert box["height"] > 100
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_has_no_serious_fault_of_accessibility(browser, pages, kind, dark):
    with opened(browser, pages[kind], dark=dark) as shown:
        found = Axe().run(shown.page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def even_and_odd(shown, name):
    even, odd = shown.lines(name)[:2]
    assert {step % 2 for step in even["x"]} == {0}
    assert {step % 2 for step in odd["x"]} == {1}
    return even, odd


def test_a_whole_run_keeps_its_extremes_and_both_branches(browser, pages):
    loss = run()["trajectory"][0]["weighted_loss"].values
    with opened(browser, pages["run"]) as shown:
        assert shown.state() == "Steps 0 to 70,000: extremes of neighbouring steps."
        even, odd = even_and_odd(shown, "loss")
        assert len(even["x"]) + len(odd["x"]) < 2000
        for parity, line in enumerate((even, odd)):
            assert min(line["y"]) == pytest.approx(loss[parity::2].min(), rel=1e-6)
            assert max(line["y"]) == pytest.approx(loss[parity::2].max(), rel=1e-6)
            np.testing.assert_allclose(line["y"], loss[line["x"]], rtol=1e-6)
        assert SPIKE in odd["x"]


def test_a_window_holds_every_step_of_both_branches(browser, pages):
    first, last = UNSTABLE
    loss = run()["trajectory"][0]["weighted_loss"].values
    with opened(browser, pages["run"], f"#steps={first}-{last}") as shown:
        even, odd = even_and_odd(shown, "loss")
        for parity, line in enumerate((even, odd)):
            inside = [step for step in line["x"] if first <= step <= last]
            assert inside == list(range(first + parity, last + 1, 2))
            np.testing.assert_allclose(line["y"], loss[line["x"]], rtol=1e-6)
        middle = slice(len(even["y"]) // 4, -len(even["y"]) // 4)
        assert min(even["y"][middle]) > max(odd["y"][middle]) + 0.4
        up, down = even_and_odd(shown, "increment")
        assert min(up["y"][middle]) > 0.4
        assert max(down["y"][middle]) < -0.4


def test_the_buttons_lead_from_event_to_event_and_down_to_ten_steps(browser, pages):
    with opened(browser, pages["run"]) as shown:
        shown.click("#next-event")
        assert shown.state().startswith("Steps 19,950 to 20,250")
        shown.click("#next-event")
        assert shown.state().startswith("Steps 39,950 to 40,250")
        assert shown.page.get_attribute("#next-event", "aria-disabled") == "true"
        shown.click("#previous-cascade")
        assert shown.state().startswith("Steps 19,950 to 20,250")
        for _ in range(6):
            shown.click("#in")
        assert shown.state() == "Steps 20,095 to 20,105: every recorded step."
        shown.click("#whole")
        assert shown.state().startswith(f"Steps 0 to {STEPS - 1:,}")


def test_the_wheel_zooms_and_a_drag_moves_all_plots(browser, pages):
    with opened(browser, pages["run"], "#steps=20000-21000") as shown:
        box = shown.page.query_selector("[data-plot=loss]").bounding_box()
        shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        shown.page.mouse.wheel(0, -400)
        shown.settle()
        start, end = shown.page.evaluate(
            f"(({shown.plot('ntk')}).x_range.start + ',' + ({shown.plot('ntk')}).x_range.end)"
        ).split(",")
        narrow = float(end) - float(start)
        assert narrow < 1000
        shown.page.mouse.down()
        shown.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=5)
        shown.page.mouse.up()
        shown.settle()
        moved = shown.page.evaluate(f"({shown.plot('ntk')}).x_range.start")
        assert moved > float(start) + narrow / 10


def test_a_diverged_run_says_so_and_shows_a_gap(browser, folder):
    path = written(
        "run", {"trajectory": run(diverged=True, steps=2001)["trajectory"]}, folder / "diverged.html"
    )
    with opened(browser, path) as shown:
        assert "diverged: from step 1000 on" in shown.page.inner_text("header")
        even, _ = even_and_odd(shown, "loss")
        assert max(x for x, y in zip(even["x"], even["y"], strict=True) if y == y) < 1000


def test_a_cell_shows_its_numbers_on_hover_and_its_runs_on_a_tap(browser, pages):
    with opened(browser, pages["phase"]) as shown:
        plot = shown.plot("heat-map")
        # Screen position of the cell T = 200, A = 5: second column and second row of the factors.
        where = shown.page.evaluate(
            f"(() => {{ const view = Bokeh.index.find_one_by_id(({plot}).id); const frame = view.frame; "
            "const box = view.el.getBoundingClientRect(); "
            "return [box.x + frame.x_scale.compute('200'), box.y + frame.y_scale.compute('5')]; })()"
        )
        shown.page.mouse.move(*where)
        shown.page.get_by_text("difference from A = 1, paired by seed").first.wait_for()
        assert shown.page.get_by_text("0.472").first.is_visible()  # the mean, which `#cell` shows only later
        shown.page.mouse.click(*where)
        shown.settle()
        assert shown.page.input_value("#period") == "1"
        assert shown.page.input_value("#amplitude") == "1"
        # 0.5 + 5/1000 + 200/100000 − 0.05, and the seeds' mean shift 0.015.
        assert "0.472" in shown.page.inner_text("#cell")
        (curves,) = shown.lines("curves", "MultiLine")
        assert len(curves["ys"]) == 4
        np.testing.assert_allclose(
            [curve[-1] for curve in curves["ys"]], 0.457 + np.arange(4) / 100, atol=1e-5
        )
        (bars,) = shown.lines("histogram", "Quad")
        assert sum(bars["count"]) == 4


def test_lists_choose_the_cell_and_the_measure_by_keyboard(browser, pages):
    with opened(browser, pages["phase"]) as shown:
        shown.choose("measure", "training accuracy")
        shown.choose("period", "2000")
        shown.page.focus("#amplitude")
        shown.page.keyboard.press("Home")
        shown.settle()
        cell = shown.page.inner_text("#cell")
        assert "training accuracy" in cell
        assert "2000, 1\n" in cell
        assert "0.536" in cell  # 0.5 + 1/1000 + 2000/100000, and the shift 0.015
        # The address opens the same view again.
        with opened(browser, pages["phase"], shown.page.evaluate("location.hash")) as again:
            assert again.page.inner_text("#cell") == cell


def test_the_width_opens_the_other_page_at_the_same_cell(browser, folder):
    for width, other in ((100, 1000), (1000, 100)):
        path = folder / "widths" / f"w{width}.html"
        written(
            "phase", {"phase": [diagram(width=width)]}, path, widths={f"{other} (w{other})": f"w{other}.html"}
        )
    with opened(browser, folder / "widths/w100.html", "#T=50&A=70") as shown:
        assert shown.page.eval_on_selector("#width", "list => list.selectedOptions[0].text") == "100"
        shown.page.select_option("#width", label="1000 (w1000)")
        shown.page.wait_for_url("**/w1000.html#*")
        shown.settle()
        assert "50, 70" in shown.page.inner_text("#cell")
        assert shown.page.eval_on_selector("#width", "list => list.selectedOptions[0].text") == "1000"


@pytest.mark.parametrize("changes", [{"seeds": 1}, {"diverged": 4}, {"curves": False}])
def test_unusual_studies_open(browser, folder, changes):
    path = written("phase", {"phase": [diagram(**changes)]}, folder / "unusual.html")
    with opened(browser, path) as shown:
        assert ("keeps none" in shown.page.inner_text("#cell")) == ("curves" in changes)


@pytest.mark.parametrize("classes", [2, 10])
def test_runs_with_few_and_many_classes_open(browser, folder, classes):
    files = {"trajectory": run(classes=classes, steps=301)["trajectory"]}
    with opened(browser, written("run", files, folder / "classes.html")) as shown:
        assert len(shown.lines("class-weights")) == classes


def test_a_point_of_a_threshold_opens_its_run(browser, folder):
    name = "threshold_one_w100_lr1_seed1"
    written("run", {"trajectory": run(steps=301)["trajectory"]}, folder / "run" / f"{name}.html")
    path = folder / "threshold" / "one.html"
    written("threshold", {"threshold": [thresholds()]}, path, runs={name: f"../run/{name}.html"})
    with opened(browser, path) as shown:
        before = [line["y"] for line in shown.lines("threshold", "Scatter")]
        shown.choose("definition", DEFINITIONS["loss"])
        after = [line["y"] for line in shown.lines("threshold", "Scatter")]
        np.testing.assert_allclose(after, np.array(before) / 2)
        shown.page.evaluate(
            f"(() => {{ const source = {shown.plot('threshold')}.renderers.find((one) => "
            "one.glyph.type === 'Scatter').data_source; "
            "source.selected.indices = [source.data.page.findIndex(Boolean)]; })()"
        )
        shown.page.wait_for_url(f"**/{name}.html*")
        shown.settle()
        assert shown.page.inner_text("h1") == f"Run {name}"


def test_snakemake_makes_the_pages_of_what_exists_and_names_the_rest(browser, project):
    """One of the results is missing and one is damaged; nothing is trained for the explorer."""
    lost = "spectrum/cascade_seed0.nc"
    results = project.folder / "results/smoke"
    (results / lost).unlink()
    for later in ("instabilities", "runs"):
        shutil.rmtree(results / later, ignore_errors=True)
    plan = project.plan("explorer")
    assert set(plan.jobs) == {"render_page", "list_pages", "explorer"}
    project.snakemake("explorer")
    folder = project.folder / "explorer/smoke"
    made = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.html")} - {
        "index"
    }
    missing = json.loads((folder / "index.json").read_text(encoding="utf-8"))["settings"]
    assert made
    assert "run/cascade_seed0" in json.loads(missing)["missing"]
    with opened(browser, folder / "index.html") as shown:
        text = shown.page.inner_text("main")
        assert "explorer/smoke/run/cascade_seed0.html" in text
        links = shown.page.eval_on_selector_all("a[href]", "all => all.map((one) => one.href)")
        assert len(links) == len(made)
    for path in sorted(folder.rglob("*.html")):
        with opened(browser, path) as shown:
            for target in shown.page.eval_on_selector_all(
                "a[href]", "all => all.map((one) => one.getAttribute('href'))"
            ):
                if not target.startswith("#"):
                    assert (path.parent / target).resolve().is_file(), f"{path}: {target}"


def test_a_damaged_file_is_named_and_not_shown(browser, project):
    path = project.folder / "results/smoke/phase/spiral_w100.nc"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    page = f"explorer/smoke/phase/{path.stem}.html"
    project.snakemake(page)
    with opened(browser, project.folder / page) as shown:
        text = shown.page.inner_text("body")
        assert path.name in text
        assert "make it with: snakemake" in text
        assert shown.page.query_selector(".plot") is None
