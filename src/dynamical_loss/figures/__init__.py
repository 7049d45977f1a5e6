"""One module for each figure, and the code that figures share.

A module whose name begins with `fig` is a figure. Its `DECLARATION` says which files and settings it needs,
and its function `render(inputs, options)` draws it.
"""
