"""Curvature probes of a network at fixed parameters: Hessian and neural tangent kernel spectra."""
