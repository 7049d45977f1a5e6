"""Convert names of files between the bytes that the system stores and the text that people read.

A name that is not valid UTF-8 keeps its bytes as lone surrogates, by Python's ``surrogateescape``.  Such text
can be neither stored nor printed.
"""

from __future__ import annotations

import os


def of_system(name: str) -> str:
    """Return a name that Python got from the system, decoded as UTF-8 in every locale."""
    return of_bytes(os.fsencode(name))


def of_bytes(name: bytes) -> str:
    """Return the name that is stored as these bytes."""
    return name.decode("utf-8", "surrogateescape")


def as_bytes(name: str) -> bytes:
    """Return the bytes of a name.  Names are sorted and compared by them, so the order is fixed."""
    return name.encode("utf-8", "surrogateescape")


def printable(name: str) -> str:
    r"""Return a name as one line of text for a message or an attribute, with ``\xe9`` for an invalid byte."""
    text = as_bytes(name).decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
