"""How colours look to readers, also to colour-blind ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Machado, Oliveira and Fernandes (IEEE Trans. Vis. Comput. Graph. 15, 1291, 2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Matrices that simulate how a colour looks, by the kind of colour blindness."""

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour: str) -> Array:
    """Return the linear RGB of a colour such as ``#2b83d3``, (3,), each from 0 to 1."""
    coded = np.array([int(colour[first : first + 2], 16) / 255 for first in (1, 3, 5)])
    return np.asarray(np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4))


def lab(colour: str, deficiency: str = "none") -> Array:
    """Return L*, a*, b* of a colour as a reader with a deficiency sees it, (3,)."""
    seen = np.clip(DEFICIENCIES[deficiency] @ linear(colour), 0, 1)
    ratio = (_TO_XYZ @ seen) / (_TO_XYZ @ np.ones(3))
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def difference(first: str, second: str, deficiency: str) -> float:
    """Return the distance of two colours in L*a*b*; about 2 can just be told apart."""
    return float(np.linalg.norm(lab(first, deficiency) - lab(second, deficiency)))


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours by the Web Content Accessibility Guidelines, from 1 to 21."""
    bright, dark = sorted((float(_TO_XYZ[1] @ linear(one)) for one in (first, second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)
