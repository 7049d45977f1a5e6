"""Complete trees of results: `verify` finds them sound, and reports what has changed."""

import json
import re
import shlex

import pytest

from dynamical_loss.figures.registry import FIGURES
from dynamical_loss.results import netcdf, sidecars, verify

ODD = "fig's; touch x $(touch y)"
# Figures that need separately installed data are not part of the study.
MADE = sum(figure.in_all for figure in FIGURES.values())


def verified(project, *folders):
    """Return the exit status of `verify`, its lines about problems, and its last line."""
    status, output = project.run("dynamical_loss", "verify", *folders)
    *problems, counts = output.splitlines()
    return status, problems, counts


def test_a_finished_study_is_sound(finished):
    status, problems, counts = verified(finished)
    assert (status, problems) == (0, [])
    figures = len(list(finished.result("figures").glob("*.pdf")))
    results = len(list((finished.folder / "results").rglob("*.nc"))) + figures + 2  # and two tables of claims
    assert figures == MADE
    assert counts == f"{results} results: 0 damaged, 0 unreadable, 0 foreign, 0 stale, 0 unfinished"


def test_every_result_names_its_inputs(finished):
    """Compare with the input files of each rule, for one result of each stage."""
    expected = {
        "dataset/spiral.nc": set(),
        "trajectory/cascade_seed0.nc": {"../dataset/spiral.nc"},
        "phase/spiral_w100/T20_A10_seeds0-1.nc": {"../../dataset/spiral.nc"},
        "phase/spiral_w100.nc": {f"spiral_w100/{b}_seeds0-1.nc" for b in ("static", "T20_A10")},
        "spectrum/cascade_seed0.nc": {"../trajectory/cascade_seed0.nc", "../dataset/spiral.nc"},
        "instabilities/cascade_seed0.nc": {"../trajectory/cascade_seed0.nc", "../spectrum/cascade_seed0.nc"},
        "threshold/scaling.nc": {
            f"../instabilities/threshold_scaling_w{width}_lr2_seed0.nc" for width in (100, 1000)
        },
        "figures/figS0_initialisation.json": {
            f"../phase/initialisation_{name}.nc" for name in ("lecun", "glorot", "no_bias")
        },
    }
    for name, inputs in expected.items():
        path = finished.result(name)
        attributes = netcdf.read(path).attrs if path.suffix == ".nc" else sidecars.read(path)
        found = json.loads(attributes["inputs"])
        assert set(found) == inputs, name
        for relative, checksum in found.items():
            assert netcdf.checksum((path.parent / relative).resolve()) == checksum
    claims = json.loads(sidecars.read(finished.result("claims.json"))["inputs"])
    assert {"threshold/scaling.nc", "phase/spiral_w100.nc", "instabilities/cascade_seed0.nc"} <= set(claims)


def test_an_edited_figure_is_stale_until_it_is_rendered(project):
    project.edit("figures/fig2_spiral_dataset.py")
    status, (problem,), _ = verified(project)
    assert status == 1
    assert problem.startswith(
        "stale       results/smoke/figures/fig2_spiral_dataset.json was made by other code"
    )
    project.snakemake("results/smoke/figures/fig2_spiral_dataset.pdf")
    assert verified(project)[:2] == (0, [])


def test_published_results_and_figures_of_them_are_sound(published):
    status, problems, counts = verified(published)
    assert (status, problems) == (0, [])
    copies = len(list((published.folder / "paper_figures" / "data").rglob("*.nc"))) + 2  # and two tables
    figures = len(list((published.folder / "paper_figures").glob("*.pdf")))
    assert copies > 10 and figures == MADE
    assert counts.startswith(f"{copies + figures} results ({copies} published copies: content only): ")


def test_a_figures_folder_with_a_name_for_the_shell_is_a_folder(project):
    overlay = project.overlay(json.dumps({"figures": {"folder": ODD}}))
    project.snakemake(f"{ODD}/fig2_spiral_dataset.pdf", overlay=overlay)
    assert {path.suffix for path in (project.folder / ODD).iterdir()} == {".pdf", ".png", ".json"}
    assert not verify.examine([project.folder / ODD]).findings
    assert not [path for path in project.folder.rglob("*") if path.name in ("x", "y")]


def commands(project, name):
    """Return the words of each shell command by the job's message; `name` names a folder and a file."""
    (project.folder / f"{name}.tar").touch()
    source = {"kind": "cifar10", "source": f"{name}.tar"}
    overlay = project.overlay(json.dumps({"figures": {"folder": name}, "datasets": {"images": source}}))
    options = ("--dry-run", "--printshellcmds")
    output = project.snakemake("all", "publish", options=options, overlay=overlay)
    jobs = re.findall(r"^Job \d+: ([^\n]+)\n.*?^Shell command: ([^\n]+)", output, re.DOTALL | re.MULTILINE)
    found = {}
    for message, command in jobs:
        words = shlex.shlex(command, posix=True, punctuation_chars=True)
        words.whitespace_split, words.commenters = True, ""
        found[message] = list(words)
    return found


