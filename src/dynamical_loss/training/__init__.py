"""The training engine: ensembles of runs, trained by XLA or by a fused loop."""
