"""The loss in PyTorch against the reference in JAX: over a cycle, resumed, accumulated, on two processes."""

import copy
import subprocess
import sys

import numpy as np
import pytest

from adapter_reference import (
    AMPLITUDE,
    CLASSES,
    CYCLE,
    INPUTS,
    KERNEL,
    LABELS,
    LEARNING_RATE,
    PERIOD,
    SCHEDULE,
    descent,
)  # fmt: skip
from dynamical_loss import api
from dynamical_loss.losses import cross_entropy, mse

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from dynamical_loss.adapters import torch as adapter  # noqa: E402

WEIGHT = KERNEL.T.copy()
RANDOM = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(**options):
    network = torch.nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(WEIGHT))
    optimiser = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    return network, optimiser, adapter.DynamicalLoss(SCHEDULE, optimiser, **options)


def trained(network, optimiser, criterion, steps):
    found = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = criterion(network(torch.from_numpy(INPUTS)), torch.from_numpy(LABELS))
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found


@pytest.fixture(params=[True, False], ids=["as on a CPU", "as on a GPU"])
def place(request, monkeypatch):
    """Where tensors lie: on a GPU nothing may be read, and the loss then takes other operations."""
    if not request.param:
        monkeypatch.setattr(adapter, "_can_be_read", lambda _: False)
    return request.param


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("name", "loss"), [("cross_entropy", cross_entropy), ("squared_error", mse)])
def test_training_follows_the_reference_over_a_cycle(name, loss):
    network, optimiser, criterion = made(loss=name)
    found = trained(network, optimiser, criterion, CYCLE)
    known, kernel = descent(CYCLE, loss)
    np.testing.assert_allclose(found, known, rtol=1e-6)
    np.testing.assert_allclose(network.weight.detach(), kernel.T, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("waveform", ["triangle", "sine", "square"])
def test_weights_are_those_of_the_schedule(waveform):
    schedule = api.class_weight_schedule(PERIOD, AMPLITUDE, CLASSES, waveform, stop=15)
    criterion = adapter.DynamicalLoss(schedule, None)
    for step in range(20):
        np.testing.assert_allclose(criterion.class_weights(), schedule(step), rtol=1e-6)
        criterion.advance()


def test_a_run_resumes_in_the_middle_of_a_period():
    whole = trained(*made(), 14)
    network, optimiser, criterion = made()
    first = trained(network, optimiser, criterion, 8)
    kept = [copy.deepcopy(part.state_dict()) for part in (network, optimiser, criterion)]
    assert set(kept[2]) == {"step"}
    again = made()
    for part, state in zip(again, kept, strict=True):
        part.load_state_dict(state)
    assert first + trained(*again, 6) == whole


def test_accumulated_gradients_move_the_weights_once():
    network, optimiser, criterion = made(reduction="sum")
    found = []
    for _ in range(PERIOD):
        optimiser.zero_grad()
        total = 0.0
        for part in (slice(0, 4), slice(4, 10)):
            loss = criterion(network(torch.from_numpy(INPUTS[part])), torch.from_numpy(LABELS[part])) / 10
            loss.backward()
            total += float(loss.detach())
        optimiser.step()
        found.append(total)
    np.testing.assert_allclose(found, descent(PERIOD)[0], rtol=1e-5)


def test_the_trap_of_class_weights_in_pytorch():
    """CrossEntropyLoss(weight=Γ) divides by ΣΓ_y: on an unbalanced batch it is not Eq. 1."""
    network, _, criterion = made()
    criterion.step += PERIOD // 2
    logits, labels = network(torch.from_numpy(INPUTS)).detach(), torch.from_numpy(LABELS)
    weights = criterion.class_weights()
    theirs = torch.nn.CrossEntropyLoss(weight=weights)(logits, labels)
    ours = criterion(logits, labels)
    assert float(ours / theirs) == pytest.approx(float(weights[labels].mean()), rel=1e-5)
    assert float(ours / theirs) > 1.4
    summed = torch.nn.CrossEntropyLoss(weight=weights, reduction="sum")(logits, labels) / 10
    assert float(ours) == pytest.approx(float(summed), rel=1e-5)


def test_images_labels_to_ignore_and_smoothing():
    schedule = api.class_weight_schedule(20, 10.0, 3)
    criterion = adapter.DynamicalLoss(
        schedule, None, axis=1, ignore_index=255, label_smoothing=0.1, reduction="none"
    )
    criterion.step += 7
    logits = RANDOM.normal(size=(2, 3, 4, 5)).astype(np.float32)
    labels = RANDOM.integers(0, 3, (2, 4, 5))
    labels[1, :, 2] = 255
    given = torch.from_numpy(logits).requires_grad_()
    found = criterion(given, torch.from_numpy(labels))
    known = api.dynamical(api.cross_entropy, schedule)(
        logits, labels, 7, axis=1, ignore_index=255, label_smoothing=0.1
    )
    np.testing.assert_allclose(found.detach(), known, rtol=1e-5, atol=1e-6)
    criterion.reduction = "mean"
    mean = criterion(given, torch.from_numpy(labels))
    np.testing.assert_allclose(mean.detach(), np.sum(known) / np.sum(labels != 255), rtol=1e-5)
    mean.backward()
    assert torch.isfinite(given.grad).all()
    assert (given.grad[1, :, :, 2] == 0).all()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("ignore_index", [None, 2])
def test_sums_and_means_are_those_of_the_single_samples(reduction, ignore_index):
    criterion = adapter.DynamicalLoss(SCHEDULE, None, ignore_index=ignore_index)
    criterion.step += 2
    criterion.reduction = "none"  # options may be changed, as those of PyTorch's losses
    logits, labels = torch.from_numpy(INPUTS[:, :3]), torch.from_numpy(LABELS)
    each = criterion(logits, labels)
    counted = labels != ignore_index if ignore_index is not None else torch.ones_like(labels)
    criterion.reduction = reduction
    expected = each.sum() if reduction == "sum" else each.sum() / counted.sum()
    np.testing.assert_allclose(criterion(logits, labels), expected, rtol=1e-6)
    criterion.label_smoothing = 0.3
    assert abs(float(criterion(logits, labels) / expected) - 1) > 1e-3


def test_a_class_that_is_masked_out_has_no_share():
    criterion = adapter.DynamicalLoss(SCHEDULE, None)
    logits = torch.tensor([[1.0, 2.0, -torch.inf]])
    whole, shares = criterion(logits, torch.tensor([0])), criterion(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    assert float(whole) == pytest.approx(float(shares)) == pytest.approx(np.log(1 + np.e))


def test_on_a_gpu_a_label_that_is_no_class_gives_nan(monkeypatch):
    monkeypatch.setattr(adapter, "_can_be_read", lambda _: False)
    criterion = adapter.DynamicalLoss(SCHEDULE, None, reduction="none")
    found = criterion(torch.from_numpy(INPUTS[:4, :3]), torch.tensor([0, 3, -1, 2]))
    assert torch.isnan(found).tolist() == [False, True, True, False]


def test_an_optimiser_that_is_attached_again_counts_once():
    network, optimiser, criterion = made()
    criterion.attach(optimiser)
    trained(network, optimiser, criterion, 1)
    assert int(criterion.step) == 1
    criterion.attach(torch.optim.SGD(network.parameters(), lr=0.1))
    optimiser.step()
    assert int(criterion.step) == 1


def test_distributions_have_the_mean_weight_of_their_classes():
    mixed = RANDOM.dirichlet(np.ones(3), 10).astype(np.float32)
    criterion = adapter.DynamicalLoss(SCHEDULE, None, reduction="none")
    criterion.step += 2
    logits = INPUTS[:, :3]
    found = criterion(torch.from_numpy(logits), torch.from_numpy(mixed))
    np.testing.assert_allclose(found, api.dynamical(api.cross_entropy, SCHEDULE)(logits, mixed, 2), rtol=1e-5)


def test_autocast_computes_the_loss_in_single_precision():
    network, _, criterion = made()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(torch.from_numpy(INPUTS))
        loss = criterion(logits, torch.from_numpy(LABELS))
    assert (logits.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
    np.testing.assert_allclose(
        loss.detach(), criterion(logits.float(), torch.from_numpy(LABELS)).detach(), rtol=1e-6
    )


@pytest.mark.parametrize("fused", [False, True])
def test_a_skipped_step_of_the_scaler_does_not_move_the_weights(fused):
    network, _, _ = made()
    optimiser = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, fused=fused)
    criterion = adapter.DynamicalLoss(SCHEDULE, optimiser)
    scaler = torch.amp.GradScaler("cpu")
    for factor in (1.0, float("inf")):
        optimiser.zero_grad()
        loss = criterion(network(torch.from_numpy(INPUTS)), torch.from_numpy(LABELS)) * factor
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
    assert int(criterion.step) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: adapter.DynamicalLoss(SCHEDULE, None, "hinge"), "loss must be one of cross_entropy"),
        (
            lambda: adapter.DynamicalLoss(SCHEDULE, None, reduction="median"),
            "reduction must be mean, sum or none",
        ),
        (lambda: adapter.DynamicalLoss(SCHEDULE, None, label_smoothing=1.0), "label_smoothing must lie"),
        (
            lambda: adapter.DynamicalLoss(SCHEDULE, None)(torch.zeros(2, 3), torch.tensor([0, -100])),
            "the label -100 is none of the 3 classes from 0 on; .* give ignore_index=-100",
        ),
        (
            lambda: adapter.DynamicalLoss(SCHEDULE, None, torch.nn.CrossEntropyLoss())(
                torch.zeros(2, 3), torch.tensor([0, 1])
            ),
            r"the loss has the shape \(\), and the samples have \(2,\): it must return",
        ),
        (
            lambda: adapter.largest_hessian_eigenvalues(lambda: torch.zeros(()), [], modes=1),
            "modes must lie between",
        ),
        (
            lambda: adapter.DynamicalLoss(SCHEDULE, None, lambda a, b: a, label_smoothing=0.1),
            "smooth labels in your own loss",
        ),
        (
            lambda: adapter.DynamicalLoss(SCHEDULE, None)(torch.zeros(2, 4), torch.zeros(2, dtype=int)),
            r"logits \(2, 4\) have 4 classes on axis 1, and the schedule has 3",
        ),
        (
            lambda: adapter.DynamicalLoss(SCHEDULE, None)(torch.zeros(2, 3), torch.zeros(2)),
            r"labels torch.float32 \(2,\) must be whole numbers in the shape \(2,\)",
        ),
        (
            lambda: adapter.DynamicalLoss(SCHEDULE, None, ignore_index=0)(
                torch.zeros(2, 3), torch.zeros(2, 3)
            ),
            "ignore_index needs labels that are whole numbers",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_copy_asks_for_its_optimiser():
    network, optimiser, criterion = copy.deepcopy(made())
    with pytest.raises(RuntimeError, match=r"follows no optimiser; call attach\(optimiser\)"):
        trained(network, optimiser, criterion, 1)
    criterion.attach(optimiser)
    assert trained(network, optimiser, criterion, 8) == trained(*made(), 8)
    assert int(criterion.step) == 8


def test_steps_that_stand_still_are_told():
    network, _, criterion = made()
    criterion._still = 998
    other = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    with pytest.warns(UserWarning, match="1000 times since the last step of its optimiser"):
        trained(network, other, criterion, 2)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.int64])
