"""The pipeline from left to right: what each stage makes, and the rules that make it.

``python docs/pictures/pipeline.py docs/pipeline.png`` draws it.
"""

import sys

import matplotlib.pyplot as plt

STAGES = (
    ("dataset", ("prepare_dataset",)),
    ("training", ("train_phase_block", "train_trajectory", "train_lazy_block")),
    ("probes", ("probe_spectrum", "trace_flow")),
    ("analysis", ("aggregate_phase", "find_instabilities", "fit_threshold")),
    ("figures, claims", ("render_figure", "evaluate_claims", "evaluate_protocols")),
)

figure, panel = plt.subplots(figsize=(8, 1.7), layout="constrained")
for place, (name, rules) in enumerate(STAGES):
    panel.text(
        place, 1, name, ha="center", va="center", fontsize=10,
        bbox={"boxstyle": "round,pad=0.5", "facecolor": "#dbe9f6", "edgecolor": "#0072b2"},
    )  # fmt: skip
    panel.text(place, 0.55, "\n".join(rules), ha="center", va="top", fontsize=7, family="monospace")
    if place:
        arrow = {"arrowstyle": "->", "color": "0.4"}
        panel.annotate("", (place - 0.42, 1), (place - 0.6, 1), arrowprops=arrow)
panel.set(xlim=(-0.6, 4.6), ylim=(-0.25, 1.45))
panel.axis("off")

figure.savefig(sys.argv[1], dpi=110)
