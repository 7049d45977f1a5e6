"""The finite-width kernels of neural-tangents 0.6.5, on versions of JAX newer than the library's last.

neural-tangents expects names that JAX has since moved, and its front door imports TensorFlow for a
module this project never uses.  Here the one module that computes empirical kernels is loaded on its
own, with the moved names lent to JAX during the import and taken back after it.  The copy is private:
neither :mod:`jax` nor ``sys.modules`` shows any trace of it, and ``import neural_tangents`` elsewhere
does what it would have done.

Usable: :func:`empirical_ntk_vp_fn`, and :func:`empirical_ntk_fn` with
:data:`JACOBIAN_CONTRACTION`, its default, which go through public JAX only.  The library's other
implementations rely on more of what JAX has changed; the project does not call them and they are not
carried over.
"""

from __future__ import annotations

import contextlib
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

_PACKAGE = "neural_tangents"
_MOVED_TO_EXTEND = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")


@contextlib.contextmanager
def _lent_attributes(owner: types.ModuleType, lent: Mapping[str, object]) -> Iterator[None]:
    """Give `owner` the attributes it lacks for as long as the block runs."""
    # Looked up in the module's own dictionary: `hasattr` would trip over JAX's deprecation notices.
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
    """Import under `lent` modules, and forget afterwards them and all of neural-tangents."""

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
    """The library's package without its ``__init__``, which is what reaches for TensorFlow.

    Raises:
        ModuleNotFoundError: if neural-tangents is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(
            "neural-tangents is not installed; install it without its dependencies, with frozendict",
            name=_PACKAGE,
        )
    return importlib.util.module_from_spec(spec)


def _jax_util() -> types.ModuleType:
    """What the library takes from the late ``jax.util``: a `map` and a `zip` that check lengths."""
    module: Any = types.ModuleType("jax.util")
    module.safe_zip = lambda *sequences: list(zip(*sequences, strict=True))
    module.safe_map = lambda function, *sequences: [
        function(*items) for items in zip(*sequences, strict=True)
    ]
    return cast(types.ModuleType, module)


def load_module(name: str) -> types.ModuleType:
    """A private copy of a module of neural-tangents, e.g. ``stax``.

    Raises:
        ModuleNotFoundError: if neural-tangents is not installed.
    """
    moved = {name: getattr(extend_core, name) for name in _MOVED_TO_EXTEND}
    # A primitive JAX dropped; the library only uses it as a key in a table of rules.
    dropped = {"zeros_like_p": extend_core.Primitive("zeros_like")}
    modules = {_PACKAGE: _hollow_package(), "jax.util": _jax_util()}
    with (
        _lent_attributes(jax.core, moved),
        _lent_attributes(jax.interpreters.ad, dropped),
        _private_modules(modules),
    ):
        return importlib.import_module(f"{_PACKAGE}.{name}")


_empirical = load_module("_src.empirical")

empirical_ntk_fn: Callable[..., Callable[..., jax.Array]] = _empirical.empirical_ntk_fn
empirical_ntk_vp_fn: Callable[..., Callable[[jax.Array], jax.Array]] = _empirical.empirical_ntk_vp_fn
JACOBIAN_CONTRACTION: int = _empirical.NtkImplementation.JACOBIAN_CONTRACTION
