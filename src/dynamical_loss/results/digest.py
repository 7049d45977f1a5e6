"""Compute digests of the code and the settings of a result; a changed digest causes a re-run.

A digest of code covers only code that can change a number.  It is computed from the syntax tree, so that
comments, formatting, docstrings, annotations of functions and the text of error messages do not count.  It is
the same on every version of Python.  The fields of a group of settings do not count either, because a change
of their values triggers a re-run anyway.  Modules that cannot change a number are left out.  Of the lock
file, only the versions of packages count that the code imports and computes with.

The Snakefile computes digests each time it is read, so this module imports only the standard library,
and facts about sources are kept on disk (`kept_facts`).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from dynamical_loss.results import kept_facts

PACKAGE = Path(__file__).parent.parent
REPOSITORY = PACKAGE.parent.parent

LOCK_FILES = {"cpu": "envs/cpu.txt", "gpu": "envs/cuda.txt"}
"""Lock files by kind of device; every device but ``cpu`` uses the lock file of GPUs."""

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
programs.  Some of them check settings, whose values trigger a re-run anyway.  Others search for kinds, and
the
kind that a job uses is part of its code."""

ALWAYS = ("dynamical_loss.results.netcdf",)
"""Modules that read and write the numbers of every result, which a module in `LEFT_OUT` imports."""

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
    "bokeh": ("bokeh",),
}
"""Packages that install a module, by the name of the module."""

_BESIDE = (".c", ".html", ".css", ".js", ".txt", ".typ")
"""Suffixes of files in other languages that belong to a module."""

_COMMENTS = {".c": re.compile(r"\s*//[^\n]*|\s+"), ".js": re.compile(r"\s*(?<!:)//[^\n]*|\s+")}
"""Comments and white space by suffix, which do not count; an address in JavaScript is no comment."""

_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)


class Code(NamedTuple):
    """Code that computes a result.

    Attributes:
        roots: dotted names of modules of this package that do the work; modules that they import count too.
        without: dotted names of modules that the roots import and that this work does not use.
        device: ``cpu`` or ``gpu``; selects the lock file that counts.
    """

    roots: tuple[str, ...]
    without: tuple[str, ...] = ()
    device: str = "cpu"

    @property
    def digest(self) -> str:
        """Digest of the code, 16 hexadecimal digits; see `code_digest`."""
        return code_digest(*self.roots, without=self.without, device=self.device)


_expected: ContextVar[str | None] = ContextVar("expected digest of the code", default=None)


@contextmanager
def expecting(code: str | None) -> Iterator[None]:
    """Within this context, refuse work whose code has another digest than `code`; None allows any digest."""
    token = _expected.set(code)
    try:
        yield
    finally:
        _expected.reset(token)


def expected() -> str | None:
    """Return the digest that the caller of this work expects, or None if any digest is allowed."""
    return _expected.get()


