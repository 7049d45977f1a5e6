"""One thread for XLA, as in every job of the pipeline: sums then run in one order everywhere."""

import os

os.environ.setdefault("PJRT_NPROC", "1")
