"""Declarations of figures: files that they show, keys that they add, and reading them without Matplotlib."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import seaborn as sns
import yaml

from dynamical_loss.claims import CLAIMS
from dynamical_loss.config import document, study
from dynamical_loss.config.figures import Setting, settings_model
from dynamical_loss.errors import UserError
from dynamical_loss.figures import registry, requirements, style
from dynamical_loss.figures.declaration import Declaration, Role
from dynamical_loss.figures.registry import FIGURES
from dynamical_loss.results import digest

ROOT = Path(__file__).parents[3]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
CONFIG = document.read(ROOT / "config.yaml", FIGURES).for_data()

SPIRAL_FIGURES = {
    "fig2_spiral_dataset": {"dataset": ["dataset/spiral.nc"]},
    "fig3_phase_spiral": {"narrow": ["phase/spiral_w100.nc"], "wide": ["phase/spiral_w1000.nc"]},
    "fig4_cascade": {
        "trajectory": ["trajectory/cascade_seed0.nc"],
        "spectrum": ["spectrum/cascade_seed0.nc"],
        "instabilities": ["instabilities/cascade_seed0.nc"],
    },
    "fig5_threshold_scaling": {
        "threshold": ["threshold/scaling.nc"],
        "static_narrow": [f"spectrum/static_w100_seed{seed}.nc" for seed in range(3)],
        "static_wide": [f"spectrum/static_w1000_seed{seed}.nc" for seed in range(3)],
    },
    "figS0_initialisation": {
        "study": [f"phase/initialisation_{name}.nc" for name in ("lecun", "glorot", "no_bias")]
    },
    "figS1_hessian_modes": {
        "trajectory": ["trajectory/cascade_seed0.nc"],
        "spectrum": ["spectrum/cascade_seed0.nc"],
        "instabilities": ["instabilities/cascade_seed0.nc"],
    },
}
IMAGE_FIGURES = {
    "fig1_phase_cifar10": {"phase": ["phase/myrtle5.nc"]},
    "figS2_cascade_cifar10": {
        "trajectory": ["trajectory/cascade_images_seed0.nc"],
        "spectrum": ["spectrum/cascade_images_seed0.nc"],
    },
    "figS3_wide_resnet": {"phase": ["phase/wide_resnet_batch_norm.nc", "phase/wide_resnet_plain.nc"]},
    "figS4_learning_curves": {"phase": ["phase/myrtle5.nc"]},
}
SPIRAL_EVIDENCE = {
    "phase_narrow": ["phase/spiral_w100.nc"],
    "phase_wide": ["phase/spiral_w1000.nc"],
    "initialisation": SPIRAL_FIGURES["figS0_initialisation"]["study"],
    "threshold": ["threshold/scaling.nc"],
    "spectrum": [f"spectrum/cascade_seed{seed}.nc" for seed in range(3)],
    "instabilities": [f"instabilities/cascade_seed{seed}.nc" for seed in range(3)],
    "static_narrow": SPIRAL_FIGURES["fig5_threshold_scaling"]["static_narrow"],
    "static_wide": SPIRAL_FIGURES["fig5_threshold_scaling"]["static_wide"],
}
PROTOCOL_FIGURES = {"figS5_protocols": {"protocols": ["protocols.nc"]}}
EDGE = {"spectrum": [f"spectrum/edge_{loss}_seed0.nc" for loss in ("static", "dynamical")]}
FLOWS = {"flows": [f"flows/{data}.nc" for data in ("cancer", "spiral")]}
KNOWN = {"known": ["flow/known_losses.nc"]}
RESIDUALS = {"spectrum": [f"spectrum/residual_{loss}_seed0.nc" for loss in ("static", "dynamical")]}
FLOW_FIGURES = {
    "figF10_residual_modes": RESIDUALS,
    "figF11_small_steps": {"runs": ["runs/edge_dynamical.nc"]},
    "figF6_step_sizes": {
        kind: [f"{kind}/dal_{loss}_seed0.nc" for loss in ("static", "dynamical")]
        for kind in ("trajectory", "spectrum")
    },
    "figF4_networks": FLOWS,
    "figF1_known_losses": KNOWN,
    "figF5_stability": EDGE,
    "figF9_classes_at_the_edge": EDGE,
}
FLOW_EVIDENCE = {
    **FLOWS,
    **KNOWN,
    "edge": ["runs/edge_static.nc", "runs/edge_dynamical.nc"],
    "residuals": ["runs/residual_static.nc", "runs/residual_dynamical.nc"],
}
LAZY = {"study": ["lazy/digits.nc"]}
LAZY_FIGURES = {
    "figL1_regimes": LAZY,
    "figL2_ensembles": LAZY,
    "figL3_kernel_change": LAZY,
    "figL4_dynamics": LAZY,
    "figL5_frozen_kernel": LAZY,
    "figL6_dynamical_loss": {
        "study": [f"phase/regime_{name}.nc" for name in ("a03", "a1", "a3", "a10", "ntk_w100_s3")],
        "spectrum": [f"spectrum/along_{name}_seed0.nc" for name in ("a1", "a10")],
        "null": ["lazy/digits_null.nc"],
    },
}
# Figures of data that must be installed separately are made only on request.
LAZY_ALONE = {"figL7_further_data": {"study": ["lazy/fashion.nc"]}}
LAZY_EVIDENCE = {
    "lazy": ["lazy/digits.nc"],
    "lazy_null": ["lazy/digits_null.nc"],
    "regimes": LAZY_FIGURES["figL6_dynamical_loss"]["study"],
}
# The default configuration has no studies for Fig. S6 to S10, F7, F8 and L8.
OWN = {
    "figS6_ingredients",
    "figS7_losses",
    "figS8_size_and_rate",
    "figS9_regime",
    "figS10_questions",
    "figF7_learning_rates",
    "figF8_power_and_cap",
    "figL8_training_set_size",
}
SHOWN = FIGURES.keys() - OWN - LAZY_ALONE.keys()
IMAGE_EVIDENCE = {
    "phase_images": ["phase/myrtle5.nc"],
    "learning_curves": ["phase/myrtle5.nc"],
    "wide_resnet": ["phase/wide_resnet_batch_norm.nc", "phase/wide_resnet_plain.nc"],
}


def configured(**figures):
    """Return the default configuration with some keys under `figures` changed."""
    values = copy.deepcopy(DEFAULT)
    values["figures"] |= figures
    return study.load(values, "config.yaml", FIGURES)


ALL = configured(
    ingredients=["initialisation_lecun"],
    losses=["initialisation_lecun"],
    averages=["static_w100"],
    regime=["wide_resnet_plain"],
    questions=["wide_resnet_plain"],
    conditioning=["cascade_images"],
    lazy_sizes=["digits_null"],
)


# What is shown -------------------------------------------------------------------------------------


def test_figures_show_these_files():
    assert registry.shown(CONFIG, "spiral") == SPIRAL_FIGURES
    assert registry.shown(CONFIG, "images") == IMAGE_FIGURES
    assert registry.shown(CONFIG, "protocols") == PROTOCOL_FIGURES
    assert registry.shown(CONFIG, "flow") == FLOW_FIGURES
    assert registry.shown(CONFIG, "lazy") == LAZY_FIGURES | LAZY_ALONE
    everywhere = SPIRAL_FIGURES | IMAGE_FIGURES | PROTOCOL_FIGURES | FLOW_FIGURES | LAZY_FIGURES
    assert registry.shown(CONFIG) == everywhere
    assert registry.shown(CONFIG).keys() == SHOWN
    assert registry.all_shown(CONFIG) == everywhere | LAZY_ALONE


def test_figures_show_as_many_seeds_as_there_are():
    """Check the smoke scale, which has one seed of each trajectory."""
    values = copy.deepcopy(DEFAULT)
    for name in ("cascade", "static_w100", "static_w1000"):
        values["trajectories"][name]["seeds"] = 1
    config = study.load(values, "smoke.yaml", FIGURES)
    assert registry.shown(config) == {
        **SPIRAL_FIGURES,
        **IMAGE_FIGURES,
        **PROTOCOL_FIGURES,
        **FLOW_FIGURES,
        **LAZY_FIGURES,
        "fig5_threshold_scaling": {
            "threshold": ["threshold/scaling.nc"],
            "static_narrow": ["spectrum/static_w100_seed0.nc"],
            "static_wide": ["spectrum/static_w1000_seed0.nc"],
        },
    }
    assert registry.evidence(config)["instabilities"] == ["instabilities/cascade_seed0.nc"]


def test_claims_look_at_these_files():
    assert registry.evidence(CONFIG, "spiral") == SPIRAL_EVIDENCE
    assert registry.evidence(CONFIG, "images") == IMAGE_EVIDENCE
    assert registry.evidence(CONFIG, "flow") == FLOW_EVIDENCE
    assert registry.evidence(CONFIG, "lazy") == LAZY_EVIDENCE | {"lazy_further": ["lazy/fashion.nc"]}
    assert registry.evidence(CONFIG) == SPIRAL_EVIDENCE | IMAGE_EVIDENCE | FLOW_EVIDENCE | LAZY_EVIDENCE


def test_every_role_that_a_claim_looks_at_is_given_and_no_other():
    assert registry.roles_of_claims().keys() == {role for claim in CLAIMS for role in claim.roles}


def test_options_are_those_of_the_configuration():
    found = {name: figure.option_values(CONFIG) for name, figure in FIGURES.items() if figure.options}
    assert found == {"fig4_cascade": {"zoom": [8000, 10500]}, "figS4_learning_curves": {"cell": [100, 50.0]}}


@pytest.mark.parametrize(
    ("key", "nothing", "figure", "role"),
    [
        ("phase_images", None, "fig1_phase_cifar10", {"phase_images"}),
        ("trajectory_images", None, "figS2_cascade_cifar10", set()),
        ("wide_resnet", [], "figS3_wide_resnet", {"wide_resnet"}),
        ("learning_curves", None, "figS4_learning_curves", {"learning_curves"}),
    ],
)
def test_a_figure_of_images_is_made_if_its_study_is_named(key, nothing, figure, role):
    config = configured(**{key: nothing})
    assert registry.shown(config).keys() == SHOWN - {figure}
    assert registry.evidence(config).keys() == registry.evidence(CONFIG).keys() - role


def test_files_are_of_the_stage_that_makes_them():
    stages = {
        "dataset": "prepare_dataset",
        "phase": requirements.ANY_DIAGRAM,
        "trajectory": "train_trajectory",
        "spectrum": "probe_spectrum",
        "instabilities": "find_instabilities",
        "threshold": "fit_threshold",
        "runs": "gather_runs",
        "protocols.nc": "evaluate_protocols",
        "flow": "trace_known_losses",
        "flows": "trace_flow",
        "lazy": "aggregate_lazy",
    }
    for figure in FIGURES.values():
        for role in (*figure.inputs.values(), *figure.evidence.values()):
            for path in role.files(ALL):
                assert stages[path.split("/")[0]] == role.made_by


def test_pairs_of_results_are_roles_of_the_figure():
    for figure in FIGURES.values():
        assert {role for pair in figure.made_from for role in pair} <= figure.inputs.keys()


# What is required ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        ("edge_static", "amplitude", 2, "figures.stability: name two studies, one with amplitude 1"),
        ("edge_static", "probes", {}, r"trajectories\.edge_static\.probes\.alignment: .* set it"),
        ("edge_dynamical", "snapshots", {"every": 25}, r"edge_dynamical\.snapshots\.windows: .* every: 1"),
        ("residual_static", "probes", {}, r"trajectories\.residual_static\.probes\.residual: .* set it"),
        ("residual_static", "amplitude", 2, "figures.residuals: name two studies, one with amplitude 1"),
        (
            "residual_static",
            "loss",
            {},
            r"residual_static\.probes\.residual: this probe needs plain sgd",
        ),
        ("edge_dynamical", "probes", {"alignment": True}, r"probes\.small_steps: .* set it"),
        (
            "dal_static",
            "learning_rate_rule",
            {},
            r"dal_static\.learning_rate_rule: .* kind: dal; set this kind",
        ),
        (
            "dal_static",
            "learning_rate_schedule",
            [[0, 1], [1, 0]],
            "Fig. F6 draws one constant cap; leave it out",
        ),
        ("dal_static", "probes", {"hessian": {"losses": ["static"]}}, "Fig. F6 needs the weighted loss"),
        (
            "edge_dynamical",
            "probes",
            {"hessian": {"losses": ["static"]}, "alignment": True},
            "alignment: this probe needs the weighted loss",
        ),
    ],
)
def test_the_edge_of_stability_is_looked_at_from_step_to_step(name, key, value, words):
    values = copy.deepcopy(DEFAULT)
    values["trajectories"][name][key] = value
    with pytest.raises(UserError, match=words) as refused:
        study.load(values, "config.yaml", FIGURES)
    assert "\n" not in str(refused.value)
    assert "figF5_stability" not in registry.shown(configured(stability=[]))


@pytest.mark.parametrize("record_every", [2, 5])
def test_the_run_of_figure_4_is_analysed_whichever_it_is(record_every):
    values = copy.deepcopy(DEFAULT)
    values["trajectories"]["other"] = {"record_every": record_every}
    values["figures"]["trajectory"] = "other"
    with pytest.raises(UserError, match=r"trajectories\.other\.record_every: instabilities alternate"):
        study.load(values, "config.yaml", FIGURES)


@pytest.mark.parametrize("zoom", [[-5, 100], [8_000, 70_001], [80_000, 90_000], [500, 500], [9_000, 8_000]])
def test_a_zoom_that_is_not_all_in_the_run_is_refused_before_any_job(zoom):
    words = r"figures\.trajectory_zoom: \[.*\] does not lie in the run, which spans steps 0 to 70000; give"
    with pytest.raises(UserError, match=words) as refused:
        configured(trajectory_zoom=zoom)
    assert "\n" not in str(refused.value)
    assert configured(trajectory_zoom=[0, 70_000]).figures.trajectory_zoom == (0, 70_000)


def test_a_zoom_follows_the_length_of_a_run_in_epochs():
    values = copy.deepcopy(DEFAULT)
    del values["trajectories"]["cascade"]["steps"]
    values["trajectories"]["cascade"]["epochs"] = 80_000  # each epoch has one step
    values["figures"]["trajectory_zoom"] = [79_000, 80_001]
    with pytest.raises(UserError, match=r"figures\.trajectory_zoom: .* steps 0 to 80000;"):
        study.load(values, "config.yaml", FIGURES)


def test_the_cell_of_learning_curves_is_no_static_one():
    with pytest.raises(UserError, match=r"figures\.learning_curves_cell: A = 1 is the static loss itself"):
        configured(learning_curves_cell=[100, 1])


def test_a_study_that_no_figure_shows_is_free():
    values = copy.deepcopy(DEFAULT)
    values["trajectories"]["other"] = {"record_every": 10, "probes": {"hessian": {"losses": ["static"]}}}
    values["phase"]["other"] = {"amplitudes": [5]}
    study.load(values, "config.yaml", FIGURES)


def test_without_figures_there_are_no_keys_but_the_folder():
    values = {**DEFAULT, "figures": {"folder": "pictures"}}
    assert study.load(values, "config.yaml", {}).figures.folder == "pictures"
    with pytest.raises(UserError, match=r"unknown key 'figures\.\w+'; the keys here are folder"):
        study.load(DEFAULT, "config.yaml", {})


def figure(**parts):
    return Declaration(part="spiral", inputs={}, **parts)


def test_figures_may_share_a_key_but_not_declare_it_differently():
    same, other = Setting(str, "a", "a key"), Setting(str, "b", "a key")
    model = settings_model({"fig1": figure(settings={"key": same}), "fig2": figure(settings={"key": same})})
    assert model().key == "a"
    for first, second in ((same, other), (other, same)):
        figures = {"fig1": figure(settings={"key": first}), "fig2": figure(settings={"key": second})}
        with pytest.raises(ValueError, match="fig2 declares the key 'key' differently from another figure"):
            settings_model(figures)
    with pytest.raises(ValueError, match="fig1 declares the key 'folder'"):
        settings_model({"fig1": figure(settings={"folder": same})})


def test_two_figures_cannot_give_one_role_to_claims(monkeypatch):
    role = Role("fit_threshold", lambda config: [])
    monkeypatch.setitem(FIGURES, "fig9", figure(evidence={"threshold": role}))
    with pytest.raises(ValueError, match="fig9: another figure declares the evidence 'threshold' too"):
        registry.roles_of_claims()


# How it is read ------------------------------------------------------------------------------------


def test_declarations_are_read_without_what_draws():
    """Declarations must load fast, because the Snakefile reads them each time it is run."""
    script = "import sys, dynamical_loss.figures.registry; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"matplotlib", "seaborn", "pandas", "xarray", "netCDF4", "scipy", "jax"}
    assert not heavy & set(done.stdout.split())


def test_a_figures_digest_covers_what_draws_it_and_no_other_figure():
    for name in FIGURES:
        covered = set(digest.imported_modules([f"dynamical_loss.figures.{name}"]))
        assert {"dynamical_loss.figures.style", "dynamical_loss.figures.declaration"} <= covered
        assert not covered & {f"dynamical_loss.figures.{other}" for other in FIGURES.keys() - {name}}
        assert not covered & {"dynamical_loss.figures.registry", "dynamical_loss.config.study"}


def test_a_figures_digest_covers_the_versions_of_what_is_imported_later():
    assert {"matplotlib", "seaborn"} <= digest._parsed("dynamical_loss.figures.deferred").packages


def test_colours_of_classes_are_seaborns():
    assert list(style.CLASS_COLOURS) == sns.color_palette("colorblind", 10).as_hex()
