"""The report in a real browser: Snakemake's own page, and the pages of this project inside it."""

import zipfile
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from browser import Opened, opened
from dynamical_loss.figures import registry
from project import Project

SNAKEMAKES_OWN = "cdn.tailwindcss.com should not be used in production"
"""Warning of the style library that Snakemake's page carries; nothing is fetched."""


@pytest.fixture(scope="module")
def reported(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The smoke study with its pages and its report."""
    project = finished.copy(tmp_path_factory.mktemp("report") / "project")
    project.snakemake("pages")
    project.snakemake("pages", options=("--report", "report.zip"))
    return project


@pytest.fixture(scope="module")
def unpacked(reported: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the smoke study, unpacked."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(reported.folder / "report.zip") as archive:
        archive.extractall(folder)
    return folder / "report"


@pytest.fixture(scope="module")
def pages(unpacked: Path) -> Path:
    """The folder with the pages of this project in the report."""
    (front,) = (path for path in unpacked.rglob("index.html") if path.parent.name != "explorer")
    return front.parent


def test_snakemakes_page_shows_captions_and_numbers_from_the_data(browser, unpacked):
    shown = Opened(browser, unpacked / "report.html", "", 1400, dark=False)
    shown.page.wait_for_selector("text=are reproduced")
    shown.page.click("text=The spiral")
    shown.page.wait_for_selector("text=The spiral dataset, with one arm for each class.")
    shown.page.wait_for_selector("text=Fig. 4")
    row = shown.page.locator("tr", has_text="Fig. 4").first
    row.locator("a, button").last.click()
    caption = shown.page.wait_for_selector("text=run cascade_seed0")
    assert "learning rate η" in caption.evaluate("node => node.closest('table').innerText")
    assert [one for one in shown.complaints if SNAKEMAKES_OWN not in one] == []
    shown.page.close()


def test_every_page_opens_and_every_link_leads_somewhere(browser, pages):
    seen = set()
    for path in sorted(pages.rglob("*.html")):
        with opened(browser, path) as shown:
            targets = shown.page.eval_on_selector_all(
                "a[href]", "all => all.map((one) => one.getAttribute('href'))"
            )
        for target in targets:
            file, _, place = target.partition("#")
            aim = (path.parent / file).resolve() if file else path
            assert aim.is_file(), f"{path.name}: {target}"
            if place and "=" not in place:
                assert f'id="{place}"' in aim.read_text(encoding="utf-8"), f"{path.name}: {target}"
            seen.add(aim.name)
    assert {"claims.html", "figures.html", "card.html", "times.html", "claims.csv", "summary.pdf"} <= seen


def test_every_figure_is_shown_with_a_caption_and_a_description(browser, pages, finished):
    made = {path.stem for path in (finished.folder / "paper_figures").glob("fig*.png")}
    made |= {path.stem for path in finished.folder.glob("results/**/fig*.png")}
    assert {"fig3_phase_spiral", "fig4_cascade"} <= made <= set(registry.FIGURES)
    with opened(browser, pages / "figures.html") as shown:
        shown.page.evaluate("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
        shown.page.wait_for_function(
            "[...document.images].every((one) => one.complete && one.naturalWidth > 0)"
        )
        found = shown.page.eval_on_selector_all(
            "figure", "all => all.map((one) => [one.id, one.querySelector('img').alt])"
        )
    assert {name for name, _ in found} >= made
    for name, words in found:
        assert len(words) > 40, name


def test_claims_are_filtered_by_verdict(browser, pages):
    with opened(browser, pages / "claims.html") as shown:
        everything = shown.page.locator("tbody tr").count()
        shown.choose("verdict", "not tested at this scale")
        visible = shown.page.locator("tbody tr:visible")
        assert 0 < visible.count() < everything
        assert shown.state() == f"{visible.count()} of {everything} claims."
        assert all("not tested" in text for text in visible.all_inner_texts())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["index", "claims", "figures", "card", "times", "configuration"])
def test_pages_are_accessible_and_fit_a_telephone(browser, pages, name, dark):
    with opened(browser, pages / f"{name}.html", width=400, dark=dark) as shown:
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 400
        found = Axe().run(shown.page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_a_result_replaced_by_one_of_the_same_size_makes_the_report_anew(reported):
    # No figure shows this file; the report counts it.
    other = reported.folder / "results/smoke/other.txt"
    other.write_text("1")
    reported.snakemake("pages")
    assert reported.plan("pages").jobs == {}
    other.write_text("2")
    assert "Building the report" in reported.plan("pages").messages