def test_a_name_for_the_shell_is_one_word_of_every_command(empty):
    """Commands with the odd name have the same words as commands with a plain name, and no others."""
    plain, odd = commands(empty, "plain"), commands(empty, ODD)
    assert len(plain) > 50
    assert {
        message: [word.replace(ODD, "plain") for word in words] for message, words in odd.items()
    } == plain
    for words in odd.values():
        if "--settings" in words:
            assert isinstance(json.loads(words[words.index("--settings") + 1]), dict)
    named = [message for message, words in odd.items() if any(ODD in word for word in words)]
    assert {message.split()[0] for message in named} == {"Preparing", "Rendering"}


TARGETS = (
    *("all", "spiral", "images", "flow", "lazy", "protocols", "publish", "publish_protocols"),
    *("explorer", "pages", "summary"),
)


def test_rules_run_commands_alone_and_quote_all_that_they_name(empty):
    """The rules are those that Snakemake has loaded, including rarely used ones such as the download."""
    asking = empty.folder / "asking.smk"
    asking.write_text(
        'include: "Snakefile"\n'
        "found = {rule.name: [rule.shellcmd, rule.norun] for rule in workflow.rules}\n"
        'print("rules:", json.dumps(found))\n',
        encoding="utf-8",
    )
    output = empty.snakemake(options=("--dry-run", "--snakefile", asking.name))
    rules = json.loads(re.search(r"^rules: (.+)$", output, re.MULTILINE)[1])
    assert "download_dataset" in rules and len(rules) > 14
    for name, (command, runs_nothing) in rules.items():
        # A rule without a shell command runs nothing.  No rule has Python code, a script, a notebook or a
        # wrapper.
        assert (command is None) == runs_nothing == (name in TARGETS), name
        fields = re.findall(r"(?<!{){([^{}]*)}", command or "")
        assert all(field.endswith(":q") for field in fields), name


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["fig2_spiral_dataset", "--input", "dataset=results/smoke/threshold/scaling.nc"],
            "results/smoke/threshold/scaling.nc is not a result of prepare-dataset but of fit-threshold",
        ),
        (
            [
                "fig3_phase_spiral",
                *(f"--input={role}=results/smoke/dataset/spiral.nc" for role in ("narrow", "wide")),
            ],
            "results/smoke/dataset/spiral.nc is not a result of aggregate-phase or gather-draws but of "
            "prepare-dataset",
        ),
        (
            [
                "fig4_cascade",
                "--input=trajectory=results/smoke/trajectory/cascade_seed0.nc",
                "--input=spectrum=results/smoke/spectrum/static_w100_seed0.nc",
                "--input=instabilities=results/smoke/instabilities/cascade_seed0.nc",
            ],
            "static_w100_seed0.nc was not made from results/smoke/trajectory/cascade_seed0.nc as it is now",
        ),
        (
            ["fig2_spiral_dataset", "--input=dataset=results/smoke/dataset/spiral.nc", "--input=data=x.nc"],
            "figure fig2_spiral_dataset uses no --input data=…; the roles are dataset",
        ),
    ],
)
def test_a_figure_of_the_wrong_files_is_refused_in_one_line(finished, tmp_path, arguments, line):
    output = tmp_path / "made.pdf"
    status, found = finished.run("dynamical_loss", "render-figure", *arguments, "--output", output)
    assert status == 2
    assert found.startswith("error: ") and found.count("\n") == 1
    assert line in found
    assert list(tmp_path.iterdir()) == []


def test_blocks_of_other_data_are_not_gathered(project):
    """This happens if a dataset was made again while a block trained on the old dataset was kept."""
    overlay = project.overlay("datasets: {spiral: {noise: 0.3}}")
    block = "results/smoke/phase/spiral_w100/static_seeds0-1.nc"
    project.snakemake(block, overlay=overlay)
    settings = json.loads(netcdf.read(project.result("phase/spiral_w100.nc")).attrs["settings"])
    other = "results/smoke/phase/spiral_w100/T20_A10_seeds0-1.nc"
    status, found = project.run(
        "dynamical_loss", "aggregate-phase", block, other,
        "--settings", json.dumps(settings), "--output", "made.nc",
    )  # fmt: skip
    assert status == 2
    assert found.startswith(
        f"error: {other} was trained on another dataset than {block}; make it with: snakemake"
    )
    assert found.count("\n") == 1
