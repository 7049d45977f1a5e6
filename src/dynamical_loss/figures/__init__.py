"""One module a figure; each has ``render(inputs, options)`` and depends on the shared style alone."""
