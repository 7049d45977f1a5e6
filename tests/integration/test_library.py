"""The quick starts of docs/library.md, run as they stand but for the number of steps."""

import os
import re
import subprocess
import sys

import pytest

from documents import blocks

EXAMPLES = {
    ("keras" if "StepCounter" in block else "torch" if "import torch" in block
     else "nnx" if "import nnx" in block else "linen"): block
    for path, block in blocks("python")
    if path == "docs/library.md" and "load_digits" in block
}  # fmt: skip

(RESUMED,) = (block for path, block in blocks("python") if "again.loss.counter" in block)


@pytest.mark.long
@pytest.mark.parametrize("framework", ["torch", "nnx", "linen", "keras"])
def test_a_quick_start_shows_a_cascade_where_the_emphasis_moves(framework, tmp_path):
    if framework == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    if framework == "keras":
        pytest.importorskip("keras", reason="Keras is not installed")
    example, count = re.subn(r"range\(1000\)", "range(320)", EXAMPLES[framework])
    assert count == 1
    if framework == "keras":
        example += RESUMED + "assert int(again.loss.counter.count) == 320\n"
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.findall(r"steps (\d+) to (\d+): λ_max rose to ([\d.]+)", done.stdout)
    # The emphasis moves at step 200, and λ_max exceeds 2/η = 2 there.
    (start, finish, peak), *_ = [event for event in found if int(event[0]) > 100]
    assert 180 <= int(start) <= 215 < int(finish) + 10
    assert float(peak) > 2.0
    accuracy = float(re.search(r"accuracy ([\d.]+) on new digits", done.stdout)[1])
    assert accuracy > 0.5
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
