"""The training engine: it trains ensembles of runs, either with XLA or with a fused loop."""
