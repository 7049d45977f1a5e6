"""What surrounds a process and could change its numbers: set in one place, or recorded.

JAX, XLA, numba, numpy and the libraries below them read environment variables when they are imported.  A
variable that is left over from other work would change what a seed means, and no file would say so.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

from dynamical_loss import program_cache
from dynamical_loss.errors import UserError

PINNED = {
    # One thread a job, for sums in one order on every machine, and no oversubscription.
    "PJRT_NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Values that are the same for everybody."""

_OURS = (
    "JAX",
    "EAGER_CONSTANT_FOLDING",
    "CHECK_VMA",
    "MOCK_NUM_GPU_PROCESSES",
    "FLAX_",
    "NNX_",
    "NUMBA_",
    "NPY_",
    "NUMPY_",
    "OMP_",
    "OPENBLAS_",
    "GOTO_",
    "MKL_",
    "BLIS_",
    "KMP_",
)
"""Families of variables that decide numbers, and that nobody needs: what is not listed below is removed."""

_OTHERS = (
    "XLA_*",
    "LIBTPU_INIT_ARGS",
    "TF_XLA_FLAGS",
    "TF_DETERMINISTIC_OPS",
    "TF_CUDNN_DETERMINISTIC",
    "TF_CUDNN_USE_AUTOTUNE",
    "TF_CUDNN_USE_FRONTEND",
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
)
"""Variables that a machine may need, and that may decide numbers: they are recorded; a star stands for any
ending.  Names are listed one by one, as others of such families hold passwords or places."""

_HARMLESS = (
    # Which device computes is recorded itself.
    "JAX_PLATFORMS",
    "JAX_CUDA_VISIBLE_DEVICES",
    "JAX_ROCM_VISIBLE_DEVICES",
    # Where compiled programs are kept.
    "NUMBA_CACHE_DIR",
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_COMPILATION_CACHE_MAX_SIZE",
    "JAX_ENABLE_COMPILATION_CACHE",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
    # How much memory is taken at once, and what is told of the work.
    "XLA_PYTHON_CLIENT_*",
    "JAX_LOG_COMPILES",
    "JAX_LOGGING_LEVEL",
    "JAX_EXPLAIN_CACHE_MISSES",
    "JAX_TRACEBACK_FILTERING",
)
"""Variables of both kinds that change no number; a star stands for any ending."""

JAX_SETTINGS = {
    "jax_allow_f16_reductions": True,
    "jax_debug_infs": False,
    "jax_debug_nans": False,
    "jax_default_device": None,
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_disable_jit": False,
    "jax_disable_most_optimizations": False,
    "jax_enable_custom_prng": False,
    "jax_enable_x64": False,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_random_seed_offset": 0,
    "jax_softmax_custom_jvp": False,
    "jax_threefry_gpu_kernel_lowering": False,
    "jax_threefry_partitionable": True,
}
"""Settings of JAX that decide numbers, with the values that all results are computed with."""


def pin() -> None:
    """Set what numbers depend on, before anything that reads it is imported.

    Raises:
        UserError: if a file in the working folder would change what numba compiles.
    """
    for name in [name for name in os.environ if name.startswith(_OURS) and not _is_harmless(name)]:
        del os.environ[name]
    os.environ.update(PINNED)
    if Path(".numba_config.yaml").exists():
        raise UserError(
            ".numba_config.yaml in this folder would change what numba compiles; move it elsewhere"
        )


def prepare() -> None:
    """What `pin` does; and let JAX keep the programs that it compiles, in a folder that has been checked.

    Raises:
        UserError: if a file in the working folder would change what numba compiles.
    """
    pin()
    # Small programs too: together they take a tenth of a job's start.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    # Jobs by the hundred compile the same few programs.
    programs = program_cache.folder("jax")
    if program_cache.check(programs):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(programs)
        atexit.register(program_cache.seal, programs)


def recorded() -> dict[str, str]:
    """Variables that are set, may decide numbers and are left as they are; usually none.

    They are part of what a result is known by.
    """
    others = (name for name in sorted(os.environ) if _is_one_of(name, _OTHERS) and not _is_harmless(name))
    return {name: os.environ[name] for name in others}


def require_pinned() -> None:
    """Refuse to compute with other settings of JAX than all results are computed with.

    Who calls the package from a program of their own may have changed them.

    Raises:
        UserError: one line that names the first.
    """
    jax = sys.modules.get("jax")
    if jax is None:
        return
    for name, value in JAX_SETTINGS.items():
        found = getattr(jax.config, name, value)
        found = getattr(found, "value", found)
        if found != value:
            raise UserError(
                f"JAX's setting {name} is {found!r}, and results are computed with {value!r}; "
                f"call jax.config.update({name!r}, {value!r}) first"
            )


def _is_harmless(name: str) -> bool:
    return _is_one_of(name, _HARMLESS)


def _is_one_of(name: str, names: tuple[str, ...]) -> bool:
    return any(name.startswith(known[:-1]) if known.endswith("*") else name == known for known in names)
