"""One module a figure, with ``ROLES`` and ``render(inputs, options)``, and what they share."""
