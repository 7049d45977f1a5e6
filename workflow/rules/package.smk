# Make the package importable, and report a user's mistake in one line, before the configuration is read.

import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.join(workflow.basedir, "src"))


def first_in(variable, folder):
    """Put a folder first in a path variable, for the commands that rules run."""
    parts = [str(folder), os.environ.get(variable)]
    os.environ[variable] = os.pathsep.join(part for part in parts if part)


first_in("PYTHONPATH", os.path.join(workflow.basedir, "src"))
# `python` in a rule is the interpreter that runs Snakemake, even if its environment is not activated.  If the
# path of the interpreter were part of the commands, moving the environment would retrain everything.
first_in("PATH", os.path.dirname(sys.executable))

from dynamical_loss import environment, remedies
from dynamical_loss.config import document
from dynamical_loss.errors import UserError
from dynamical_loss.figures.registry import FIGURES


def stop(error):
    """Exit with one line; the message of an exception would be lost in a traceback of this file."""
    words = remedies.in_words(error) if isinstance(error, UserError) else error
    sys.exit(f"error: {words}")


try:
    # Snakemake's own process imports optax to check optimisers, and its jobs inherit these variables.
    environment.pin()
    document.read(Path("config.yaml"), FIGURES)
except UserError as error:
    stop(error)
