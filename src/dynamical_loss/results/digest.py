"""Digests of the code and of the settings behind a result: what triggers that it is made anew.

A digest of code covers only code that can change a number.  It is taken from the syntax tree, so that
comments, formatting, docstrings, annotations of functions and the words of errors do not count, and it is the
same on every version of Python.  Of a group of settings the fields do not count either: their values are
triggers of their own.
Modules that cannot change a number are left out, and of the lock file all but the versions of packages that
the code imports and that compute.

Only the standard library is imported here, because the Snakefile computes digests each time it is read.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).parent.parent
REPOSITORY = PACKAGE.parent.parent

LOCK_FILES = {"cpu": "envs/cpu.txt", "gpu": "envs/cuda.txt"}
"""By the kind of device that computes; all but CPUs take the packages of GPUs."""

LEFT_OUT = frozenset(
    f"dynamical_loss.{name}"
    for name in (
        "errors",
        "progress",
        "program_cache",
        "remedies",
        "resources",
        "settings",
        "kinds",
        "models.kinds",
        "datasets.kinds",
        "config.code",
        "config.reading",
        "results.checksums",
        "results.digest",
        "results.files",
        "results.record",
        "results.sidecars",
    )
)
"""Modules that cannot change a number: messages, progress, checksums, provenance, atomic writing and kept
programs.  Some of them check settings, which are triggers themselves, or look for kinds, of which a job names
its own."""

ALWAYS = ("dynamical_loss.results.netcdf",)
"""Modules that read and write the numbers of every result, on behalf of one that is left out."""

_COMPUTING = {
    "jax": ("jax", "jaxlib"),
    "flax": ("flax",),
    "optax": ("optax",),
    "matfree": ("matfree",),
    "neural_tangents": ("neural-tangents",),
    "numba": ("numba", "llvmlite"),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "xarray": ("xarray",),
    "netCDF4": ("netcdf4",),
    "PIL": ("pillow",),
    "sklearn": ("scikit-learn",),
    "matplotlib": ("matplotlib",),
    "seaborn": ("seaborn",),
}
"""What a module of that name is installed by."""

_C_COMMENT = re.compile(r"\s*//[^\n]*|\s+")

_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)


class Code(NamedTuple):
    """The code behind a result.

    Attributes:
        roots: dotted names of modules of this package that do the work; what they import counts too.
        without: dotted names of modules that they import and that this work does not use.
        device: ``cpu`` or ``gpu``; says which lock file counts.
    """

    roots: tuple[str, ...]
    without: tuple[str, ...] = ()
    device: str = "cpu"

    @property
    def digest(self) -> str:
        """16 hexadecimal digits; see `code_digest`."""
        return code_digest(*self.roots, without=self.without, device=self.device)


_expected: ContextVar[str | None] = ContextVar("expected digest of the code", default=None)


@contextmanager
def expecting(code: str | None) -> Iterator[None]:
    """While this lasts, work is refused whose code has another digest; None: any will do."""
    token = _expected.set(code)
    try:
        yield
    finally:
        _expected.reset(token)


def expected() -> str | None:
    """The digest that the caller of this work expects; None if it expects none."""
    return _expected.get()


def _path(module: str) -> Path | None:
    """The file of a module of this package, or None if there is none."""
    relative = Path(*module.split(".")[1:])
    for candidate in ((PACKAGE / relative).with_suffix(".py"), PACKAGE / relative / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


class _Module(NamedTuple):
    """What a module's source says.

    Attributes:
        imports: modules of this package that it imports, at any depth of its source, and its parent.
        packages: other packages that it imports.
        digest: of its syntax tree, in the sense of `code_digest`.
    """

    imports: frozenset[str]
    packages: frozenset[str]
    digest: str


@functools.cache
def _parsed(module: str) -> _Module:
    path = _path(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # Importing a module runs the packages it lies in first, so they count too.
    imports, packages = {module.rpartition(".")[0]} - {""}, set()
    for name in _imported(tree):
        if name.split(".")[0] != PACKAGE.name:
            packages.add(name.split(".")[0])
        elif _path(name):
            imports.add(name)
    if "importlib" in packages:
        # What is imported by a name that is put together.
        constants = {str(node.value) for node in _walk(tree) if isinstance(node, ast.Constant)}
        packages |= constants & set(_COMPUTING)
    text = "".join(_text(tree))
    beside = path.with_suffix(".c")
    if beside.is_file():
        # Code in C that a module compiles lies beside it, under the same name.
        text += _C_COMMENT.sub(" ", beside.read_text(encoding="utf-8"))
    return _Module(frozenset(imports), frozenset(packages), hashlib.sha256(text.encode()).hexdigest())


def _imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a tree may import; those for type checkers alone are none of them."""
    for node in _walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("deferred"):
            # What is imported when it is first used; see `deferred`.
            yield from (str(item.value) for item in node.args if isinstance(item, ast.Constant))


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below ``if TYPE_CHECKING``."""
    yield node
    for child in _children(node):
        yield from _walk(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    if _is_for_type_checkers(node):
        yield from node.orelse  # type: ignore[attr-defined]
    else:
        yield from ast.iter_child_nodes(node)


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _counts(node: ast.AST) -> bool:
    """Whether a statement can change a number."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return False  # a docstring, of an attribute too
    # A field of a group of settings; the measured cost of a network, which only a scheduler is told of.
    value = getattr(node, "value", None) if isinstance(node, ast.AnnAssign | ast.Assign) else None
    return not (isinstance(value, ast.Call) and ast.unparse(value.func) in ("Field", "Cost"))


