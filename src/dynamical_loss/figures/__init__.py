"""One module a figure, which declares itself and draws itself, and what figures share.

A module whose name begins with `fig` is a figure: it has a `DECLARATION` and `render(inputs, options)`.
"""
