"""The pipeline on a real cluster: equal numbers, the declared resources, and failures."""

import os
import re
import signal

import pytest

from cluster import slurm
from dynamical_loss.results import netcdf
from project import LONG, LONG_BLOCK, LONG_TRAJECTORY, assert_same, numbers

PROFILE = ("--profile", "workflow/profiles/slurm")
# The cluster answers at once and uses the disk of this machine, so short waiting times suffice.
HASTE = ("--slurm-init-seconds-before-status-checks", "4", "--latency-wait", "5", "--jobs", "6")
ONCE = ("--retries", "0")
ON_CLUSTER = {
    *("train_phase_block", "train_trajectory", "train_lazy_block", "probe_spectrum"),
    *("trace_known_losses", "trace_flow"),
}
# Memory (MB) and time that the rules of flows and of lazy training declare.
DECLARED = {
    "trace_known_losses": ("1500", "00:10:00"),
    "trace_flow": ("2000", "00:25:00"),
    "train_lazy_block": (r"17\d\d", "00:11:00"),
}
# Results of every rule that runs on nodes, some that are made beside Snakemake, and a figure.  Starting a job
# on a cluster takes seconds, so the rest of the study is not made there.
MADE = (
    "phase/spiral_w100.nc",
    "phase/myrtle5.nc",
    "instabilities/cascade_seed0.nc",
    "lazy/digits.nc",
    "flow/known_losses.nc",
    "flows/spiral.nc",
    "figures/fig4_cascade.pdf",
)
TARGETS = tuple(f"results/smoke/{name}" for name in MADE)
BLOCK = "results/smoke/phase/spiral_w100/static_seeds0-1.nc"

pytestmark = pytest.mark.usefixtures("cluster")


def options(*more):
    return (*PROFILE, *HASTE, *more)


def submitted(output):
    """Return the rule of each submitted job in Snakemake's output, by SLURM's job number."""
    found = re.findall(r"has been submitted with SLURM jobid (\d+) \(log: \S*/rule_(\w+?)/", output)
    return dict(found)


def failed(project, *more, target=BLOCK):
    """Verify that making a target on the cluster fails; return the output and its SLURM jobs."""
    status, output = project.run(*project.arguments(target, options=options(*more)))
    assert status != 0
    assert "Traceback" not in output
    assert not (project.folder / target).exists()
    return output, submitted(output)


def result_files(project):
    return {path.relative_to(project.folder) for path in project.result("").rglob("*.nc")}


# --------------------------------------------------------------------------------------------------
# A part of the study
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def clustered(cluster, finished, tmp_path_factory):
    """The project with the results `MADE`, and the output of Snakemake that made them."""
    project = finished.without_results(tmp_path_factory.mktemp("clustered") / "project")
    return project, project.snakemake(*TARGETS, options=options())


def test_the_cluster_computes_the_same_numbers(clustered, finished):
    project, _ = clustered
    assert all((project.folder / target).exists() for target in TARGETS)
    assert len(result_files(project)) > 15
    for path in result_files(project):
        assert_same(numbers(project.folder / path), numbers(finished.folder / path))


def test_training_and_probes_run_on_nodes_and_the_rest_beside_snakemake(clustered, pristine):
    _, output = clustered
    ran = list(submitted(output).values())
    planned = pristine.plan(*TARGETS).jobs
    assert {rule: ran.count(rule) for rule in set(ran)} == {rule: planned[rule] for rule in ON_CLUSTER}
    assert set(planned) > ON_CLUSTER


def test_slurm_is_told_what_the_rules_declare(clustered):
    _, output = clustered
    known = slurm.jobs()
    for number, rule in submitted(output).items():
        job = known[number]
        assert job["JobState"] == "COMPLETED"
        assert job["NumCPUs"] == "1"
        # Toy sizes need only what every process needs; tests/unit/test_resources.py tests larger requests.
        memory, minutes = DECLARED.get(rule, (r"120\d", "00:11:00"))
        assert re.fullmatch(rf"cpu=1,mem={memory}M,node=1,billing=1", job["TRES"]), rule
        assert job["TimeLimit"] == minutes
        assert job["Requeue"] == "1"
        assert job["Partition"] == "main"
        assert "TresPerJob" not in job  # no GPU was requested, not even with a count of zero


@pytest.mark.parametrize("more", [(), PROFILE, ("--set-resources", "train_phase_block:mem_mb=5000")])
def test_neither_place_nor_resources_make_anything_again(clustered, more):
    project, _ = clustered
    assert "Nothing to be done" in project.snakemake(*TARGETS, options=("--dry-run", *more))


def test_logs_of_success_are_those_of_the_rules(clustered):
    project, _ = clustered
    assert not list((project.folder / "logs/slurm").rglob("*.log"))
    assert (project.folder / "logs/smoke/train_phase_block/spiral_w100/static_seeds0-1.log").exists()


# --------------------------------------------------------------------------------------------------
# Failures
# --------------------------------------------------------------------------------------------------


