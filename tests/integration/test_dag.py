"""The pipeline under Snakemake: what it makes, what an edit makes it repeat, and unchanged numbers."""

import ast
import csv
import json
import math
import os
import re
import shutil
import signal
import time

import netCDF4
import numpy as np
import pytest

from dynamical_loss.claims import CLAIMS
from dynamical_loss.figures.registry import FIGURES as REGISTRY
from dynamical_loss.results import netcdf, record, recorded
from project import Plan, assert_same, numbers

SPIRAL_FIGURES = {name for name, figure in REGISTRY.items() if figure.part == "spiral"}
IMAGE_FIGURES = {name for name, figure in REGISTRY.items() if figure.part == "images"}
PROTOCOL_FIGURES = {name for name, figure in REGISTRY.items() if figure.part == "protocols"}
FLOW_FIGURES = {name for name, figure in REGISTRY.items() if figure.part == "flow"}
LAZY_FIGURES = {name for name, figure in REGISTRY.items() if figure.part == "lazy" and figure.in_all}
FIGURES = SPIRAL_FIGURES | IMAGE_FIGURES | PROTOCOL_FIGURES | FLOW_FIGURES | LAZY_FIGURES
CURVATURE_FIGURES = {
    "fig4_cascade",
    "fig5_threshold_scaling",
    "figS1_hessian_modes",
    "figS2_cascade_cifar10",
    "figS5_protocols",
    "figS8_size_and_rate",
    "figS10_questions",
    "figF5_stability",
    "figF6_step_sizes",
    "figF9_classes_at_the_edge",
    "figF10_residual_modes",
    "figF11_small_steps",
    "figL6_dynamical_loss",
}
# Jobs that evaluate the two tables of claims.
CLAIMS_ANEW = {"evaluate_claims": 1, "evaluate_protocols": 1}
GROWN = "phase: {spiral_w100: {periods: [40, 20], seeds: 3}}"


@pytest.fixture(scope="session")
def whole(pristine):
    """The plan of a run that makes everything."""
    return pristine.plan()


# --------------------------------------------------------------------------------------------------
# Results of a complete run
# --------------------------------------------------------------------------------------------------


def test_everything_is_made(finished):
    folder = finished.result("figures")
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "png", "json")
    }
    for path in folder.glob("*.p*"):
        start = b"%PDF-" if path.suffix == ".pdf" else b"\x89PNG"
        assert path.read_bytes().startswith(start)


def test_a_second_run_has_nothing_to_do(project):
    assert "Nothing to be done" in project.snakemake()


def test_a_variable_that_may_decide_numbers_makes_anew_what_it_decides(project):
    """JAX's own variables are removed by Snakemake's process and by every job, so they cause no job."""
    arguments = project.arguments(options=("--dry-run",))
    removed = {"JAX_PLATFORMS": "cuda", "JAX_DEFAULT_PRNG_IMPL": "rbg", "OMP_NUM_THREADS": "7"}
    status, output = project.run(*arguments, **removed)
    assert (status, Plan(output).jobs) == (0, {}), output
    status, output = project.run(*arguments, XLA_FLAGS="--xla_cpu_enable_fast_math=true")
    assert status == 0, output
    planned = Plan(output).jobs
    assert {"train_trajectory", "train_phase_block", "probe_spectrum"} <= set(planned)
    assert "prepare_dataset" not in planned


