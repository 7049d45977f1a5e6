"""Hessian and NTK spectra at the snapshots of a trajectory, as the variables of a file (Fig. 4e,f, S1)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray

from dynamical_loss import losses, optimisers
from dynamical_loss.arrays import AnyArray
from dynamical_loss.config.probes import BatchSettings, ProbeSettings, SmallStepSettings
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.loading import Data
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.probes import (
    _neural_tangents,
    alignment,
    batches,
    hessian,
    ntk,
    optimiser,
    residual,
    small_steps,
)
from dynamical_loss.results import netcdf

Samples = tuple[Num[Array, "sample ..."], ...]
"""Inputs and targets; if the output is scaled, also the initial outputs f₀; each (sample, …)."""

_CHUNK = 64  # snapshots per call: enough to amortise the call, few enough for a smooth progress bar
_MODES = "section III.4, Fig. F10"
_SAMPLES = 500  # at a time in a convolutional network; the activations of more samples may fill the memory


class Snapshots(NamedTuple):
    """Snapshots of a run.

    Attributes:
        step: minimisation steps done, (snapshot,).
        parameters: parameters, flattened as by ``jax.flatten_util.ravel_pytree``, (snapshot, parameter).
        class_weight: class weights Γ at these steps, (snapshot, class_index).
        learning_rate: η at these steps, (snapshot,).
        memory: state of the optimiser, flattened in the same way, (snapshot, state_entry); there may be no
            entries.
    """

    step: Int[npt.NDArray[Any], " snapshot"]
    parameters: Float[npt.NDArray[Any], "snapshot parameter"]
    class_weight: Float[npt.NDArray[Any], "snapshot class_index"]
    learning_rate: Float[npt.NDArray[Any], " snapshot"]
    memory: Num[npt.NDArray[Any], "snapshot state_entry"]


def spectra(
    settings: ProbeSettings,
    training: TrainingSettings,
    data: Data,
    snapshots: Snapshots,
    progress: Callable[[float], None],
    again: Float[npt.NDArray[Any], "step_and_end class_index"] | None = None,
) -> xr.Dataset:
    """Probe every snapshot.

    Args:
        settings: settings of the probes, which select what is measured.
        training: training settings of the run.
        data: dataset on which the run was trained.
        snapshots: snapshots of the run.  If the output is scaled, the first snapshot must be that of step 0.
        progress: function that is called from time to time with the fraction of the work that is done.
        again: class weights Γ along the stretch that is repeated with smaller steps, including its end,
            (step + 1, class_index); None repeats no stretch.

    Raises:
        UserError: if the settings ask for a neural tangent kernel and neural-tangents is not installed.
    """
    if settings.ntk is not None or settings.residual is not None:
        _neural_tangents.library()  # a missing package is reported before the work begins
    with jax.enable_x64(training.precision == "float64"):
        return _probe(settings, training, data, snapshots, progress, again)


def _probe(
    settings: ProbeSettings,
    training: TrainingSettings,
    data: Data,
    snapshots: Snapshots,
    progress: Callable[[float], None],
    again: Float[npt.NDArray[Any], "step_and_end class_index"] | None,
) -> xr.Dataset:
    """Probe every snapshot, see `spectra`, in the precision that is active."""
    model = training.model.build(data.classes)
    apply = apply_function(model)
    loss, by_output = losses.sample_loss(training.loss.kind), training.loss.weighting == "output"
    looked_at = slice(training.evaluation_samples)
    inputs = jnp.asarray(data.train_inputs[looked_at], training.precision)
    targets = jnp.asarray(data.one_hot(data.train_labels[looked_at]), training.precision)
    convolutional = training.model.convolutional
    example = jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, inputs.shape[1:], [0]))
    example = jax.tree.map(lambda leaf: jnp.asarray(leaf, training.precision), example)
    _, unravel = ravel_pytree(example)
    labels = training.model.unit_of(example)
    units = None if labels is None else np.asarray(ravel_pytree(labels)[0], np.int64)
    make_optimiser = optimisers.optimiser(
        training.optimiser.kind, training.optimiser.arguments, training.optimiser.weight_decay
    )
    _, unravel_all = ravel_pytree((example, make_optimiser(0.1).init(example)))
    steps, parameters, class_weight = snapshots[:3]
    scale = training.output_scale
    everything: Samples = (inputs, targets)
    if scale is not None:
        outputs, first = jax.jit(apply), unravel(jnp.asarray(parameters[0]))
        places = range(0, len(inputs), _SAMPLES)
        start = jnp.concatenate([outputs(first, inputs[place : place + _SAMPLES]) for place in places])
        everything = (inputs, targets, start)

    def over(
        samples: Samples, mean: Callable[..., jax.Array]
    ) -> Callable[[Float[Array, " parameter"]], Float[Array, "*values"]]:
        """Turn a mean over samples from a function of logits and targets into one of the parameters."""

        def of_some(
            flat: Float[Array, " parameter"],
            inputs: Num[Array, "some ..."],
            targets: Float[Array, "some class_index"],
            *start: Float[Array, "some class_index"],
        ) -> Float[Array, "*values"]:
            logits = apply(unravel(flat), inputs)
            if scale is None:
                return mean(logits, targets)
            # As in training, the loss is that of the prediction α(f − f₀), divided by α².
            return mean(scale * (logits - start[0]), targets) / scale**2

        if convolutional and len(samples[0]) > _SAMPLES:
            return lambda flat: mean_in_parts(of_some, flat, samples, _SAMPLES)
        return lambda flat: of_some(flat, *samples)

    def objective(weights: Float[Array, " class_index"], samples: Samples) -> hessian.Loss:
        return over(
            samples,
            lambda logits, targets: losses.weighted_loss(loss, logits, targets, weights, by_output=by_output),
        )

    def parts(samples: Samples) -> alignment.Parts:
        def of_classes(
            logits: Float[Array, "some class_index"], targets: Float[Array, "some class_index"]
        ) -> Float[Array, " class_index"]:
            def of_one(chosen: Float[Array, " class_index"]) -> Float[Array, ""]:
                return losses.weighted_loss(loss, logits, targets, chosen, by_output=by_output)

            # The weighted loss is linear in the class weights, so unit vectors select single classes.
            return jax.vmap(of_one)(jnp.eye(data.classes, dtype=logits.dtype))

        return over(samples, of_classes)

    residual_weight = functools.partial(losses.squared_error_weight, by_output=by_output)

    def at_snapshot(samples: Samples, item: Any) -> dict[str, Any]:
        step, flat, weights, rate, remembered = item
        # The key depends on the step alone, so results of a snapshot do not depend on which others are
        # probed.
        key = jax.random.fold_in(jax.random.key(settings.seed), step)
        result: dict[str, Any] = {}
        for kind in settings.hessian.losses:
            result[kind], vectors = hessian.extreme_eigenpairs(
                objective(weights if kind == "weighted" else jnp.ones_like(weights), samples),
                flat,
                modes=settings.hessian.modes,
                order=settings.hessian.order,
                key=key,
            )
            if kind == "weighted" and settings.alignment:
                result["alignment"] = alignment.alignment(
                    parts(samples),
                    weights.astype(flat.dtype),
                    flat,
                    rate.astype(flat.dtype),
                    result[kind].eigenvalue,
                    vectors,
                    key,
                )
                result["top"] = vectors[:, 0]
                if units is not None:
                    result["effective_units"] = alignment.effective_units(
                        vectors[:, 0], jnp.asarray(units), int(units.max()) + 1
                    )
        if settings.ntk is not None:
            result["ntk"] = ntk.ntk_top_eigenpairs(
                apply,
                unravel(flat),
                samples[0],
                modes=settings.ntk.modes,
                order=settings.ntk.order,
                key=key,
            )[0]
            if settings.ntk.notebook_samples is not None:
                result["notebook"] = ntk.notebook_ntk_eigenvalues(
                    apply,
                    unravel(flat),
                    samples[0],
                    samples=settings.ntk.notebook_samples,
                    modes=min(settings.ntk.modes, settings.ntk.notebook_samples, len(inputs)),
                )
        if settings.residual is not None:
            result["residual"] = residual.residual_modes(
                lambda flat: apply(unravel(flat), samples[0]),
                samples[1],
                residual_weight(samples[1], weights.astype(flat.dtype)),
                flat,
                rate.astype(flat.dtype),
                modes=settings.residual.modes,
                order=settings.residual.order,
                key=key,
            )
        if settings.batches is not None:
            result["batches"] = along_batches(settings.batches, samples, flat, weights, rate, key)
        if settings.optimiser is not None:
            chosen = make_optimiser(rate.astype(flat.dtype))
            state = unravel_all(jnp.concatenate([flat, remembered]))[1]
            loss_here = objective(weights, samples)
            product, dimension = optimiser.step_product(loss_here, chosen, state, flat, unravel)
            result["multipliers"] = optimiser.krylov(
                product, dimension, settings.optimiser.order, key, flat.dtype
            )
            divisor = optimiser.preconditioner(training.optimiser.kind, training.optimiser.arguments, state)
            if divisor is not None:
                result["preconditioned"] = optimiser.preconditioned_sharpness(
                    loss_here, flat, divisor, settings.optimiser.order, key
                )
        return result

    def along_batches(
        wanted: BatchSettings,
        samples: Samples,
        flat: Float[Array, " parameter"],
        weights: Float[Array, " class_index"],
        rate: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> batches.BatchCurvature:
        def of_some(flat: Float[Array, " parameter"], chosen: Int[Array, " batch"]) -> Float[Array, ""]:
            some: Samples = jax.tree.map(lambda array: array[chosen], samples)
            return objective(weights, some)(flat)

        def logits_of(
            flat: Float[Array, " parameter"], inputs: Num[Array, "some ..."]
        ) -> Float[Array, "some class_index"]:
            return apply(unravel(flat), inputs)

        def of_logits(
            logits: Float[Array, "some class_index"], targets: Float[Array, "some class_index"]
        ) -> Float[Array, ""]:
            return losses.weighted_loss(loss, logits, targets, weights, by_output=by_output)

        return batches.curvature(
            objective(weights, samples),
            of_some,
            batches.gauss_newton_product(
                logits_of,
                of_logits,
                flat,
                (samples[0], samples[1]),
                _SAMPLES if convolutional else len(inputs),
            ),
            flat,
            rate,
            settings=wanted,
            samples=len(inputs),
            size=training.batch_size or len(inputs),
            key=key,
        )

    def follow(restart: int, samples: Samples, items: Any) -> residual.Followed:
        steps, parameters, weights, rates = items
        return residual.follow(
            lambda flat: apply(unravel(flat), samples[0]),
            samples[1],
            jnp.asarray(steps),
            parameters,
            lambda gamma: residual_weight(samples[1], gamma),
            weights.astype(parameters.dtype),
            rates.astype(parameters.dtype),
            restart=restart,
        )

    # The samples are arguments of the compiled program; as constants they would be compiled into it.
    @jax.jit
    def compiled(samples: Samples, items: Any) -> Any:
        return jax.lax.map(functools.partial(at_snapshot, samples), items)

    chunk = 1 if convolutional else _CHUNK
    chunks = []
    for first in range(0, len(steps), chunk):
        # Copies of the last snapshot fill up the last chunk, so that all chunks share one compiled program.
        index = np.minimum(np.arange(first, first + chunk), len(steps) - 1)
        items = tuple(array[index] for array in snapshots)
        result = compiled(everything, items)
        kept = min(chunk, len(steps) - first)
        chunks.append(jax.tree.map(lambda leaf, kept=kept: np.asarray(leaf)[:kept], result))
        progress((first + kept) / len(steps))
    results = jax.tree.map(lambda *leaves: np.concatenate(leaves), *chunks)
    followed = None
    if settings.residual is not None:
        # Predictions run from one snapshot to the next, so the run is not split into chunks.
        followed = jax.jit(functools.partial(follow, settings.residual.restart))(everything, snapshots[:4])
    variables = netcdf.Variables()
    variables.add(
        "snapshot_step",
        ("snapshot_step",),
        steps,
        "minimisation steps done at the snapshot",
        reference="Fig. 4",
    )
    ranks = np.arange(_modes(settings))
    variables.add("mode", ("mode",), ranks, "rank of the eigenvalue, 0 = largest", reference="Fig. 4e")
    _add_hessian(variables, results, settings)
    _add_ntk(variables, results, settings)
    if followed is not None:
        _add_residual(variables, results["residual"], followed, settings)
    if settings.small_steps is not None and again is not None:
        descents = _descents(settings.small_steps, settings.seed, parts, everything, snapshots, again)
        _add_small_steps(variables, descents, settings.small_steps, again, np.mean(targets, axis=0))
    if settings.batches is not None:
        _add_batches(variables, results["batches"])
    if settings.optimiser is not None:
        _add_optimiser(variables, results)
    if settings.alignment:
        _add_alignment(variables, results, settings, snapshots)
    if settings.density is not None:
        nearest = np.unique([np.abs(steps - step).argmin() for step in settings.density.steps])
        density = settings.density

        def quadrature(samples: Samples, item: Any) -> Any:
            step, flat, weights = item
            key = jax.random.fold_in(jax.random.key(settings.seed), step)
            return hessian.spectral_density(
                objective(weights, samples), flat, order=density.order, probes=density.probes, key=key
            )

        @jax.jit
        def densities(samples: Samples, items: Any) -> Any:
            return jax.lax.map(functools.partial(quadrature, samples), items)

        found = densities(everything, (steps[nearest], parameters[nearest], class_weight[nearest]))
        _add_density(variables, steps[nearest], found)
    return variables.dataset()


def mean_in_parts(
    function: Callable[..., jax.Array],
    flat: Float[Array, " parameter"],
    samples: Samples,
    size: int,
) -> Float[Array, "*values"]:
    """Compute one or several means over all samples part by part.

    Derivatives of the result are computed part by part too: nothing except the sums is kept after a part.

    Args:
        function: (parameters, *samples) -> mean over these samples, or several means.
        flat: parameters, (parameter,).
        samples: arrays, each (sample, …).
        size: number of samples in a part; the last part may be smaller.
    """
    count = len(samples[0])
    whole = count // size * size
    parts = jax.tree.map(lambda array: array[:whole].reshape(-1, size, *array.shape[1:]), samples)
    once = jax.checkpoint(lambda part: function(flat, *part))
    total = size * jnp.sum(jax.lax.map(once, parts), axis=0)
    if whole < count:
        rest = jax.tree.map(lambda array: array[whole:], samples)
        total = total + (count - whole) * once(rest)
    return total / count


def _by_mode(
    values: Float[AnyArray, "*others mode"], settings: ProbeSettings
) -> Float[npt.NDArray[Any], "*others all_modes"]:
    """Pad values with NaN along their last dimension to the size of the file's dimension `mode`."""
    missing = _modes(settings) - values.shape[-1]
    return np.pad(values, [*[(0, 0)] * (values.ndim - 1), (0, missing)], constant_values=np.nan)


