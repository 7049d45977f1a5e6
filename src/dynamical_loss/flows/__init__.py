"""Flows in continuous time that approximate gradient descent: gradient flow and its corrections."""