def test_claims_are_a_table(finished):
    with finished.result("claims.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) >= 8
    assert len({row["id"] for row in rows}) == len(rows)
    # Toy sizes can reproduce nothing, and the table must say so. Calculations do not depend on sizes.
    calculated = {claim.id for claim in CLAIMS if claim.roles == ("known",)}
    assert {row["verdict"] for row in rows[:-1] if row["id"] in calculated} == {"reproduced"}
    verdicts = {row["verdict"] for row in rows[:-1] if row["id"] not in calculated}
    assert verdicts == {"not tested at this scale"}
    assert all(row["source"] and row["statement"] for row in rows)


def dimensions(*names, over):
    return dict.fromkeys(names, tuple(over.split()))


CONTRACT = {
    "dataset/spiral.nc": {
        **dimensions("train_input", over="train_sample feature"),
        **dimensions("validation_input", over="validation_sample feature"),
        **dimensions("train_label", over="train_sample"),
    },
    "dataset/images.nc": {
        **dimensions("train_input", over="train_sample row column channel"),
        **dimensions("validation_input", over="validation_sample row column channel"),
        **dimensions("train_label", over="train_sample"),
        **dimensions("class_name", over="class_index"),
    },
    "phase/myrtle5.nc": dimensions(
        "train_accuracy_curve", "validation_accuracy_curve", over="period amplitude seed step"
    ),
    "phase/[!l]*.nc": dimensions(
        "train_accuracy", "validation_accuracy", "diverged", over="period amplitude seed"
    ),
    "phase/lecun_redrawn.nc": {
        **dimensions("train_accuracy", "diverged", over="noise_seed period amplitude seed"),
        **dimensions("train_accuracy_variance", over="period amplitude part"),
        **dimensions("train_accuracy_variance_interval", over="period amplitude part bound"),
    },
    "protocols.nc": dimensions("protocol", "id", "measured_value", "verdict", "hangs_on", over="row"),
    "trajectory/*.nc": {
        **dimensions("class_weight", over="step class_index"),
        **dimensions("weighted_loss", "loss", "train_accuracy", "validation_accuracy", over="step"),
        **dimensions("learning_rate", over="step"),
        **dimensions("parameters", over="snapshot_step parameter"),
    },
    "spectrum/*.nc": {
        **dimensions("hessian_eigenvalue", "hessian_residual", over="snapshot_step mode"),
        **dimensions("hessian_min_eigenvalue", over="snapshot_step"),
    },
    "spectrum/cascade_seed0.nc": {
        **dimensions("gradient_share", "principal_rate", "quadratic_change", over="snapshot_step mode"),
        **dimensions("class_sharpness", "class_weight", over="snapshot_step class_index"),
        **dimensions("class_change", over="snapshot_step step_kind class_index"),
    },
    "runs/cascade.nc": {
        **dimensions("sharpness", "loss", over="seed snapshot_step"),
        **dimensions("top_gradient_share", "emphasised_share", over="seed"),
        **dimensions("rise_agreement", over="seed predictor"),
    },
    "spectrum/residual_static_seed0.nc": {
        **dimensions("kernel_multiple", "residual_share", over="snapshot_step mode"),
        **dimensions("residual_change", "kernel_age", "unweighted_multiple", over="snapshot_step"),
        **dimensions("kernel_error", over="snapshot_step kernel"),
    },
    "runs/residual_dynamical.nc": {
        **dimensions("top_multiple", "instability_agreement", over="seed"),
        **dimensions("kernel_error", over="seed kernel_age kernel"),
    },
    "instabilities/*.nc": dimensions("event_start", "event_finish", over="event"),
    "flow/known_losses.nc": {
        **dimensions("coefficient_real", "coefficient_imaginary", over="flow curvature"),
        **dimensions("path_descent", over="path step coordinate"),
        **dimensions("path_error", over="flow path step"),
        **dimensions("path_real", "path_imaginary", over="flow path step coordinate"),
        **dimensions("error", "evaluations", "stuck", over="loss flow sharpness"),
    },
    "flows/spiral.nc": {
        **dimensions("error", "imaginary", "evaluations", "stuck", over="flow seed start step"),
        **dimensions("multiple", over="seed start"),
    },
    "threshold/scaling.nc": {
        **dimensions("threshold", over="learning_rate width seed"),
        **dimensions("exponent", over="definition width"),
        **dimensions("exponent_interval", over="definition width bound"),
    },
}


@pytest.mark.parametrize("pattern", CONTRACT)
def test_files_have_the_variables_of_the_contract(finished, pattern):
    paths = sorted(finished.result("").glob(pattern))
    assert paths
    for path in paths:
        found = netcdf.read(path)
        assert {name: found[name].dims for name in CONTRACT[pattern]} == CONTRACT[pattern], path


def test_the_ntk_is_measured_where_it_is_asked_for(finished):
    found = netcdf.read(finished.result("spectrum/cascade_seed0.nc"))
    assert found["ntk_eigenvalue"].dims == found["hessian_eigenvalue"].dims == ("snapshot_step", "mode")
    # The smoke scale asks for one mode of the kernel and three of the Hessian.
    assert found["ntk_eigenvalue"].notnull().sum("snapshot_step").values.tolist() == [
        found.sizes["snapshot_step"],
        0,
        0,
    ]


def test_every_file_says_where_it_came_from(finished):
    paths = sorted(finished.result("").rglob("*.nc"))
    assert len(paths) > 25
    for path in paths:
        with netCDF4.Dataset(path) as opened:
            attributes = {name: opened.getncattr(name) for name in opened.ncattrs()}
            variables = {name: set(item.ncattrs()) for name, item in opened.variables.items()}
        for name in (
            "git_commit", "git_state", "code_digest", "settings_digest", "package_versions",
            "backend", "device", "precision", "wall_seconds", "created",
        ):  # fmt: skip
            assert attributes[name] not in ("", None), (path, name)
        assert attributes["wall_seconds"] >= 0
        assert attributes["created"].endswith("+00:00")
        assert isinstance(json.loads(attributes["settings"]), dict)
        assert all(isinstance(seed, int) for seed in json.loads(attributes["seeds"]))
        # The copied sources are those of this repository, so the digests must agree.
        assert attributes["code_digest"] == record.code_of(attributes).digest, path
        for name, given in variables.items():
            assert {"long_name", "units", "reference"} <= given, (path, name)


# --------------------------------------------------------------------------------------------------
# Jobs that are repeated after an edit
# --------------------------------------------------------------------------------------------------


def test_touching_and_rewording_sources_remakes_nothing(project):
    """Digests cover only what computes: new times, comments, formatting and docstrings repeat no job."""
    for path in (project.folder / "src").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value = ast.Constant("Other words.")
        path.write_text(f"# A comment.\n{ast.unparse(tree)}\n", encoding="utf-8")
    assert project.plan().jobs == {}


def test_a_new_settings_key_with_a_default_remakes_nothing(project):
    path = project.folder / "src/dynamical_loss/config/training.py"
    text = path.read_text(encoding="utf-8")
    field = '    another: int = Field(7, description="new")'
    for group in ("TrainingSettings", "PhaseSettings", "SnapshotSettings", "OptimiserSettings"):
        text = re.sub(rf'(class {group}\(.*?\):\n    """.*?"""\n)', rf"\1\n{field}\n", text)
    assert text.count(field) == 4
    path.write_text(text, encoding="utf-8")
    assert project.plan().jobs == {}
    # The key exists, and it has an effect where it is set.
    overlay = project.overlay("phase: {spiral_w100: {another: 8}}")
    assert project.plan(overlay=overlay).jobs == {"train_phase_block": 2, **AFTER_PHASE}


def test_editing_a_figure_renders_that_figure_only(project):
    project.edit("figures/fig4_cascade.py")
    plan = project.plan()
    assert plan.jobs == {"render_figure": 1}
    assert plan.starting("Rendering") == {"fig4_cascade"}


def test_a_rendered_figure_leaves_the_others_alone(project):
    before = {path.name: path.stat().st_mtime_ns for path in project.result("figures").iterdir()}
    project.edit("figures/fig2_spiral_dataset.py")
    project.snakemake()
    after = {path.name: path.stat().st_mtime_ns for path in project.result("figures").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {
        "fig2_spiral_dataset.pdf",
        "fig2_spiral_dataset.png",
        "fig2_spiral_dataset.json",
    }
    assert project.plan().jobs == {}


def test_editing_the_shared_style_renders_all_figures_and_nothing_else(project):
    project.edit("figures/style.py")
    plan = project.plan()
    assert plan.jobs == {"render_figure": len(FIGURES)}
    assert plan.starting("Rendering") == FIGURES


def after_training(whole, **training):
    """Return the jobs of a plan that repeats these training jobs and everything that depends on them."""
    kept = {rule: count for rule, count in whole.jobs.items() if rule not in TRAINING}
    for other in ("prepare_dataset", "trace_known_losses", *FLOWING):
        del kept[other]
    return {**kept, **training}


TRAINING = ("train_phase_block", "train_trajectory")
FLOWING = ("train_lazy_block", "aggregate_lazy")


def test_editing_what_engines_share_retrains_everything(project, whole):
    project.edit("training/ensemble.py")
    plan = project.plan()
    expected = after_training(whole, **{rule: whole.jobs[rule] for rule in TRAINING})
    untrained = {"fig2_spiral_dataset", "figF1_known_losses", *LAZY_FIGURES} - {"figL6_dynamical_loss"}
    assert plan.jobs == expected | {"render_figure": len(FIGURES - untrained)}
    assert plan.starting("Rendering") == FIGURES - untrained


@pytest.mark.parametrize(
    ("module", "old", "new", "dataset"),
    [
        ("xla.py", "rate / max(operations, 1.0)", "rate / max(operations, 2.0)", "images"),
        ("fused_loop.py", "_LINE = 64 ", "_LINE = 128 ", "spiral"),
    ],
)
def test_a_constant_of_an_engine_retrains_what_it_trains_and_no_more(project, module, old, new, dataset):
    """XLA trains convolutional networks, and the fused loop trains the perceptrons on the spiral."""
    path = project.folder / "src/dynamical_loss/training" / module
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    plan = project.plan()
    config = project.settings("config.yaml")
    of_images = {name for name, study in config["phase"].items() if study.get("dataset") == "images"}
    # A study over several draws of the data trains each draw under its own name, with a suffix.
    studies = {
        text.partition(",")[0].partition("_noise")[0] for text in plan.starting("Training") if "," in text
    }
    # The smoke scale replaces two studies by others and leaves some out.
    left_out = {"lecun_w100", "glorot_zero_w100", "regime_a03", "regime_a3", "regime_ntk_w100_s3"}
    of_spiral = set(config["phase"]) - of_images - left_out
    assert studies == (of_images if dataset == "images" else of_spiral)
    runs = {text.removeprefix("the trajectory ") for text in plan.starting("Training") if "," not in text}
    assert all(run.startswith("cascade_images") == (dataset == "images") for run in runs) and runs


def test_editing_a_probe_never_retrains(project, whole):
    project.edit("probes/hessian.py")
    plan = project.plan()
    assert plan.jobs == {
        **{rule: whole.jobs[rule] for rule in ("probe_spectrum", "find_instabilities", "fit_threshold")},
        **CLAIMS_ANEW,
        "gather_runs": whole.jobs["gather_runs"],
        "render_figure": len(CURVATURE_FIGURES),
    }
    assert plan.starting("Rendering") == CURVATURE_FIGURES


def test_editing_the_claims_only_evaluates_them(project):
    project.edit("claims/spiral.py")
    assert project.plan().jobs == {**CLAIMS_ANEW, "render_figure": 1}


def test_editing_the_front_door_remakes_nothing(project):
    for module in ("cli.py", "__main__.py", "config/study.py", "config/document.py"):
        project.edit(module)
    assert project.plan().jobs == {}


@pytest.mark.parametrize("package", ["jax", "matplotlib", "snakemake"])
def test_another_version_of_a_package_remakes_what_it_computes(project, whole, package):
    lock = project.folder / "envs" / "cpu.txt"
    text, count = re.subn(
        rf"^{package}==", f"{package}==0", lock.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert count == 1
    lock.write_text(text, encoding="utf-8")
    trained = after_training(whole, **{rule: whole.jobs[rule] for rule in (*TRAINING, *FLOWING)})
    expected = {
        "jax": trained | {"trace_known_losses": 1, "render_figure": len(FIGURES) - 1},
        "matplotlib": {"render_figure": len(FIGURES)},
        "snakemake": {},
    }
    assert project.plan().jobs == expected[package]


# --------------------------------------------------------------------------------------------------
# Growing a study, and changing settings
# --------------------------------------------------------------------------------------------------

AFTER_PHASE = {"aggregate_phase": 1, "render_figure": 2, **CLAIMS_ANEW}


@pytest.mark.parametrize(
    ("change", "blocks"),
    [
        ("periods: [20, 40]", {"T40_A10_seeds0-1"}),
        ("amplitudes: [1, 10, 2.5]", {"T20_A2.5_seeds0-1"}),
        ("seeds: 3", {"static_seeds2-3", "T20_A10_seeds2-3"}),
        (
            "periods: [20, 40], amplitudes: [1, 10, 5]",
            {"T40_A10_seeds0-1", "T20_A5_seeds0-1", "T40_A5_seeds0-1"},
        ),
    ],
)
def test_growing_a_study_trains_only_what_is_new(project, change, blocks):
    plan = project.plan(overlay=project.overlay(f"phase: {{spiral_w100: {{{change}}}}}"))
    assert plan.starting("Training") == {f"spiral_w100, {block}" for block in blocks}
    assert plan.jobs == {"train_phase_block": len(blocks), **AFTER_PHASE}
    assert plan.starting("Rendering") == {"fig3_phase_spiral", "figS5_protocols"}


def test_shrinking_a_study_trains_nothing(project):
    overlay = project.overlay("phase: {spiral_w100: {seeds: 1}}")
    assert project.plan(overlay=overlay).jobs == AFTER_PHASE


def test_the_static_loss_is_trained_once_for_all_periods(empty):
    overlay = empty.overlay("phase: {spiral_w100: {periods: [10, 20, 30, 40], amplitudes: [1, 5]}}")
    plan = empty.plan("results/smoke/phase/spiral_w100.nc", overlay=overlay)
    dynamical = {f"spiral_w100, T{period}_A5_seeds0-1" for period in (10, 20, 30, 40)}
    assert plan.starting("Training") == {"spiral_w100, static_seeds0-1"} | dynamical


@pytest.fixture(scope="session")
def grown(finished, tmp_path_factory):
    """A project whose narrow study has one more period and seed, and one block of other seeds."""
    project = finished.copy(tmp_path_factory.mktemp("grown") / "project")
    project.snakemake(
        "results/smoke/phase/spiral_w100.nc",
        "results/smoke/phase/spiral_w100/T20_A10_seeds1-3.nc",
        overlay=project.overlay(GROWN),
    )
    return project


def test_old_cells_keep_their_numbers_when_a_study_grows(finished, grown):
    before = numbers(finished.result("phase/spiral_w100.nc"))
    after = numbers(grown.result("phase/spiral_w100.nc"))
    assert after["period"].values.tolist() == [40, 20]
    assert after["seed"].values.tolist() == [0, 1, 2]
    assert_same(after.sel(period=before["period"], seed=before["seed"]), before)
    assert after["train_accuracy"].notnull().all()
    for path in finished.result("phase/spiral_w100").glob("*.nc"):
        assert grown.result(f"phase/spiral_w100/{path.name}").stat().st_mtime_ns == path.stat().st_mtime_ns
    static = after.sel(amplitude=1)
    assert_same(static.isel(period=0, drop=True), static.isel(period=1, drop=True))


def test_a_seed_gives_the_same_bits_in_whatever_block(finished, grown):
    """Compare blocks of two seeds (0-1 and 2-3) with a block of three seeds (1-3)."""
    folder = grown.result("phase/spiral_w100")
    other = numbers(folder / "T20_A10_seeds1-3.nc")
    assert other["seed"].values.tolist() == [1, 2, 3]
    for name, seeds in (("T20_A10_seeds0-1", [1]), ("T20_A10_seeds2-3", [2, 3])):
        assert_same(other.sel(seed=seeds), numbers(folder / f"{name}.nc").sel(seed=seeds))


def test_a_probe_setting_does_not_retrain(project):
    overlay = project.overlay("trajectories: {cascade: {probes: {hessian: {modes: 4}}}}")
    plan = project.plan(overlay=overlay)
    assert plan.jobs == {
        "probe_spectrum": 1,
        "find_instabilities": 1,
        "gather_runs": 1,
        **CLAIMS_ANEW,
        # Fig. 4, S1 and S5, and the figures of the edge of stability F5, F9 and F11.
        "render_figure": 6,
    }
    assert plan.starting("Probing the curvature along") == {"cascade_seed0"}


def test_an_analysis_setting_does_not_probe(project, whole):
    plan = project.plan(overlay=project.overlay("instabilities: {tolerance: 0.2}"))
    assert set(plan.jobs) == {"find_instabilities", "fit_threshold", *CLAIMS_ANEW, "render_figure"}
    # The second reading of the two runs of the threshold study has separate settings.
    assert plan.jobs["find_instabilities"] == whole.jobs["find_instabilities"] - 2
    other = project.plan(overlay=project.overlay("readings: {fixed_tolerance: {tolerance: 0.2}}"))
    assert other.jobs == {
        "find_instabilities": 2,
        "fit_threshold": 1,
        "evaluate_protocols": 1,
        "render_figure": 1,
    }


def test_training_settings_retrain_their_study_alone(project):
    plan = project.plan(overlay=project.overlay("phase: {spiral_w1000: {learning_rate: 0.5}}"))
    assert plan.jobs == {"train_phase_block": 2, **AFTER_PHASE}
    assert all("spiral_w1000" in text for text in plan.starting("Training"))


def test_settings_on_the_command_line_work(empty):
    options = ("--dry-run", "--config", "phase={spiral_w100: {periods: [20, 25], amplitudes: [3]}}")
    output = empty.snakemake("results/smoke/phase/spiral_w100.nc", options=options)
    for block in ("T20_A3_seeds0-1", "T25_A3_seeds0-1"):
        assert f"Training spiral_w100, {block}\n" in output


def test_published_results_render_every_figure(published, finished):
    """The fixture has verified that no other job runs."""
    kept = published.folder / "paper_figures" / "data"
    assert {path.name for path in kept.iterdir()} >= {"phase", "trajectory", "threshold", "claims.csv"}
    pictures = {path.name for path in (published.folder / "paper_figures").glob("*.png")}
    assert pictures == {f"{name}.png" for name in FIGURES}
    # Fig. 3 shows final accuracies, and their rounding is smaller than a pixel.
    picture = (published.folder / "paper_figures/fig3_phase_spiral.png").read_bytes()
    assert picture == finished.result("figures/fig3_phase_spiral.png").read_bytes()


def test_published_results_keep_numbers_and_provenance(published, finished):
    for name in ("phase/spiral_w100.nc", "trajectory/cascade_seed0.nc", "spectrum/cascade_seed0.nc"):
        full = netcdf.read(finished.result(name))
        small = netcdf.read(published.folder / "paper_figures/data" / name)
        assert set(full.variables) - set(small.variables) <= {"parameters"}
        own = {recorded.CONTENT, recorded.ATTRIBUTES}
        assert small.attrs.items() >= {key: full.attrs[key] for key in set(full.attrs) - own}.items()
        assert small.attrs["published_from"] == full.attrs[recorded.CONTENT] != small.attrs[recorded.CONTENT]
        for variable in small.data_vars:
            rounding = 0.6 if "residual" in variable else 1e-3 if variable == "class_weight" else 1e-4
            np.testing.assert_allclose(small[variable], full[variable], rtol=rounding)


def test_a_study_that_is_not_published_is_named(pristine):
    status, output = pristine.run(
        *pristine.arguments(config=(), options=("--dry-run", "--config", "published=true"))
    )
    assert status != 0
    assert output.strip().splitlines()[-1].startswith("error: published: there is no paper_figures/data/")


@pytest.mark.parametrize("overlay", [None, "workflow/scales/paper.yaml"])
def test_the_other_scales_train_each_cell_once(pristine, overlay):
    """Compare the number of training jobs with a count from the YAML files."""
    studies = pristine.settings("config.yaml")["phase"]
    for name, changes in pristine.settings(overlay)["phase"].items() if overlay else ():
        studies[name] |= changes
    expected = 0
    for study in studies.values():
        dynamical = sum(amplitude > 1 for amplitude in study["amplitudes"])
        cells = len(study["periods"]) * dynamical + (1 in study["amplitudes"])
        draws = max(1, len(study.get("noise_seeds", [])))
        expected += cells * math.ceil(study["seeds"] / study.get("seeds_per_block", 10)) * draws
    plan = pristine.plan(config=(), overlay=overlay)
    assert plan.jobs["train_phase_block"] == expected
    # Fig. S6 to S10, F7, F8 and L8 belong to separate studies.
    assert plan.jobs["render_figure"] == len(FIGURES) - 8


def test_feature_and_lazy_training_is_planned_at_the_papers_size(empty):
    """Each width, scale, split and seed is trained once, wherever the images are stored."""
    settings = empty.settings("workflow/scales/paper.yaml")
    settings["datasets"]["fashion_parity"]["source"] = "."
    study = settings["lazy"]["fashion"]
    overlay = empty.overlay(json.dumps(settings))
    plan = empty.plan("paper_figures/figL7_further_data.pdf", config=(), overlay=overlay)
    cells = len(study["widths"]) * len(study["scales"])
    assert plan.jobs["train_lazy_block"] == cells * study["seeds"] * len(study["data_seeds"]) == 2070
    assert (plan.jobs["aggregate_lazy"], plan.jobs["prepare_dataset"]) == (1, 3)


def test_numbers_are_known_by_their_names_whatever_characters_these_have(project):
    """Files with such names that are older than their dataset are made again, and not taken for sources."""
    rates = ["2", "1e+16", "3.3", "3.3000000000000003", "1.5e+300"]
    amplitudes = ["3.3000000000000003", "1e+16"]
    settings = {
        "threshold": {"scaling": {"widths": {100: {"learning_rates": [*map(float, rates)]}}}},
        "phase": {"spiral_w100": {"amplitudes": [1, 10, *map(float, amplitudes)]}},
    }
    overlay = project.overlay(json.dumps(settings))
    runs = {f"threshold_scaling_w100_lr{rate}_seed0" for rate in rates[1:]}
    blocks = {f"T20_A{amplitude}_seeds0-1" for amplitude in amplitudes}
    names = [(f"{folder}/threshold_scaling_w100_lr2_seed0.nc", f"{folder}/{run}.nc")
             for folder in ("trajectory", "spectrum", "instabilities") for run in runs]  # fmt: skip
    names += [("phase/spiral_w100/T20_A10_seeds0-1.nc", f"phase/spiral_w100/{block}.nc") for block in blocks]
    for source, name in names:
        shutil.copy(project.result(source), project.result(name))
        os.utime(project.result(name), (1e9, 1e9))
    plan = project.plan(overlay=overlay)
    assert plan.starting("Training") == {
        *(f"the trajectory {run}" for run in runs),
        *(f"spiral_w100, {block}" for block in blocks),
    }
    assert plan.starting("Probing") == {f"the curvature along {run}" for run in runs}
    assert plan.jobs["fit_threshold"] == 2
    assert {"fig5_threshold_scaling", "fig3_phase_spiral"} <= plan.starting("Rendering")


# --------------------------------------------------------------------------------------------------
# Parts of the study, and accidents
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "jobs"),
    [
        ("fig2_spiral_dataset", {}),
        ("fig3_phase_spiral", {"train_phase_block": 4, "aggregate_phase": 2}),
        ("fig4_cascade", {"train_trajectory": 1, "probe_spectrum": 1, "find_instabilities": 1}),
        ("figS0_initialisation", {"train_phase_block": 6, "aggregate_phase": 3}),
    ],
)
def test_one_figure_needs_only_its_own_results(pristine, figure, jobs):
    plan = pristine.plan(f"results/smoke/figures/{figure}.pdf")
    assert plan.jobs == {"prepare_dataset": 1, "render_figure": 1, **jobs}


def test_one_figure_is_made_from_nothing(empty):
    empty.snakemake("results/smoke/figures/fig2_spiral_dataset.pdf")
    made = {path.relative_to(empty.result("")).as_posix() for path in empty.result("").rglob("*.*")}
    assert made == {
        "dataset/spiral.nc",
        "figures/fig2_spiral_dataset.pdf",
        "figures/fig2_spiral_dataset.png",
        "figures/fig2_spiral_dataset.json",
    }


def test_a_killed_run_continues_to_the_same_numbers(empty, finished):
    names = [f"phase/spiral_w100/{block}_seeds0-1.nc" for block in ("static", "T20_A10")]
    names.append("trajectory/cascade_seed0.nc")
    targets = [f"results/smoke/{name}" for name in names]
    with empty.started(*targets, options=("--cores", "2")) as running:
        # Three jobs run on two cores: when the first has ended, another has not finished.
        while running.poll() is None and not any(empty.result(name).exists() for name in names):
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGKILL)
    survivors = [name for name in names if empty.result(name).exists()]
    assert 1 <= len(survivors) < len(names)
    for name in survivors:
        assert_same(numbers(empty.result(name)), numbers(finished.result(name)))
    empty.snakemake(options=("--unlock",))
    empty.snakemake(*targets)
    for name in names:
        assert_same(numbers(empty.result(name)), numbers(finished.result(name)))
    assert empty.plan(*targets).jobs == {}