def _modes(settings: ProbeSettings) -> int:
    """Return the size of the file's dimension `mode`: the largest number of modes of any probe."""
    others = (probe.modes for probe in (settings.ntk, settings.residual) if probe is not None)
    return max(settings.hessian.modes, *others, 0)


def _add_hessian(variables: netcdf.Variables, results: dict[str, Any], settings: ProbeSettings) -> None:
    for kind, suffix, words in (
        ("weighted", "", "the weighted loss F at that step"),
        ("static", "_static", "the static loss, Γ = 1"),
    ):
        if kind not in results:
            continue
        spectrum = results[kind]
        reference = "Fig. 4e" if kind == "weighted" else "Eq. 1 with A = 1"
        modes = ("snapshot_step", "mode")
        for name, dimensions, values, text in (
            ("hessian_eigenvalue", modes, _by_mode(spectrum.eigenvalue, settings), "largest eigenvalues of"),
            (
                "hessian_residual",
                modes,
                _by_mode(spectrum.residual, settings),
                "residual |Hv - λv| of those of",
            ),
            (
                "hessian_min_eigenvalue",
                modes[:1],
                spectrum.min_eigenvalue,
                "smallest eigenvalue of",
            ),
            (
                "hessian_min_residual",
                modes[:1],
                spectrum.min_residual,
                "residual of the smallest of",
            ),
        ):
            long_name = f"{text} the Hessian of {words}"
            variables.add(name + suffix, dimensions, values, long_name, reference=reference)