def test_a_failing_job_is_named_with_its_rule_number_and_log(clustered, tmp_path):
    """A job that reads a trajectory detects a flipped byte in the file."""
    project = clustered[0].copy(tmp_path / "project")
    path = project.result("trajectory/static_w100_seed0.nc")
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 0xFF
    path.write_bytes(content)
    target = "results/smoke/spectrum/static_w100_seed0.nc"
    output, jobs = failed(project, *ONCE, target=target)
    ((number, rule),) = jobs.items()
    assert rule == "probe_spectrum"
    assert "Error in rule probe_spectrum" in output
    assert f"SLURM-job '{number}' failed, SLURM status is: 'FAILED'" in output
    assert f"logs/slurm/rule_probe_spectrum/static_w100_seed0/{number}.log" in output
    assert "logs/smoke/probe_spectrum/static_w100_seed0.log" in output
    assert "trajectory/static_w100_seed0.nc is damaged" in output


def test_a_job_above_its_memory_is_killed_and_told(ready):
    output, jobs = failed(ready, *ONCE, "--set-resources", "train_phase_block:mem_mb=250")
    (number,) = jobs
    # With cgroups the state would be OUT_OF_MEMORY; without them, the log that Snakemake names says so.
    assert slurm.jobs()[number]["JobState"] == "FAILED"
    assert "Error in rule train_phase_block" in output
    log = f"logs/slurm/rule_train_phase_block/spiral_w100_static_seeds0-1/{number}.log"
    assert log in output
    assert "exceeded memory limit" in (ready.folder / log).read_text(encoding="utf-8")


def test_a_second_attempt_gets_more_memory(ready):
    more = ("--set-resources", "train_phase_block:mem_mb=250 * 5 ** (attempt - 1)")
    output = ready.snakemake(BLOCK, options=options(*more))
    first, second = sorted(map(int, submitted(output)))
    known = slurm.jobs()
    assert known[str(first)]["JobState"] == "FAILED"
    assert known[str(second)]["JobState"] == "COMPLETED"
    assert "mem=1250M" in known[str(second)]["TRES"]


def running_job(project, running):
    """Wait until the only submitted job runs, and return SLURM's job number."""
    assert slurm.within(120, lambda: submitted(project.output) or running.poll() is not None)
    (number,) = submitted(project.output)
    assert slurm.within(60, lambda: slurm.jobs()[number]["JobState"] == "RUNNING")
    return number


def test_an_interrupt_cancels_the_jobs_and_unlocks(ready):
    # The job has more steps than it can finish before the interrupt.
    overlay = ready.overlay("phase: {spiral_w100: {steps: 100000000, record_every: 1000000}}")
    locks = ready.folder / ".snakemake/locks"
    with ready.started(BLOCK, overlay=overlay, options=options()) as running:
        number = running_job(ready, running)
        assert list(locks.glob("*"))
        os.kill(running.pid, signal.SIGINT)
        assert running.wait() != 0
    assert slurm.within(60, lambda: slurm.jobs()[number]["JobState"] == "CANCELLED")
    assert not (ready.folder / BLOCK).exists()
    assert not list(locks.glob("*"))


@pytest.mark.parametrize("name", [LONG_BLOCK, LONG_TRAJECTORY])
def test_a_requeued_job_goes_on_from_its_checkpoint(ready, undisturbed, name):
    """SLURM starts the same job again while Snakemake waits, as it does after a pre-emption."""
    with ready.started(f"results/smoke/{name}", overlay=ready.overlay(LONG), options=options()) as running:
        number = running_job(ready, running)
        assert slurm.within(120, ready.checkpoint(name).exists)
        slurm.ask("scontrol", "requeue", number)
        assert running.wait() == 0, ready.output
    assert slurm.jobs()[number]["Restarts"] == "1"
    assert_same(numbers(ready.result(name)), numbers(undisturbed.result(name)))
    assert netcdf.read(ready.result(name)).attrs["resumed"] == 1
    assert not ready.checkpoint(name).exists()


# --------------------------------------------------------------------------------------------------
# The lines of the profile
# --------------------------------------------------------------------------------------------------


def test_partition_gpu_and_time_of_the_profile_reach_slurm(ready):
    """The lines that a new user edits take effect once their comment signs are removed."""
    path = ready.folder / "workflow/profiles/slurm/config.yaml"
    keys = "default-resources|set-resources|train_phase_block|train_trajectory|slurm_partition|gpu|runtime"
    text, lines = re.subn(rf"^# ( *(?:{keys}):)", r"\1", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert lines == 11
    path.write_text(re.sub(r"(slurm_partition): \w+", r"\1: main", text), encoding="utf-8")
    targets = (BLOCK, f"results/smoke/{LONG_TRAJECTORY}")
    jobs = submitted(ready.snakemake(*targets, options=options()))
    assert sorted(jobs.values()) == ["train_phase_block", "train_trajectory"]
    for number, rule in jobs.items():
        job = slurm.jobs()[number]
        assert job["TresPerJob"] == "gres:gpu:1"
        assert job["TimeLimit"] == "01:00:00"
        assert job["Partition"] == "main"
        assert rule != "train_phase_block" or job["MinMemoryNode"] == "1201M"


def test_a_partition_that_does_not_exist_is_named(ready):
    output, jobs = failed(ready, *ONCE, "--default-resources", "slurm_partition=nowhere")
    assert not jobs
    assert "invalid partition specified: nowhere" in output
