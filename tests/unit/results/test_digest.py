"""Digests of code and settings, in a copy of the package that the tests edit."""

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dynamical_loss.config import code
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.datasets.kinds.cifar10 import Cifar10Settings
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.results import digest
from dynamical_loss.results.digest import code_digest, imported_modules, settings_digest
from dynamical_loss.results.kept_facts import KeptFacts

STAGES = "dynamical_loss.stages."
POINTS, PICTURES = Shape(30, 30, (2,), 3), Shape(30, 30, (8, 8, 1), 10)
MYRTLE5, WIDE_RESNET = ({"kind": kind} for kind in ("myrtle5", "wide_resnet"))


def jobs(device="cpu"):
    """Return the code of one job of each kind, by name."""
    trained = {
        "fused": (TrainingSettings(), POINTS),
        "xla": (TrainingSettings(engine="xla"), POINTS),
        "scaled": (TrainingSettings(output_scale=2.0, engine="xla"), POINTS),
        "myrtle5": (TrainingSettings(model=MYRTLE5), PICTURES),
        "wide_resnet": (TrainingSettings(model=WIDE_RESNET), PICTURES),
    }
    training = {
        name: code.training("train_phase_block", settings, shape, device)
        for name, (settings, shape) in trained.items()
    }
    stages = ("aggregate_phase", "find_instabilities", "fit_threshold", "evaluate_claims", "publish_result")
    return {
        **training,
        "spiral": code.dataset(SpiralSettings()),
        "cifar10": code.dataset(Cifar10Settings(kind="cifar10")),
        "probe": code.probing(TrainingSettings(), device),
        "probe_images": code.probing(TrainingSettings(model=MYRTLE5), device),
        "known_losses": code.known_losses(),
        "flow": code.following(TrainingSettings()),
        "lazy": code.flowing(),
        **{name: code.stage(name) for name in stages},
        "fig3": code.figure("fig3_phase_spiral"),
        "fig4": code.figure("fig4_cascade"),
        "page": code.page("run"),
    }


ALL = set(jobs())
XLA = {"xla", "scaled", "myrtle5", "wide_resnet"}
TRAINING = {"fused", *XLA}
PROBES = {"probe", "probe_images"}
FLOWS = {"known_losses", "flow", "lazy"}
FIGURES = {"fig3", "fig4"}


