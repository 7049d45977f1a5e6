"""The dynamical loss in other frameworks: one module each, which is imported by its name alone.

`torch` needs ``pip install 'dynamical-loss[torch]'`` and `keras` needs
``pip install 'dynamical-loss[keras]'``; `flax` needs nothing more.
"""
