"""Set or record the environment variables that could change the numbers in a result.

JAX, XLA, numba, numpy and the libraries that they use read environment variables when they are imported.
Without this module, a variable left over from other work could change the results for a given seed, and no
file would record the reason.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

from dynamical_loss import program_cache
from dynamical_loss.errors import UserError

PINNED = {
    # One thread per job gives the same order of summation on every machine, and avoids oversubscription.
    "PJRT_NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Environment variables that are set to the same value on every machine."""

XLA_FLAG = "--xla_backend_optimization_level=2"
"""Flag that is added to ``XLA_FLAGS``.  At XLA's default, 3, LLVM takes several times as long to compile a
program that draws many arrays of random numbers (`benchmarks/compiler.py`)."""

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
"""Prefixes of variables that can change numbers and that no machine needs.  These variables are removed,
except for those listed in `_HARMLESS`."""

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
"""Variables that a machine may need and that can change numbers.  They are recorded in the results.  A star
stands for any ending.  The names are listed one by one, because other variables with the same prefixes hold
passwords or paths."""

_HARMLESS = (
    # The device is recorded separately.
    "JAX_PLATFORMS",
    "JAX_CUDA_VISIBLE_DEVICES",
    "JAX_ROCM_VISIBLE_DEVICES",
    # Where compiled programs are cached.
    "NUMBA_CACHE_DIR",
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_COMPILATION_CACHE_MAX_SIZE",
    "JAX_ENABLE_COMPILATION_CACHE",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
    # How much memory is allocated at the start, and what is logged.
    "XLA_PYTHON_CLIENT_*",
    "JAX_LOG_COMPILES",
    "JAX_LOGGING_LEVEL",
    "JAX_EXPLAIN_CACHE_MISSES",
    "JAX_TRACEBACK_FILTERING",
)
"""Variables of both groups above that change no number; a star stands for any ending."""

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
"""Settings of JAX that can change numbers, with the values for which all results are computed."""


def pin() -> None:
    """Set or remove the environment variables that numbers depend on.

    This must be called before any library that reads them is imported.

    Raises:
        UserError: if a file in the working folder would change how numba compiles.
    """
    for name in [name for name in os.environ if name.startswith(_OURS) and not _is_harmless(name)]:
        del os.environ[name]
    os.environ.update(PINNED)
    flags = os.environ.get("XLA_FLAGS", "").strip()
    # XLA takes a value that does not start with a dash as the name of a file of flags.
    if not flags or (flags.startswith("-") and XLA_FLAG.partition("=")[0] not in flags):
        os.environ["XLA_FLAGS"] = f"{flags} {XLA_FLAG}".lstrip()
    if Path(".numba_config.yaml").exists():
        raise UserError(
            ".numba_config.yaml in this folder would change how numba compiles; move it elsewhere"
        )


def prepare() -> None:
    """Call `pin`, and let JAX cache the programs that it compiles, in a folder whose files have been checked.

    Raises:
        UserError: if a file in the working folder would change how numba compiles.
    """
    pin()
    # Small programs are cached too, because compiling them takes a tenth of the start-up time of a job.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    # The cache pays off, because hundreds of jobs compile the same few programs.
    programs = program_cache.folder("jax")
    if program_cache.check(programs):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(programs)
        atexit.register(program_cache.seal, programs)


def recorded() -> dict[str, str]:
    """Return the variables that are set, can change numbers and are left unchanged; usually there are none.

    They are part of the identity of a result: a result is computed again if they change.
    """
    others = (name for name in sorted(os.environ) if _is_one_of(name, _OTHERS) and not _is_harmless(name))
    found = {name: os.environ[name] for name in others}
    flags = found.pop("XLA_FLAGS", "").removesuffix(XLA_FLAG).rstrip()
    return found | ({"XLA_FLAGS": flags} if flags else {})


def require_pinned() -> None:
    """Refuse to compute if a setting of JAX differs from `JAX_SETTINGS`.

    A program that imports this package may have changed such a setting.

    Raises:
        UserError: one line that names the first setting that differs.
    """
    jax = sys.modules.get("jax")
    if jax is None:
        return
    for name, value in JAX_SETTINGS.items():
        found = getattr(jax.config, name, value)
        found = getattr(found, "value", found)
        if found != value:
            raise UserError(
                f"JAX's setting {name} is {found!r}, and results need {value!r}; "
                f"call jax.config.update({name!r}, {value!r}) first"
            )


def _is_harmless(name: str) -> bool:
    return _is_one_of(name, _HARMLESS)


def _is_one_of(name: str, names: tuple[str, ...]) -> bool:
    return any(name.startswith(known[:-1]) if known.endswith("*") else name == known for known in names)