def _add_ntk(variables: netcdf.Variables, results: dict[str, Any], settings: ProbeSettings) -> None:
    if settings.ntk is None:
        return
    spectrum = results["ntk"]
    for name, values, words, reference in (
        (
            "ntk_eigenvalue",
            spectrum.eigenvalue,
            "largest eigenvalues of the neural tangent kernel over all samples and classes",
            "Fig. 4f",
        ),
        ("ntk_residual", spectrum.residual, "residual |Θv - λv| of each", "Fig. 4f"),
        (
            "ntk_eigenvalue_notebook",
            results.get("notebook"),
            f"largest eigenvalues of the kernel of the first {settings.ntk.notebook_samples} samples, "
            "averaged over logits",
            "Fig. 4f, authors' notebook",
        ),
    ):
        if values is not None:
            filled = _by_mode(values, settings)
            variables.add(name, ("snapshot_step", "mode"), filled, words, reference=reference)


def _add_residual(
    variables: netcdf.Variables,
    found: residual.ResidualModes,
    followed: residual.Followed,
    settings: ProbeSettings,
) -> None:
    kernels = list(residual.KERNELS)
    variables.add(
        "kernel", ("kernel",), kernels, "kernel that the residual is followed with", reference=_MODES
    )
    for name, dimensions, values, words in (
        (
            "kernel_multiple",
            ("mode",),
            _by_mode(found.multiple, settings),
            "η/N times the largest eigenvalues of the kernel, weighted by Γ; above 2 a mode is unstable",
        ),
        ("kernel_multiple_error", ("mode",), _by_mode(found.error, settings), "how far those may be off"),
        (
            "residual_share",
            ("mode",),
            _by_mode(found.share, settings),
            "share of the weighted squared residual along an eigenvector of the kernel",
        ),
        (
            "unweighted_multiple",
            (),
            found.unweighted,
            "η/N times the largest eigenvalue of the kernel without Γ",
        ),
        (
            "residual_change",
            (),
            found.step_change,
            "change of the weighted loss by a step of gradient descent",
        ),
        ("kernel_change", (), found.kernel_change, "the same if the kernel stayed as it is during the step"),
        ("kernel_age", (), followed.age, "steps since the residual that kernels lead was that of the run"),
        (
            "kernel_error",
            ("kernel",),
            followed.error,
            "distance of the residual that a kernel leads to from the run's, over the farthest this went",
        ),
    ):
        variables.add(name, ("snapshot_step", *dimensions), values, words, reference=_MODES)


