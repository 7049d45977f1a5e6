"""Snakemake, imported once and forked for every run, which takes a third of a dry run's time.

A run is asked for in one line of JSON on the standard input and answered there with its exit status on the
standard output.  Nothing of the project is imported before the fork, so each run sees its own sources.
"""

import json
import os
import sys
import warnings

# What the package needs of others, and none of the sources under test.
import optax  # noqa: F401
import pydantic  # noqa: F401
import snakemake.cli
import xarray  # noqa: F401

# JAX warns of forks because of its threads; without a computation it has started none.
warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)


def asked():
    """Wait for runs and fork; returns in each child what it shall run, and in the server at the end None."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return json.loads(line)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def become(request):
    """Take on the folder, environment, streams and arguments of ``python -m snakemake …``."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(here, there)
    sys.path[:1] = [request["folder"], *request["environment"]["PYTHONPATH"].split(os.pathsep)]
    sys.argv = [snakemake.cli.__file__, *request["arguments"]]


if __name__ == "__main__":
    request = asked()
    if request is not None:
        become(request)
        snakemake.cli.main(request["arguments"])