@functools.cache
def unedited(device="cpu"):
    """Return the digests of the original package."""
    return {name: item.digest for name, item in jobs(device).items()}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Copy of the package and the lock files for edits; edited modules are parsed again."""
    parsed, versions, edited = digest._parsed, digest._versions, set()
    for device in digest.LOCK_FILES:
        unedited(device)  # computed now, while `digest` still reads the original

    class Package:
        folder = tmp_path / "src" / "dynamical_loss"
        locks = tmp_path / "envs"

        def edit(self, path, old, new):
            file = self.folder / path
            text = file.read_text(encoding="utf-8")
            assert len(re.findall(old, text)) == 1, (path, old)
            self.write(file, re.sub(old, new, text))

        def write(self, file, text):
            file.write_text(text, encoding="utf-8")
            parts = file.relative_to(self.folder.parent).with_suffix("").parts
            edited.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts))

        def digests(self, device="cpu"):
            return {name: item.digest for name, item in jobs(device).items()}

    made = Package()
    shutil.copytree(digest.PACKAGE, made.folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(digest.REPOSITORY / "envs", made.locks)
    monkeypatch.setattr(digest, "PACKAGE", made.folder)
    monkeypatch.setattr(digest, "REPOSITORY", tmp_path)
    monkeypatch.setattr(
        digest, "_parsed", lambda name: (parsed.__wrapped__ if name in edited else parsed)(name)
    )
    monkeypatch.setattr(digest, "_versions", versions.__wrapped__)
    return made


def changed(package, device="cpu"):
    """Return the jobs whose digests differ from those of the original package."""
    after = package.digests(device)
    return {name for name in after if after[name] != unedited(device)[name]}


# --------------------------------------------------------------------------------------------------
# Modules that count
# --------------------------------------------------------------------------------------------------


def test_imports_are_those_that_python_makes():
    """A fresh interpreter loads modules named in the syntax tree, and kinds and figures, found by search."""
    for stage in ("prepare_dataset", "train_phase_block", "find_instabilities", "evaluate_claims"):
        script = (
            f"import sys, {STAGES}{stage}; print([m for m in sys.modules if m.startswith('dynamical_loss')])"
        )
        loaded = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout
        loaded = set(ast.literal_eval(loaded))
        by_looking = {name for name in loaded if ".kinds." in name or ".figures.fig" in name}
        assert loaded <= set(imported_modules([STAGES + stage, *by_looking]))


def test_an_unknown_module_is_refused():
    with pytest.raises(ValueError, match=r"no module dynamical_loss\.stages\.nothing"):
        code_digest(STAGES + "nothing")


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        # The training step of each engine, and code that both engines share.
        ("training/xla.py", r"jax\.grad\(objective", "jax.grad(lambda *a: 2 * objective(*a)", XLA),
        ("training/xla.py", r"_EVALUATED = 1000", "_EVALUATED = 1001", XLA),
        ("training/fused_loop.py", r"_LINE = 64 ", "_LINE = 32 ", {"fused"}),
        ("training/fused_curvature.py", r"own \* change", "change * own", {"fused"}),
        ("training/fused.py", r"_STRETCH = 4096", "_STRETCH = 4097", {"fused"}),
        ("training/ensemble.py", r"total = -\(-count", "total = -(-1 * count", TRAINING),
        ("losses/weights.py", r"phase >= 0\.25", "phase >= 0.26", {"lazy", *TRAINING}),
        ("losses/__init__.py", r"0\.5 \*", "0.6 *", {"flow", "lazy", *TRAINING, *PROBES}),
        ("environment.py", r'"PJRT_NPROC": "1"', '"PJRT_NPROC": "2"', TRAINING | PROBES | FLOWS),
        ("results/netcdf.py", r"GranularBitRound", "BitGroom", ALL),
        ("models/kinds/mlp.py", r"record=1\.0", "record=2.0", set()),
        # Code of a single network, dataset or figure.
        ("models/wide_resnet.py", r"momentum=0\.9", "momentum=0.8", {"wide_resnet"}),
        ("models/myrtle5.py", r"\(False, True, True, False\)", "(True, True, True, False)",
         {"myrtle5", "probe_images"}),
        ("models/convolution.py", r"kernel\.shape\[0\] - 1 - padding", "kernel.shape[0] - padding",
         {"myrtle5", "wide_resnet", "probe_images"}),
        ("models/native.c", r"sum\[r\]\[b\] = TERM", "sum[r][b] += TERM",
         {"myrtle5", "wide_resnet", "probe_images"}),
        ("models/native.c", r"// float32 -", "// Other words -", set()),
        ("explorer/run.js", r"\Z", "const more = 1;\n", {"page"}),
        ("explorer/run.js", r"\Z", "// Other words", set()),
        ("pages/page.css", r"\A", "p { color: red; }\n", {"page"}),
        ("pages/page.html", r"\Z", "<!-- https://example.org/other -->\n", {"page"}),
        ("datasets/spiral.py", r"np\.linspace\(0\.0, 1\.0", "np.linspace(0.1, 1.0", {"spiral"}),
        ("datasets/cifar10_python.py", r"_LARGEST = 40_000_000", "_LARGEST = 40_000_001", {"cifar10"}),
        ("figures/fig4_cascade.py", r"_ROWS = 6", "_ROWS = 5", {"fig4"}),
        ("figures/style.py", r"PAGE = 6\.9", "PAGE = 6.8", FIGURES),
        ("probes/hessian.py", r"\Z", "\nX = 1\n", PROBES),
        ("probes/ntk.py", r"\Z", "\nX = 1\n", {"lazy", "scaled", *PROBES}),
        ("claims/spiral.py", r"TOO_LARGE = 60\.0", "TOO_LARGE = 61.0", {"evaluate_claims"}),
        # Training reads and normalises datasets, but does not prepare them.
        ("datasets/preparation.py", r"\Z", "\nX = 1\n", {"cifar10"}),
        ("datasets/normalisation.py", r"\Z", "\nX = 1\n", {"cifar10", "flow", "lazy", *TRAINING, *PROBES}),
        # The command line, messages and provenance.
        ("cli.py", r"\Z", "\nX = 1\n", set()),
        ("config/study.py", r"\Z", "\nX = 1\n", {"page"}),  # it says which pages there are
        ("progress.py", r"_LOG_INTERVAL_SECONDS = 10\.0", "_LOG_INTERVAL_SECONDS = 9.0", set()),
        ("results/checksums.py", r"\Z", "\nX = 1\n", set()),
        ("results/record.py", r"\Z", "\nX = 1\n", set()),
        ("errors.py", r"\Z", "\nX = 1\n", set()),
    ],
)  # fmt: skip
def test_an_edit_changes_the_digests_of_what_it_computes_for(package, path, old, new, expected):
    package.edit(path, old, new)
    assert changed(package) == expected


# --------------------------------------------------------------------------------------------------
# Parts of a module that count
# --------------------------------------------------------------------------------------------------


class Reworded(ast.NodeTransformer):
    """Transformer that replaces docstrings and removes annotations of arguments."""

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return ast.Expr(ast.Constant("Other words."))
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node


def test_words_and_formatting_change_no_digest(package):
    """Every module loses its comments and gets another format and other docstrings."""
    for path in package.folder.rglob("*.py"):
        tree = Reworded().visit(ast.parse(path.read_text(encoding="utf-8")))
        package.write(path, "# A comment.\n" + ast.unparse(ast.fix_missing_locations(tree)) + "\n")
    assert changed(package) == set()


def test_the_words_of_an_error_change_no_digest_and_its_condition_does(package):
    package.edit("training/ensemble.py", "need a seed for each run", "where are the seeds?")
    assert changed(package) == set()
    package.edit("training/ensemble.py", r"if runs\.seed is None:", "if runs.seed is not None:")
    assert changed(package) == TRAINING


def test_a_new_settings_key_with_a_default_changes_no_digest(package):
    for path, field in (
        ("config/training.py", "    dataset: str = Field"),
        ("models/kinds/mlp.py", "    width: Count = Field"),
        ("config/probes.py", "    seed: Seed = Field"),
    ):
        package.edit(path, re.escape(field), f'    new: int = Field(7, description="new")\n{field}')
    assert changed(package) == set()
    package.edit("config/training.py", r"_SUMS = 24", "_SUMS = 25")
    assert changed(package) >= TRAINING


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "jax",
            {*TRAINING, *PROBES, *FLOWS, "aggregate_phase", "evaluate_claims", "page"},
        ),  # their settings name an optimiser
        ("numba", {"fused"}),
        ("matfree", {"lazy", "scaled", *PROBES}),
        (
            "neural-tangents",
            {"lazy", "scaled", *PROBES},
        ),  # imported by a name that is put together from constants
        ("matplotlib", FIGURES),
        ("pillow", {"cifar10"}),
        ("netcdf4", ALL),
        ("snakemake", set()),
        ("tqdm", set()),
    ],
)
def test_of_the_lock_file_the_versions_of_what_computes_count(package, name, expected):
    lock = package.locks / "cpu.txt"
    text = lock.read_text(encoding="utf-8")
    assert len(re.findall(rf"^{name}==", text, re.M)) == 1
    lock.write_text(re.sub(rf"^{name}==\S+", f"{name}==999.0", text, flags=re.M), encoding="utf-8")
    assert changed(package) == expected


def test_hashes_of_the_lock_file_do_not_count_and_a_gpu_has_its_own(package):
    lock = package.locks / "cpu.txt"
    lock.write_text(
        re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", lock.read_text(encoding="utf-8")), encoding="utf-8"
    )
    assert changed(package) == changed(package, "gpu") == set()
    lock = package.locks / "cuda.txt"
    lock.write_text(
        re.sub(r"^jaxlib==\S+", "jaxlib==999.0", lock.read_text(encoding="utf-8"), flags=re.M),
        encoding="utf-8",
    )
    assert changed(package) == set()
    assert changed(package, "gpu") == {*TRAINING, *PROBES}


def other_interpreters():
    """Yield other versions of Python on this machine than the one that runs the tests."""
    roots = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    roots += sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin"))
    for minor in (11, 12, 13):
        for root in roots:
            path = root / f"python3.{minor}"
            if sys.version_info[1] != minor and path.is_file() and "shims" not in path.parts:
                yield path
                break


@pytest.mark.parametrize("interpreter", list(other_interpreters()), ids=lambda path: path.name)
def test_the_digest_is_the_same_on_every_version_of_python(interpreter):
    names = [STAGES + "train_phase_block", STAGES + "probe_spectrum", "dynamical_loss.figures.fig4_cascade"]
    script = f"from dynamical_loss.results.digest import code_digest; print(code_digest(*{names}))"
    environment = os.environ | {"PYTHONPATH": str(digest.PACKAGE.parent)}
    done = subprocess.run([interpreter, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == code_digest(*names)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """An empty file of kept facts, and a function that computes facts as a new process would."""
    path = tmp_path / "kept" / "sources.json"

    def facts(source):
        monkeypatch.setattr(digest, "_KEPT", KeptFacts(path))
        found = digest._facts(source, [])
        digest._KEPT.write()
        return found

    return path, facts


def test_facts_about_a_source_are_computed_once(kept, monkeypatch):
    path, facts = kept
    first = facts("import numpy\nx = 1\n")
    monkeypatch.setattr(digest, "_text", None)  # whoever computes them now fails
    assert facts("import numpy\nx = 1\n") == first
    with pytest.raises(TypeError):
        facts("import numpy\nx = 2\n")
    assert path.exists()


def test_facts_of_an_edited_source_are_new_and_of_the_old_one_kept(kept):
    _, facts = kept
    one, other = facts("x = 1\n"), facts("x = 2\n")
    assert one[1] != other[1]
    assert (facts("x = 1\n"), facts("x = 2\n")) == (one, other)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\xfe"])
def test_a_damaged_file_of_facts_is_ignored_and_replaced(kept, damage):
    path, facts = kept
    before = facts("x = 1\n")
    intact = path.read_bytes()
    path.write_bytes(damage or intact.replace(b"names", b"nemas"))
    assert facts("x = 1\n") == before
    assert path.read_bytes() == intact


def test_facts_need_no_folder_that_can_be_written_to(kept):
    path, facts = kept
    path.parent.write_text("a file where the folder should be", encoding="utf-8")
    assert facts("x = 1\n")[1] == facts("x = 1\n")[1]


def test_settings_digest_ignores_order_and_sees_values():
    assert settings_digest({"a": 1, "b": {"c": 2}}) == settings_digest({"b": {"c": 2}, "a": 1})
    assert settings_digest({"a": 1}) != settings_digest({"a": 2})
