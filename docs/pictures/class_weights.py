"""Class weights of three classes over six periods (Eq. 2 to 5).

``python docs/pictures/class_weights.py docs/class_weights.png`` draws it.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from dynamical_loss.losses.weights import class_weights

PERIOD, CLASSES = 100, 3
steps = jnp.arange(6 * PERIOD)

figure, panels = plt.subplots(1, 2, figsize=(7, 2.3), sharey=True, layout="constrained")
for panel, amplitude in zip(panels, (3.0, 70.0), strict=True):
    weights = jax.vmap(class_weights, (0, None, None, None))(steps, PERIOD, amplitude, CLASSES)
    for one, colour in zip(weights.T, ("#0072b2", "#d55e00", "#009e73"), strict=True):
        panel.plot(steps, one, color=colour)
    panel.set(title=f"T = {PERIOD}, A = {amplitude:g}", xlabel="step t")
panels[0].set_ylabel("class weight Γ$_i$(t)")
names = [f"class {i + 1}" for i in range(CLASSES)]
panels[0].legend(names, frameon=False, ncols=3, loc="upper left", fontsize=7)
panels[0].set_ylim(0, 3.6)

figure.savefig(sys.argv[1], dpi=110)