@pytest.mark.parametrize(
    ("part", "figures", "dataset"),
    [("spiral", SPIRAL_FIGURES, "spiral"), ("images", IMAGE_FIGURES, "images")],
)
def test_a_part_of_the_study_is_made_alone(empty, part, figures, dataset):
    plan = empty.plan(part)
    assert plan.starting("Rendering") == figures
    assert plan.starting("Preparing the dataset") == {dataset}
    table = f"{part.removesuffix('s')}_claims"
    assert plan.starting("Testing the paper's claims on the results:") == {table}


def test_protocols_are_made_alone(empty):
    plan = empty.plan("protocols")
    assert plan.starting("Rendering") == PROTOCOL_FIGURES
    assert plan.jobs["evaluate_protocols"] == plan.jobs["gather_draws"] == 1
    assert plan.starting("Preparing the dataset") == {"spiral", "spiral_noise100", "spiral_noise101"}
    assert "evaluate_claims" not in plan.jobs


def test_another_draw_of_the_data_trains_that_draw_alone(project):
    overlay = project.overlay("phase: {lecun_redrawn: {noise_seeds: [100, 101, 7]}}")
    plan = project.plan(overlay=overlay)
    assert plan.starting("Training") == {
        "lecun_redrawn_noise7, static_seeds0-1",
    }
    assert plan.jobs == {
        "prepare_dataset": 1,
        "train_phase_block": 1,
        "aggregate_phase": 1,
        "gather_draws": 1,
        "evaluate_protocols": 1,
        "render_figure": 1,
    }


