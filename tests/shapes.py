"""Checks of types and array shapes on every call, for the option ``--jaxtyping-packages`` of pytest."""

from beartype import BeartypeConf, beartype

# An int may stand where a float is annotated, as type checkers have it (PEP 484).
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