def _descents(
    wanted: SmallStepSettings,
    seed: int,
    parts: Callable[[Samples], alignment.Parts],
    samples: Samples,
    snapshots: Snapshots,
    class_weight: Float[npt.NDArray[Any], "step_and_end class_index"],
) -> small_steps.Descent:
    """Run both descents along the stretch; every array of the result gets the first dimension `descent`."""
    first = int(np.flatnonzero(snapshots.step == wanted.start)[0])
    start = snapshots.parameters[first]

    @functools.partial(jax.jit, static_argnames="divide")
    def descend(
        samples: Samples, gammas: Float[Array, "step_and_end class_index"], *, divide: int
    ) -> small_steps.Descent:
        return small_steps.descend(
            parts(samples),
            jnp.asarray(start),
            gammas,
            jnp.asarray(snapshots.learning_rate[first], start.dtype),
            divide=divide,
            every=wanted.every,
            order=wanted.order,
            key=jax.random.fold_in(jax.random.key(seed), wanted.start),
        )

    found = [descend(samples, class_weight.astype(start.dtype), divide=each) for each in (1, wanted.divide)]
    both: small_steps.Descent = jax.tree.map(lambda *each: np.stack(each), *found)
    return both


def _add_small_steps(
    variables: netcdf.Variables,
    found: small_steps.Descent,
    settings: SmallStepSettings,
    class_weight: Any,
    class_share: Any,
) -> None:
    reference = "Fig. F11"
    places = np.arange(settings.start, settings.start + settings.steps + 1, settings.every)
    kinds = list(small_steps.DESCENTS)
    variables.add("descent", ("descent",), kinds, "by the run's η, or by a smaller one", reference=reference)
    variables.add("again_step", ("again_step",), places, "minimisation steps of the run", reference=reference)
    variables.add(
        "again_class_share",
        ("class_index",),
        class_share,
        "share of the training samples that a class has",
        reference=reference,
    )
    variables.add(
        "again_class_weight",
        ("again_step", "class_index"),
        class_weight[:: settings.every],
        "class weight Γ_i there",
        reference="Eq. 2-5",
    )
    along = ("descent", "again_step")
    for name, dimensions, values, words in (
        (
            "again_class_loss",
            (*along, "class_index"),
            found.class_loss,
            "each class's part of the static loss, along a stretch that is done again",
        ),
        (
            "again_sharpness",
            along,
            found.sharpness,
            "largest eigenvalue of the weighted loss's Hessian there",
        ),
        (
            "again_static_sharpness",
            along,
            found.static_sharpness,
            "largest eigenvalue of the static loss's Hessian there",
        ),
        (
            "again_residual",
            along,
            found.residual.max(axis=-1),
            "residual |Hv - λv| of those, the larger of the two",
        ),
    ):
        variables.add(name, dimensions, values, words, reference=reference)


