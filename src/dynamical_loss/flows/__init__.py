"""Flows in continuous time that follow gradient descent: gradient flow and its corrections."""
