"""Gradient descent on a parabola of curvature λ: steady, alternating, and unstable.

``python docs/pictures/stability.py docs/stability.png`` draws it.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

figure, panels = plt.subplots(1, 3, figsize=(7, 2.3), sharey=True, layout="constrained")
place = np.linspace(-2.2, 2.2, 200)
cases = ((0.6, "η λ = 0.6: steady"), (1.8, "η λ = 1.8: alternating"), (2.1, "η λ = 2.1: unstable"))
for panel, (product, title) in zip(panels, cases, strict=True):
    # A step of gradient descent on λx²/2 multiplies x by 1 − ηλ.
    x = 1.2 * (1 - product) ** np.arange(7)
    panel.plot(place, place**2 / 2, color="0.6")
    panel.plot(x, x**2 / 2, "o-", color="#d55e00", markersize=3.5, linewidth=0.8)
    panel.set(title=title, xlabel="x", ylim=(-0.1, 2.6))
panels[0].set_ylabel("loss")

figure.savefig(sys.argv[1], dpi=110)
