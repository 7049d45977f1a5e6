"""Names of files, which are bytes to the system and text to a reader.

A name that is no UTF-8 keeps its bytes as lone surrogates, as Python's ``surrogateescape`` has them.  Such
text can be neither stored nor printed.
"""

from __future__ import annotations

import os


def of_system(name: str) -> str:
    """A name as Python took it from the system, read as UTF-8 whatever the locale is."""
    return of_bytes(os.fsencode(name))


def of_bytes(name: bytes) -> str:
    """A name from its bytes."""
    return name.decode("utf-8", "surrogateescape")


def as_bytes(name: str) -> bytes:
    """The bytes of a name, by which names are sorted and told apart everywhere alike."""
    return name.encode("utf-8", "surrogateescape")


def printable(name: str) -> str:
    r"""A name for a message or an attribute: one line of text, with ``\xe9`` for a byte that is none."""
    text = as_bytes(name).decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