def _path(module: str) -> Path | None:
    """Return the file of a module of this package, or None if there is no such module."""
    relative = Path(*module.split(".")[1:])
    for candidate in ((PACKAGE / relative).with_suffix(".py"), PACKAGE / relative / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


class _Module(NamedTuple):
    """Facts about the source of a module.

    Attributes:
        imports: modules of this package that the module imports, at any depth of its source, and its parent.
        packages: other packages that the module imports.
        digest: digest of the syntax tree, without the parts that `code_digest` ignores.
    """

    imports: frozenset[str]
    packages: frozenset[str]
    digest: str


@functools.cache
def _parsed(module: str) -> _Module:
    path = _path(module)
    assert path is not None
    # What a module compiles or puts into a page has the same name and lies in the same folder.
    files = [path, *filter(Path.is_file, map(path.with_suffix, _BESIDE))]
    source, *beside = map(_words, files)
    names, digest = _facts(source, beside)
    # Importing a module first runs the packages that contain it, so these packages count too.
    imports, packages = {module.rpartition(".")[0]} - {""}, set()
    for name in names:
        if name.split(".")[0] != PACKAGE.name:
            packages.add(name.split(".")[0])
        elif _path(name):
            imports.add(name)
    return _Module(frozenset(imports), frozenset(packages), digest)


_KEPT = kept_facts.of_user("sources")


def _words(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return _COMMENTS[path.suffix].sub(" ", text) if path.suffix in _COMMENTS else text


def _facts(source: str, beside: Sequence[str]) -> tuple[list[str], str]:
    """Return the names that a source may import, and its digest together with the files beside it."""
    # A file is read anew if what is done to it may have changed.
    known_by = [_own_source(), *sys.version_info[:2], source, *beside]
    key = hashlib.sha256(json.dumps(known_by).encode()).hexdigest()
    kept = _KEPT.get(key)
    if kept is not None:
        return kept["names"], kept["digest"]
    tree = ast.parse(source)
    names = set(_imported(tree))
    if "importlib" in {name.split(".")[0] for name in names}:
        # A module may be imported by a name that is put together from constants.
        constants = {str(node.value) for node in _walk(tree) if isinstance(node, ast.Constant)}
        names |= constants & set(_COMPUTING)
    text = "".join([*_text(tree), *beside])
    digest = hashlib.sha256(text.encode()).hexdigest()
    _KEPT.put(key, {"names": sorted(names), "digest": digest})
    return sorted(names), digest


@functools.cache
def _own_source() -> str:
    return Path(__file__).read_text(encoding="utf-8")


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a tree may import, without imports for type checkers only."""
    for node in _walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("deferred"):
            # These modules are imported when they are first used; see `deferred`.
            yield from (str(item.value) for item in node.args if isinstance(item, ast.Constant))


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes except those below ``if TYPE_CHECKING``."""
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
    """Return whether a statement can change a number."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return False  # a docstring, which may also describe an attribute
    # Fields of settings do not count, nor does the measured cost of a network, which only schedulers use.
    value = getattr(node, "value", None) if isinstance(node, ast.AnnAssign | ast.Assign) else None
    return not (isinstance(value, ast.Call) and ast.unparse(value.func) in ("Field", "Cost"))


# `ast.dump` is not used, because its text differs between versions of Python.
def _text(node: Any) -> Iterator[str]:
    """Yield a tree as pieces of text, without the parts that cannot change a number."""
    if isinstance(node, ast.Module):
        statements = [item for item in node.body if not isinstance(item, ast.Import | ast.ImportFrom)]
        imports = [item for item in node.body if isinstance(item, ast.Import | ast.ImportFrom)]
        # Sorted, because the order of imports does not count.
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
            # Later versions of Python add fields, which are empty for older syntax, so empty fields do not
            # count.
            if name not in left_out and value not in (None, []):
                yield from (name, "=")
                yield from _text(value)
                yield ","
        yield ")"
    else:
        yield repr(node)


def imported_modules(roots: Iterable[str], without: Iterable[str] = ()) -> list[str]:
    """Return the `roots` and all modules of this package that they import, directly or not, sorted.

    Args:
        roots: dotted names of modules, e.g. ``dynamical_loss.stages.train_phase_block``.
        without: dotted names of modules that are left out, with the modules that only they import.

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
    """Return a digest of everything in this repository that a result's numbers depend on.

    The digest covers the code of the `roots` and of all modules of this package that they import, except the
    modules in `LEFT_OUT`.  It also covers the versions of the packages that these modules import.  Editing a
    figure therefore changes no digest of training.  Editing the training step changes the digests of all jobs
    that use that engine.

    Args:
        roots: dotted names of modules of this package.
        without: dotted names of modules that the roots import and that the work does not use.
        device: ``cpu`` or ``gpu``; selects the lock file that counts.

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
    _KEPT.write()
    versions = _versions(device)
    for name in sorted({name for package in packages for name in _COMPUTING.get(package, ())}):
        digest.update(f"{name} {versions.get(name)}\n".encode())
    return digest.hexdigest()[:16]


@functools.cache
def _versions(device: str) -> Mapping[str, str]:
    """Return the pinned versions in the lock file, by name of the package."""
    return pins(REPOSITORY / LOCK_FILES.get(device, LOCK_FILES["gpu"]))


def pins(path: Path) -> Mapping[str, str]:
    """Return the pinned versions in a lock file, by name of the package; none if there is no such file."""
    return dict(_PIN.findall(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return a digest of settings, 16 hexadecimal digits; the order of the keys does not matter."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
