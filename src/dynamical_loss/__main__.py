"""Entry point of the command line: ``dynamical-loss``, or ``python -m dynamical_loss``."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Run the command line.

    The library alone needs few packages; the commands need those of the extra ``pipeline``.  Where one is
    missing, one line names it and the remedy, and the exit status is 2.
    """
    try:
        cli = importlib.import_module("dynamical_loss.cli")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dynamical_loss"):
            raise
        sys.stderr.write(
            f"dynamical-loss: the package {error.name} is missing; install all that the commands need with: "
            "pip install 'dynamical-loss[pipeline]'\n"
        )
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
