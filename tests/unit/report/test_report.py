"""The report from made-up results: its numbers, its links, and incomplete and damaged files."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from claim_results import narrow_as_in_the_paper, phase, stored
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.config.training import PhaseSettings
from dynamical_loss.errors import UserError
from dynamical_loss.figures import figS5_protocols
from dynamical_loss.report import captions, claims, crate
from dynamical_loss.results import netcdf, sidecars
from dynamical_loss.stages import build_report
from html_pages import HOSTILE, text_of
from project import ROOT

TABLE = ROOT / "paper_figures/data/claims.csv"


@pytest.fixture
def sources(tmp_path):
    """A phase diagram with its provenance, a figure that was made from it, and the stored table of claims."""
    results = tmp_path / "results"
    (results / "phase").mkdir(parents=True)
    periods, amplitudes = [50, 200, 2000], [1.0, 5.0, 20.0, 70.0]
    settings = PhaseSettings(seeds=6, periods=periods, amplitudes=amplitudes).model_dump_json()
    file = phase(narrow_as_in_the_paper, seeds=6).assign_attrs(
        settings=settings,
        seeds=json.dumps(list(range(6))), precision="float32", trained_on=f"device {HOSTILE}",
        wall_seconds=12.5, peak_memory_mb=250.0, processor="a processor, 2 cores", git_commit="c" * 40,
        git_state="clean", package_versions="jax 0.10.2, numpy 2.4.6",
        dataset_description="spiral, 300 + 300 points",
    )  # fmt: skip
    made = stored(file, results / "phase/spiral_w100.nc", "aggregate_phase")
    figures = tmp_path / "figures"
    figures.mkdir()
    pictures = [figures / f"fig3_phase_spiral{suffix}" for suffix in (".png", ".pdf")]
    for path in pictures:
        path.write_bytes(b"picture")
    inputs = {"../results/phase/spiral_w100.nc": "0" * 64}
    sidecars.write(pictures, {"inputs": json.dumps(inputs)}, [made])
    for suffix in (".csv", ".json"):
        shutil.copy(TABLE.with_suffix(suffix), results / f"claims{suffix}")
    explorer = tmp_path / "explorer"
    (explorer / "phase").mkdir(parents=True)
    for name in ("index", "phase/spiral_w100"):
        (explorer / f"{name}.html").write_text("<p>page</p>", encoding="utf-8")
    return build_report.Sources(
        scale="a test", figures=pictures[:1], results=results, claims=[results / "claims.csv"], summary=[],
        pages=[explorer / "index.html", explorer / "phase/spiral_w100.html"], configuration={"scale": "test"},
        locks=[ROOT / "envs/cpu.txt"],
        citation=ROOT / "CITATION.cff",
        workflow=ROOT / "Snakefile", missing={"fig4_cascade": "snakemake fig4_cascade.pdf"},
    )  # fmt: skip


def test_a_folder_with_other_files_than_a_report_is_kept(sources, tmp_path):
    build_report.run(sources, tmp_path / "report")
    build_report.run(sources, tmp_path / "report")
    kept = tmp_path / "other" / "phase" / "a.nc"
    kept.parent.mkdir(parents=True)
    kept.touch()
    with pytest.raises(UserError, match="other holds other files than a report; name a new or empty"):
        build_report.run(sources, tmp_path / "other")
    assert kept.exists()


def test_the_front_page_counts_the_verdicts_of_the_table(sources, tmp_path):
    build_report.run(sources, tmp_path / "report")
    with TABLE.open(encoding="utf-8", newline="") as stream:
        verdicts = [row["verdict"] for row in csv.DictReader(stream)]
    text = text_of(tmp_path / "report/index.html")
    for verdict in ("reproduced", "undecided", "contradicted"):
        assert f"{verdicts.count(verdict)} are {verdict}" in text
    assert f"Another {verdicts.count('not tested at this scale')} claims were not tested" in text
    rst = (tmp_path / "report/captions/front.rst").read_text(encoding="utf-8")
    assert f":reproduced: {verdicts.count('reproduced')}" in rst


def test_the_verdicts_are_those_of_the_claims():
    """Modules that Snakemake reads at its start name the verdicts again, without the module of claims."""
    assert set(claims.VERDICTS) == set(Verdict)
    assert set(figS5_protocols._FILLS) == set(Verdict) - {Verdict.NOT_TESTED}


def test_every_link_of_the_report_leads_to_a_file_or_a_place(sources, tmp_path):
    folder = tmp_path / "report"
    build_report.run(sources, folder)
    seen = 0
    for path in folder.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            if target.startswith("data:"):
                continue
            seen += 1
            file, _, place = target.partition("#")
            aim = folder / file if file else path
            assert aim.is_file(), f"{path.name}: {target}"
            if place:
                assert f'id="{place}"' in aim.read_text(encoding="utf-8"), f"{path.name}: {target}"
    assert seen > 30


def test_a_claim_links_its_figure_and_the_page_of_its_file(sources, tmp_path):
    build_report.run(sources, tmp_path / "report")
    text = (tmp_path / "report/claims.html").read_text(encoding="utf-8")
    row = re.search(r'<tr id="claim-[^"]*">(?:(?!</tr>).)*Fig\. 3a.*?</tr>', text, flags=re.DOTALL)[0]
    assert 'href="figures.html#fig3_phase_spiral"' in row
    assert 'href="explorer/phase/spiral_w100.html"' in row


def test_a_caption_states_settings_n_and_device_of_the_data(sources):
    caption = captions.caption(sources.figures[0])
    facts = dict(caption.facts)
    assert facts["n"] == "6 runs in each cell of spiral_w100"
    assert facts["width"] == "100"
    assert facts["data"] == "spiral, 300 + 300 points"
    assert facts["device"] == f"device {HOSTILE}"
    assert caption.title in caption.alternative
    assert "6 runs in each cell" in caption.alternative


def test_markup_in_results_is_shown_as_text(sources, tmp_path):
    build_report.run(sources, tmp_path / "report")
    assert HOSTILE in text_of(tmp_path / "report/figures.html")
    assert HOSTILE not in (tmp_path / "report/figures.html").read_text(encoding="utf-8")


def test_what_is_missing_is_named_with_its_command(sources, tmp_path):
    build_report.run(sources, tmp_path / "report")
    for page in ("index", "figures"):
        assert "snakemake fig4_cascade.pdf" in text_of(tmp_path / f"report/{page}.html")


def test_a_damaged_result_is_named_and_not_counted(sources, tmp_path):
    path = sources.results / "phase/spiral_w100.nc"
    path.write_bytes(path.read_bytes()[:-100])
    build_report.run(sources, tmp_path / "report")
    text = text_of(tmp_path / "report/index.html")
    assert f"{path} is damaged" in text
    assert "make it with" in text or "create it again" in text
    assert "cannot be read" in text_of(tmp_path / "report/figures.html")


def test_without_claims_and_figures_there_is_still_a_report(sources, tmp_path):
    empty = build_report.dataclasses.replace(
        sources, figures=[], claims=[], pages=[], results=tmp_path / "none"
    )
    build_report.run(empty, tmp_path / "report")
    assert "0 results" in text_of(tmp_path / "report/card.html")


def test_a_second_report_replaces_the_first_as_a_whole(sources, tmp_path):
    folder = tmp_path / "report"
    build_report.run(sources, folder)
    (folder / "old.html").write_text("old", encoding="utf-8")
    build_report.run(sources, folder)
    assert not (folder / "old.html").exists()
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []


def test_times_add_up_to_those_of_the_results(sources, tmp_path):
    build_report.run(sources, tmp_path / "report")
    assert "aggregate_phase 1 12.5 12.50 12.5 250" in text_of(tmp_path / "report/times.html")


def test_the_card_compares_the_lock_file_with_what_was_found(sources, tmp_path):
    build_report.run(sources, tmp_path / "report")
    text = text_of(tmp_path / "report/card.html")
    assert re.search(r"jax [\d.]+ 0\.10\.2", text)
    assert "a processor, 2 cores" in text
    assert "cff-version" in text


def with_its_terms(metadata):
    """Replace the address of the vocabulary by its terms, because the validator cannot fetch it."""
    terms = {key for one in metadata["@graph"] for key in one if not key.startswith("@")}
    apart = {
        "File": "http://schema.org/MediaObject",
        "conformsTo": "http://purl.org/dc/terms/conformsTo",
        "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
        "resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage",
    }
    known = {term: f"http://schema.org/{term}" for term in terms} | apart
    return {**metadata, "@context": [{"@vocab": "http://schema.org/", **known}]}


def test_the_folder_is_a_valid_crate(sources, tmp_path):
    """The shapes of the profile, which the validator brings along, are the oracle."""
    folder = tmp_path / "report"
    read = {"spiral_w100.nc": "1" * 64, "../elsewhere/foreign.nc": "2" * 64}
    file = netcdf.read(sources.results / "phase/spiral_w100.nc").assign_attrs(
        inputs=json.dumps(read), created="2026-01-02T03:04:05+00:00", wall_seconds=60.0
    )
    stored(file, sources.results / "phase/both.nc", "gather_draws")
    build_report.run(sources, folder)
    record = folder / crate.METADATA
    metadata = json.loads(record.read_text(encoding="utf-8"))
    graph = {one["@id"]: one for one in metadata["@graph"]}
    figure = graph["figures/fig3_phase_spiral.png"]
    assert figure["sha256"] == hashlib.sha256(b"picture").hexdigest()
    assert "6 runs in each cell" in figure["description"]
    assert graph["#run"]["object"] == [{"@id": "configuration.yaml"}]
    assert {one["@id"] for one in graph["./"]["hasPart"]} >= {"Snakefile", "claims.csv", "card.html"}
    job = graph["#job/phase/both.nc"]
    assert {one["@id"] for one in job["object"]} == {"#result/phase/spiral_w100.nc", f"#input/{'2' * 64}"}
    assert (job["startTime"], job["endTime"]) == ("2026-01-02T03:03:05+00:00", "2026-01-02T03:04:05+00:00")
    assert job["instrument"] == {"@id": "#rule/gather_draws"}
    assert graph["#job/phase/both.nc/peak_memory_mb"]["value"] == "250.0"
    assert {graph[one["@id"]]["name"] for one in graph["Snakefile"]["hasPart"]} == {
        "aggregate_phase", "evaluate_claims", "gather_draws",
    }  # fmt: skip

    record.write_text(json.dumps(with_its_terms(metadata)), encoding="utf-8")
    validator = Path(sys.executable).with_name("rocrate-validator")
    options = ("--offline", "--profile-identifier", "provenance-run-crate-0.5", "--output-format", "json")
    done = subprocess.run(
        [validator, "validate", *options, "--output-file", tmp_path / "found.json", folder],
        env=os.environ | {"HOME": str(tmp_path)},
    )
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [issue["message"] for issue in found["issues"]] == []
    assert done.returncode == 0


def test_a_damaged_figure_is_named_and_not_shown(sources, tmp_path):
    sources.figures[0].write_bytes(b"another picture")
    build_report.run(sources, tmp_path / "report")
    assert not (tmp_path / "report/figures/fig3_phase_spiral.png").exists()
    text = text_of(tmp_path / "report/figures.html")
    assert f"{sources.figures[0]}" in text
    assert "<img" not in (tmp_path / "report/figures.html").read_text(encoding="utf-8")


def test_unfinished_results_and_the_second_file_of_a_job_do_not_count(sources, tmp_path):
    (sources.results / "phase/.spiral_w1000.checkpoint.nc").write_bytes(b"half")
    shutil.copy(sources.results / "phase/spiral_w100.nc", sources.results / "claims.nc")
    found = list(build_report._results(sources.results))
    assert [path.name for path in found] == ["claims.nc", "spiral_w100.nc"]


def test_the_card_says_what_is_not_recorded(sources, tmp_path):
    path = sources.results / "phase/spiral_w100.nc"
    file = netcdf.read(path)
    del file.attrs["processor"]
    stored(file, path.with_name("other.nc"), "aggregate_phase")
    build_report.run(sources, tmp_path / "report")
    text = text_of(tmp_path / "report/card.html")
    assert "Hardware for 2 of 3 results; the others do not record it" in text
    assert "Pseudocode yes" in text


@pytest.mark.parametrize(
    ("stage", "settings", "words"),
    [
        ("aggregate_phase", {"seeds": 20}, "20 runs in each cell of one"),
        (
            "gather_draws",
            {"seeds": 10, "noise_seeds": [1, 2], "draws": "crossed"},
            "20 runs in each cell of one: 10 initial seeds on each of 2 draws of the data",
        ),
        (
            "gather_draws",
            {"seeds": 2, "noise_seeds": [1, 2], "draws": "paired"},
            "2 runs in each cell of one, each on a draw of the data of its own",
        ),
        (
            "aggregate_lazy",
            {"seeds": 6, "data_seeds": [3, 4, 5]},
            "18 runs in each cell of one: 6 initial seeds on each of 3 draws of the data",
        ),
        ("fit_threshold", {"trajectories": [{"learning_rate": 1}, {"learning_rate": 2}]}, "2 runs of one"),
        ("train_trajectory", {"learning_rate": 1, "seed": 3}, "run one"),
        ("probe_spectrum", {"trajectory": {"learning_rate": 1}}, ""),
        ("evaluate_protocols", {"seed": 0}, ""),
    ],
)
def test_n_is_the_number_of_runs_and_not_of_seeds(stage, settings, words):
    attributes = {"source": f"dynamical_loss.stages.{stage}, more", "settings": json.dumps(settings)}
    assert captions.runs("one", attributes) == words


def test_values_of_a_setting_are_in_order():
    assert list(captions._numbers([[200, 50], 5000, [50, 1.5]])) == ["1.5", "50", "200", "5000"]
    many = captions._values("T", captions._numbers([list(range(20, 0, -1))]))
    assert list(many) == [("T", "20 values from 1 to 20")]