def test_without_protocols_there_is_no_table_of_them(empty):
    """An overlay cannot remove a group, so the test writes its own configuration file."""
    settings = empty.settings("config.yaml")
    del settings["protocols"]
    (empty.folder / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")
    plan = empty.plan(config=())
    assert "evaluate_protocols" not in plan.jobs
    assert "gather_draws" not in plan.jobs
    # Figures of separate studies are not part of the default.
    own = {"figS9_regime", "figS10_questions", "figF7_learning_rates", "figF8_power_and_cap"}
    own |= {"figL8_training_set_size"}
    assert plan.starting("Rendering") == FIGURES - PROTOCOL_FIGURES - own


def test_only_small_datasets_are_made_beside_snakemake(empty):
    """A login node may not have the memory that reading a large archive needs."""
    asking = empty.folder / "asking.smk"
    # In a dry run every rule is local, so the test reads the list of local rules in the workflow.
    found = '"prepare_dataset" in workflow._localrules'
    asking.write_text(f'include: "Snakefile"\nprint("beside Snakemake:", {found})\n', encoding="utf-8")
    options = ("--dry-run", "--snakefile", asking.name)
    large = empty.overlay("datasets: {large: {kind: cifar10, source: images.tar}}")
    assert "beside Snakemake: True\n" in empty.snakemake(options=options)
    assert "beside Snakemake: False\n" in empty.snakemake(options=options, overlay=large)


def test_every_role_that_a_claim_looks_at_is_given(pristine):
    output = pristine.snakemake("results/smoke/claims.csv", options=("--dry-run", "--printshellcmds"))
    (command,) = re.findall(r"dynamical_loss .*evaluate-claims (.+)", output)
    given = set(re.findall(r"--input '?(\w+)=", command))
    # Claims that need separately installed data are not part of the table.
    apart = {role for figure in REGISTRY.values() if not figure.in_all for role in figure.evidence}
    assert given == {role for claim in CLAIMS for role in claim.roles} - apart


def test_cifar10_is_downloaded_once_and_only_without_a_source(empty):
    overlay = empty.overlay(
        "datasets: {here: {kind: cifar10, source: my pictures.tar}, "
        "there: {kind: cifar10}, far: {kind: cifar10}}"
    )
    (empty.folder / "my pictures.tar").touch()
    here, there, far = (f"results/smoke/dataset/{name}.nc" for name in ("here", "there", "far"))
    assert empty.plan(here, overlay=overlay).jobs == {"prepare_dataset": 1}
    assert empty.plan(there, far, overlay=overlay).jobs == {"download_dataset": 1, "prepare_dataset": 2}
    downloaded = empty.folder / "data" / "cifar-10-binary.tar.gz"
    downloaded.parent.mkdir()
    downloaded.touch()
    assert empty.plan(there, far, overlay=overlay).jobs == {"prepare_dataset": 2}
    # An existing dataset needs no second download, and a newer download does not make it out of date.
    (empty.folder / there).parent.mkdir(parents=True)
    (empty.folder / there).touch()
    os.utime(empty.folder / there, (1, 1))
    assert empty.plan(there, overlay=overlay).jobs == {}
    downloaded.unlink()
    assert empty.plan(there, overlay=overlay).jobs == {}


def test_snakemake_looks_for_jobs_only_when_one_has_finished(ready):
    """With its limit of jobs per second, it would also look once a second for every job that has finished."""
    output = ready.snakemake("results/smoke/phase/spiral_w100.nc", options=("--cores", "1", "--verbose"))
    finished = output.count("Finished jobid")
    assert finished > 3
    assert output.count("Ready jobs:") <= finished + 1