def _add_alignment(
    variables: netcdf.Variables, results: dict[str, Any], settings: ProbeSettings, snapshots: Snapshots
) -> None:
    found, top = results["alignment"], results["top"]
    # The sign of an eigenvector is arbitrary, so the overlap is squared.
    overlap = np.full(len(top), np.nan, top.dtype)
    overlap[1:] = np.sum(top[1:] * top[:-1], axis=1) ** 2
    kinds, places = list(alignment.STEP_KINDS), list(alignment.PLACES)
    variables.add("step_kind", ("step_kind",), kinds, "kind of step that is tried", reference="Fig. F9")
    along = "place along the first eigenvector, in units of the step's part along it"
    variables.add("place", ("place",), places, along, reference="Fig. F9")
    weighted = "the weighted loss F at that step"
    first = f"first eigenvector of the Hessian of {weighted}"
    for name, dimensions, values, words, reference in (
        (
            "class_weight",
            ("class_index",),
            snapshots.class_weight,
            "class weight Γ_i at the snapshot",
            "Eq. 2-5",
        ),
        ("learning_rate", (), snapshots.learning_rate, "learning rate η at the snapshot", "Fig. F5"),
        ("gradient_square", (), found.gradient_square, f"squared gradient of {weighted}", "Fig. F5"),
        (
            "gradient_share",
            ("mode",),
            _by_mode(found.gradient_share, settings),
            "squared cosine of gradient and eigenvector",
            "Fig. F5",
        ),
        (
            "principal_rate",
            ("mode",),
            _by_mode(found.principal_rate, settings),
            "rate at which the principal flow changes the weighted loss along an eigenvector",
            "arXiv 2302.01952, Fig. F5",
        ),
        (
            "quadratic_change",
            ("mode",),
            _by_mode(found.quadratic_change, settings),
            "change of the weighted loss's quadratic model along an eigenvector, by a step",
            "Fig. F5",
        ),
        (
            "step_change",
            ("step_kind",),
            found.step_change,
            f"change of {weighted} by a step of plain gradient descent",
            "Fig. F5",
        ),
        (
            "class_gradient_share",
            ("class_index", "mode"),
            _by_mode(found.class_gradient_share, settings),
            "squared cosine of a class's gradient and eigenvector",
            "Fig. F9",
        ),
        (
            "class_random_share",
            ("class_index",),
            found.class_random_share,
            "squared cosine of a class's gradient and a random direction",
            "Fig. F9",
        ),
        (
            "class_sharpness",
            ("class_index",),
            found.class_sharpness,
            "what a class adds to the largest eigenvalue",
            "Fig. F9",
        ),
        (
            "class_random_sharpness",
            ("class_index",),
            found.class_random_sharpness,
            "what a class adds to the curvature along a random direction",
            "Fig. F9",
        ),
        (
            "class_change",
            ("step_kind", "class_index"),
            found.class_change,
            "change of a class's part of the static loss by a step of plain gradient descent",
            "Fig. F9",
        ),
        ("loss_along_top", ("place",), found.profile, f"{weighted}, along the first eigenvector", "Fig. F9"),
        (
            "loss_along_random",
            ("place",),
            found.random_profile,
            f"{weighted}, along a random direction, as far",
            "Fig. F9",
        ),
        (
            "eigenvector_overlap",
            (),
            overlap,
            f"squared cosine of the {first} with that at the snapshot before",
            "Fig. F9",
        ),
        (
            "effective_units",
            (),
            results.get("effective_units"),
            f"hidden units that the {first} is spread over, inverse participation ratio",
            "Fig. F9",
        ),
    ):
        if values is not None:
            variables.add(name, ("snapshot_step", *dimensions), values, words, reference=reference)