# Not written by `ast.dump`, whose text differs between versions of Python.
def _text(node: Any) -> Iterator[str]:
    """A tree as text, without what cannot change a number."""
    if isinstance(node, ast.Module):
        statements = [item for item in node.body if not isinstance(item, ast.Import | ast.ImportFrom)]
        imports = [item for item in node.body if isinstance(item, ast.Import | ast.ImportFrom)]
        # In whatever order they stand.
        yield from sorted(ast.unparse(item) for item in imports)
        yield from _text(statements)
    elif isinstance(node, list):
        yield "["
        for item in node:
            if not isinstance(item, ast.AST) or _counts(item):
                yield from _text(item)
                yield ","
        yield "]"
    elif _is_for_type_checkers(node):
        yield from _text(node.orelse)
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        yield from ("raise ", ast.unparse(node.exc.func))
    elif isinstance(node, ast.AST):
        left_out = {"ctx", "kind", "type_comment"}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            left_out |= {"returns"}
        if isinstance(node, ast.arg):
            left_out |= {"annotation"}
        yield from (type(node).__name__, "(")
        for name, value in ast.iter_fields(node):
            # Fields that a later version of Python adds are empty in the syntax of an earlier one.
            if name not in left_out and value not in (None, []):
                yield from (name, "=")
                yield from _text(value)
                yield ","
        yield ")"
    else:
        yield repr(node)


def imported_modules(roots: Iterable[str], without: Iterable[str] = ()) -> list[str]:
    """All modules of this package that the `roots` import, directly or not, sorted, roots included.

    Args:
        roots: dotted names, e.g. ``dynamical_loss.stages.train_phase_block``.
        without: modules that are not followed.

    Raises:
        ValueError: if a root does not exist.
    """
    waiting, closed = list(roots), set(without)
    seen: set[str] = set()
    for root in waiting:
        if _path(root) is None:
            raise ValueError(f"no module {root}")
    while waiting:
        module = waiting.pop()
        if module not in seen | closed:
            seen.add(module)
            waiting += _parsed(module).imports
    return sorted(seen)


def code_digest(*roots: str, without: Iterable[str] = (), device: str = "cpu") -> str:
    """Digest of everything in this repository that a result's numbers depend on.

    It covers the code of the `roots` and of all modules of this package that they import but those
    `LEFT_OUT`, and the versions of the packages that these import.  Editing a figure therefore changes no
    digest of training; editing the training step changes those of all jobs that the engine trains.

    Args:
        roots: dotted names of modules of this package.
        without: modules that the roots import and that the work does not use.
        device: ``cpu`` or ``gpu``; says which lock file counts.

    Returns:
        16 hexadecimal digits.

    Raises:
        ValueError: if a root does not exist.
    """
    digest = hashlib.sha256()
    packages: set[str] = set()
    for module in imported_modules((*roots, *ALWAYS), (*without, *LEFT_OUT)):
        parsed = _parsed(module)
        digest.update(f"{module} {parsed.digest}\n".encode())
        packages |= parsed.packages
    versions = _versions(device)
    for name in sorted({name for package in packages for name in _COMPUTING.get(package, ())}):
        digest.update(f"{name} {versions.get(name)}\n".encode())
    return digest.hexdigest()[:16]


@functools.cache
def _versions(device: str) -> Mapping[str, str]:
    """Versions by the names of packages, as the lock file pins them."""
    path = REPOSITORY / LOCK_FILES.get(device, LOCK_FILES["gpu"])
    return dict(_PIN.findall(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Digest of settings, whatever the order of their keys (16 hexadecimal digits)."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
