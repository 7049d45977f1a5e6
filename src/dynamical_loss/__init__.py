"""Dynamical loss functions: training, curvature probes and figures as one reproducible pipeline."""

__version__ = "0.2.0"
