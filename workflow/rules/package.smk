# Before the configuration is read: the package is found, and a user's mistake is told in one line.

import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.join(workflow.basedir, "src"))


def first_in(variable, folder):
    """Put a folder at the front of a path variable, for the commands that rules run."""
    parts = [str(folder), os.environ.get(variable)]
    os.environ[variable] = os.pathsep.join(part for part in parts if part)


first_in("PYTHONPATH", os.path.join(workflow.basedir, "src"))
# `python` in a rule is the interpreter that runs Snakemake, whether its environment is activated or
# not.  Written into the commands instead, its path would retrain everything in a moved environment.
first_in("PATH", os.path.dirname(sys.executable))

from dynamical_loss import environment, remedies
from dynamical_loss.config import document
from dynamical_loss.errors import UserError
from dynamical_loss.figures.registry import FIGURES


def stop(error):
    """End with one line; an exception would bury it between lines about this file."""
    words = remedies.in_words(error) if isinstance(error, UserError) else error
    sys.exit(f"error: {words}")


try:
    # Snakemake's own process looks at optimisers, and its jobs inherit what is set here.
    environment.pin()
    document.read(Path("config.yaml"), FIGURES)
except UserError as error:
    stop(error)