def _add_optimiser(variables: netcdf.Variables, results: dict[str, Any]) -> None:
    multipliers, errors = optimiser.flip_multipliers(results["multipliers"])
    for name, values, words in (
        (
            "flip_multiplier",
            multipliers,
            "smallest real part of the eigenvalues of the optimiser's linearised step; below −1 it flips",
        ),
        ("flip_error", errors, "about how far the eigenvalue may be from it; it is left out beyond 1 %"),
        (
            "preconditioned_sharpness",
            results.get("preconditioned"),
            "largest eigenvalue of the weighted loss's Hessian, divided by what the optimiser divides by",
        ),
    ):
        if values is not None:
            variables.add(name, ("snapshot_step",), values, words, reference="Fig. S2")


def _add_batches(variables: netcdf.Variables, found: batches.BatchCurvature) -> None:
    for name, words in (
        ("batch_sharpness", "curvature of a batch's loss along its own gradient, mean over batches"),
        (
            "gradient_noise_interaction",
            "curvature along a batch's gradient, in units of the squared gradient, mean over batches",
        ),
        (
            "one_step_change",
            "change of the weighted loss by one step along a batch's gradient, mean over batches",
        ),
        ("hessian_trace", "trace of the Hessian of the weighted loss F at that step, estimated"),
        ("hessian_trace_error", "standard error of that estimate"),
        ("gauss_newton_eigenvalue", "largest eigenvalue of the Gauss-Newton matrix of the weighted loss F"),
        ("gauss_newton_residual", "residual |Gv - λv| of it"),
    ):
        variables.add(name, ("snapshot_step",), getattr(found, name), words, reference="Fig. S2")


def _add_density(variables: netcdf.Variables, steps: Any, quadrature: Any) -> None:
    dimensions = ("density_step", "probe", "node")
    variables.add(
        "density_step",
        ("density_step",),
        steps,
        "minimisation steps done at the density",
        reference="Fig. S1",
    )
    variables.add(
        "density_node",
        dimensions,
        quadrature.node,
        "eigenvalue nodes of the weighted Hessian's spectral density (stochastic Lanczos quadrature)",
        reference="Fig. S1",
    )
    variables.add(
        "density_weight", dimensions, quadrature.weight, "weights of the nodes", reference="Fig. S1"
    )
