"""What must not be there: names that reach a shell unquoted, and readers that run what they read."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "numpy.load", "np.load"} | {
    f"yaml.{name}{suffix}" for name in ("load", "unsafe_load", "full_load") for suffix in ("", "_all")
}
ARCHIVE_METHODS = {"extract", "extractall", "unpack_archive"}
ALLOWED = {"dynamical_loss/datasets/cifar10_python.py": ["pickle"]}
"""An official archive holds pickles: its reader may name that module, and has a test of its own below."""


def shell_commands(text):
    """The command of every rule, by the rule's name; a rule without one has None."""
    commands = {}
    for rule in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]:
        name = rule[: rule.index(":")]
        block = re.search(r"^    shell:\n((?:        .*\n?)+)", rule, re.MULTILINE)
        commands[name] = ast.literal_eval(f"({block[1]})") if block else None
    return commands


def unquoted(command):
    """What a command names without having it quoted."""
    return [field for field in re.findall(r"(?<!{){([^{}]*)}", command) if not field.endswith(":q")]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_whatever_a_rule_names_in_a_shell_command_is_quoted(path):
    for rule, command in shell_commands(path.read_text()).items():
        assert command is None or not unquoted(command), rule


def test_every_rule_that_computes_was_looked_at():
    commands = {}
    for path in RULES:
        commands |= shell_commands(path.read_text())
    assert {rule for rule, command in commands.items() if command is None} == {
        "all",
        "spiral",
        "images",
        "publish",
    }
    assert len(commands) == sum(
        len(re.findall(r"^\s*(?:rule|checkpoint) ", p.read_text(), re.M)) for p in RULES
    )
    assert len(commands) >= 12
    # Other ways to run something would escape the test above.
    for path in RULES:
        assert not re.search(r"^\s*(?:run|script|notebook|wrapper|cwl):|\bshell\(", path.read_text(), re.M), (
            path
        )


def test_an_unquoted_name_would_be_found():
    rule = 'rule a:\n    shell:\n        "cp {input:q}"\n        " {output} {params.x:q}"\n'
    assert unquoted(shell_commands(rule)["a"]) == ["output"]


def dangers(source):
    """Calls and imports that run, or can be made to run, what a file holds."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            names = [module] if module else [alias.name for alias in node.names]
            yield from FORBIDDEN_MODULES & {name.split(".")[0] for name in names}
            imported = {f"{module}.{alias.name}" for alias in node.names} if module else set()
            yield from imported & FORBIDDEN_CALLS
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        method = name.rpartition(".")[2]
        if name in FORBIDDEN_CALLS or method in ARCHIVE_METHODS:
            yield name
        for keyword in node.keywords:
            harmless = isinstance(keyword.value, ast.Constant) and not keyword.value.value
            if keyword.arg in ("shell", "allow_pickle") and not harmless:
                yield f"{name}({keyword.arg}=…)"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.relative_to(ROOT / "src").as_posix()
)
def test_no_module_runs_what_it_reads(path):
    name = path.relative_to(ROOT / "src").as_posix()
    assert list(dangers(path.read_text())) == ALLOWED.get(name, [])


@pytest.mark.parametrize("name", ALLOWED)
def test_the_reader_of_pickles_unpickles_nothing_without_its_own_find_class(name):
    tree = ast.parse((ROOT / "src" / name).read_text())
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {use for use in used if use.startswith("pickle.")} == {
        "pickle.Unpickler",
        "pickle.UnpicklingError",
    }
    (reader,) = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [ast.unparse(base) for base in reader.bases] == ["pickle.Unpickler"]
    assert "find_class" in [node.name for node in reader.body if isinstance(node, ast.FunctionDef)]
    # As a base class alone, and never by another name.
    loads = [node for node in ast.walk(tree) if ast.unparse(node) == "pickle.Unpickler"]
    assert len(loads) == 1
    assert not [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "pickle"
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import os; os.system('x')",
        "from os import system",
        "import numpy as np; np.load('x')",
        "eval('1')",
        "import subprocess; subprocess.run('x', shell=True)",
        "import tarfile; tarfile.open('x').extractall()",
        "import yaml; yaml.load('x', yaml.Loader)",
    ],
)
def test_a_danger_would_be_found(source):
    assert list(dangers(source))