def test_labels_may_have_any_type_of_whole_numbers(kind):
    criterion = adapter.DynamicalLoss(SCHEDULE, None, ignore_index=2)
    logits, labels = torch.from_numpy(INPUTS[:, :3]), torch.from_numpy(LABELS)
    assert criterion(logits, labels.to(kind)) == criterion(logits, labels)


def test_the_largest_eigenvalues_are_those_of_the_dense_matrix():
    network, _, criterion = made()
    criterion.step += 3
    logits = lambda weight: torch.from_numpy(INPUTS) @ weight.T  # noqa: E731
    dense = torch.autograd.functional.hessian(
        lambda weight: criterion(logits(weight), torch.from_numpy(LABELS)), network.weight
    ).reshape(12, 12)
    known = np.linalg.eigvalsh(dense.numpy())
    found = adapter.largest_hessian_eigenvalues(
        lambda: criterion(logits(network.weight), torch.from_numpy(LABELS)), network.parameters(), modes=2
    )
    np.testing.assert_allclose(found, known[[-1, -2]], rtol=1e-3)


WORKER = """
import os, sys
import numpy as np, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from dynamical_loss.adapters.torch import DynamicalLoss
from dynamical_loss.api import class_weight_schedule

rank, file, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
data = np.load(out + "/data.npz")
network = torch.nn.Linear(4, 3, bias=False)
with torch.no_grad():
    network.weight.copy_(torch.from_numpy(data["weight"]))
shared = DistributedDataParallel(network)
optimiser = torch.optim.SGD(shared.parameters(), lr=0.5)
criterion = DynamicalLoss(class_weight_schedule(6, 8.0, 3), optimiser)
half = slice(rank * 5, rank * 5 + 5)
for _ in range(18):
    optimiser.zero_grad()
    logits = shared(torch.from_numpy(data["inputs"][half]))
    criterion(logits, torch.from_numpy(data["labels"][half])).backward()
    optimiser.step()
steps = [torch.zeros((), dtype=torch.int64) for _ in range(2)]
dist.all_gather(steps, criterion.step)
assert [int(step) for step in steps] == [18, 18]
np.savetxt(f"{out}/weight{rank}.txt", network.weight.detach().numpy())
dist.destroy_process_group()
"""


def test_two_processes_agree_with_one(tmp_path):
    np.savez(tmp_path / "data.npz", inputs=INPUTS, labels=LABELS, weight=WEIGHT)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(tmp_path / "meeting"), str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    first, second = (np.loadtxt(tmp_path / f"weight{rank}.txt") for rank in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, descent(CYCLE)[1].T, rtol=1e-4, atol=1e-5)
