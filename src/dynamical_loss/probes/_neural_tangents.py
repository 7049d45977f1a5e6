"""The finite-width kernels of neural-tangents 0.6.5, on versions of JAX that are newer than the library.

neural-tangents expects names that JAX has since moved, and its ``__init__`` imports TensorFlow for a module
that this project never uses.  This module therefore loads only the part of the library that computes
empirical kernels.  During that import JAX is given the moved names, and afterwards they are removed again.
The loaded copy is private: it leaves no trace in :mod:`jax` or in ``sys.modules``, and ``import
neural_tangents`` elsewhere works as usual.

The library is loaded at the first call, so that everything that needs no kernel runs without neural-tangents.

Two functions can be used: :func:`empirical_ntk_vp_fn`, and :func:`empirical_ntk_fn` with its default, which
contracts Jacobians.  Both rely on public JAX only.  The library's other implementations rely on more of what
JAX has changed.  The project does not call them, and this module does not adapt them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import jax
import jax.core
import jax.interpreters.ad
from jax.extend import core as extend_core

from dynamical_loss.errors import UserError

_PACKAGE = "neural_tangents"
_REMEDY = "pip install --no-deps neural-tangents==0.6.5 frozendict"
_MOVED_TO_EXTEND = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")


@contextlib.contextmanager
def _lent_attributes(owner: types.ModuleType, lent: Mapping[str, object]) -> Iterator[None]:
    """Give `owner` those of the `lent` attributes that it lacks, for as long as the block runs."""
    # `hasattr` would trigger JAX's deprecation warnings; the dictionary of the module does not.
    missing = [name for name in lent if name not in vars(owner)]
    for name in missing:
        setattr(owner, name, lent[name])
    try:
        yield
    finally:
        for name in missing:
            delattr(owner, name)


@contextlib.contextmanager
def _private_modules(lent: Mapping[str, types.ModuleType]) -> Iterator[None]:
    """Put the `lent` modules into ``sys.modules``; afterwards remove them and all of neural-tangents."""

    def ours(name: str) -> bool:
        return name in lent or name.partition(".")[0] == _PACKAGE

    before = {name: module for name, module in sys.modules.items() if ours(name)}
    for name in before:
        del sys.modules[name]
    sys.modules.update(lent)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if ours(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _hollow_package() -> types.ModuleType:
    """Return the package neural_tangents without running its ``__init__``, which imports TensorFlow.

    Raises:
        ModuleNotFoundError: if neural-tangents is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    return importlib.util.module_from_spec(spec)


def _jax_util() -> types.ModuleType:
    """Return a substitute for ``jax.util``, which JAX has removed: a `map` and a `zip` that check lengths."""
    module: Any = types.ModuleType("jax.util")
    module.safe_zip = lambda *sequences: list(zip(*sequences, strict=True))
    module.safe_map = lambda function, *sequences: [
        function(*items) for items in zip(*sequences, strict=True)
    ]
    return cast(types.ModuleType, module)


def load_module(name: str) -> types.ModuleType:
    """Load a private copy of a module of neural-tangents, e.g. ``stax``.

    Raises:
        UserError: if neural-tangents is not installed; the message names the remedy.
    """
    moved = {name: getattr(extend_core, name) for name in _MOVED_TO_EXTEND}
    # JAX has removed this primitive.  The library uses it only as a key in a table of rules.
    dropped = {"zeros_like_p": extend_core.Primitive("zeros_like")}
    try:
        modules = {_PACKAGE: _hollow_package(), "jax.util": _jax_util()}
        with (
            _lent_attributes(jax.core, moved),
            _lent_attributes(jax.interpreters.ad, dropped),
            _private_modules(modules),
        ):
            return importlib.import_module(f"{_PACKAGE}.{name}")
    except ModuleNotFoundError as error:
        if error.name != _PACKAGE:
            raise
        raise UserError(
            f"neural-tangents is not installed, and the neural tangent kernel needs it; run: {_REMEDY}"
        ) from None


@functools.cache
def library() -> types.ModuleType:
    """Load the module of neural-tangents that computes empirical kernels, at the first call.

    Raises:
        UserError: if neural-tangents is not installed; the message names the remedy.
    """
    return load_module("_src.empirical")


def empirical_ntk_fn(*arguments: Any, **options: Any) -> Callable[..., jax.Array]:
    """Call the library's function of this name, which returns a function that computes the kernel.

    Raises:
        UserError: if neural-tangents is not installed; the message names the remedy.
    """
    found: Callable[..., jax.Array] = library().empirical_ntk_fn(*arguments, **options)
    return found


def empirical_ntk_vp_fn(*arguments: Any, **options: Any) -> Callable[[jax.Array], jax.Array]:
    """Call the library's function of this name, which returns a product of the kernel with a vector.

    Raises:
        UserError: if neural-tangents is not installed; the message names the remedy.
    """
    found: Callable[[jax.Array], jax.Array] = library().empirical_ntk_vp_fn(*arguments, **options)
    return found
