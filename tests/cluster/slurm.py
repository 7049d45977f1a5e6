"""A real SLURM cluster of one node for tests, which root starts from Debian's packages and stops again.

Three daemons suffice (munged, slurmctld, slurmd), without a database, cgroups or systemd.  The GPUs are
placeholders: jobs can request them but cannot compute on them.  Memory limits are enforced: SLURM reads the
usage once a second and kills a job above its limit.

    python tests/cluster/slurm.py    # install missing packages, or print one line with the obstacle
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dynamical_loss.errors import UserError

# The path is fixed, because the tools that a job starts do not see the variable SLURM_CONF.
CONFIGURATION = Path("/etc/slurm/slurm.conf")
RESOURCES = Path("/etc/slurm/gres.conf")
LOCK = Path("/etc/slurm/dynamical-loss-tests.lock")
MARK = "# A cluster for the tests of dynamical-loss, removed when they end; its state is in "
PREFIX = "dynamical-loss-slurm-"
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
DAEMONS = ("slurmd", "slurmctld", "munged")  # in the order in which they are stopped
GPUS = 2
PATIENCE = 60.0  # longest wait for a change of state, s

# Debian installs daemons in folders that are not in the PATH of an ordinary user.
SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def check() -> None:
    """Verify that the cluster may be started on this machine.

    Raises:
        UserError: if it may not; the message is one line with the reason.
    """
    if os.geteuid() != 0:
        raise UserError("the SLURM tests start daemons and need root; run them in a container or a CI job")
    if _missing() and shutil.which("apt-get", path=SEARCH) is None:
        raise UserError(
            f"{_missing()[0]} is missing and cannot be installed without apt-get; install it by hand"
        )
    if CONFIGURATION.exists():
        ours = CONFIGURATION.read_text(encoding="utf-8").startswith(MARK)
    else:  # without this file, a node may still get its configuration from a server
        ours = not RESOURCES.exists() and not processes("slurmd") and not processes("slurmctld")
    if not ours:
        raise UserError("this machine belongs to a real SLURM cluster; run the SLURM tests on another one")


def _missing() -> list[str]:
    return [daemon for daemon in DAEMONS if shutil.which(daemon, path=SEARCH) is None]


def install() -> None:
    """Install Debian's packages unless they are installed already."""
    if _missing():
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=True, env=environment)
        command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *PACKAGES]
        subprocess.run(command, check=True, env=environment)


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """Run the cluster for the length of the block.

    Raises:
        UserError: if the cluster may not be started on this machine, or if a package is not installed.
        RuntimeError: if the cluster does not start.
    """
    check()
    if _missing():
        raise UserError(f"{_missing()[0]} is not installed; make test-slurm installs it")
    CONFIGURATION.parent.mkdir(exist_ok=True)
    with LOCK.open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError("other SLURM tests run on this machine; wait until they end") from None
        _remove_stale()
        cluster = Cluster(Path(tempfile.mkdtemp(prefix=PREFIX)))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
            LOCK.unlink()


def _remove_stale() -> None:
    """Stop the daemons that a killed run has left; the lock guarantees that this run has ended."""
    if CONFIGURATION.exists():
        folder = Path(CONFIGURATION.read_text(encoding="utf-8").splitlines()[0].removeprefix(MARK))
        if not folder.name.startswith(PREFIX) or not folder.is_absolute():
            raise UserError(f"{CONFIGURATION} names no folder of these tests; remove this file")
        Cluster(folder).stop()


class Cluster:
    """One node with 16 GB, two placeholder GPUs and eight processors, which need not exist.

    Attributes:
        folder: folder of all files of the cluster except its configuration.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> None:
        """Start the daemons and wait until the node is ready.

        Raises:
            RuntimeError: if a daemon fails; the message contains the end of its log.
        """
        self.folder.chmod(0o755)  # munge requires that every user can reach its socket
        for name in ("etc", "log", "run", "spool", "state"):
            (self.folder / name).mkdir()
        key = self.folder / "etc/munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        for number in range(GPUS):
            # SLURM requires a device for each GPU; these devices are equal to /dev/null.
            os.mknod(self.folder / f"run/gpu{number}", 0o20666, os.makedev(1, 3))
        host = socket.gethostname().split(".")[0]
        written = CONFIGURATION.with_suffix(".new")
        written.write_text(_configuration(self.folder, host), encoding="utf-8")
        written.replace(CONFIGURATION)  # atomic: half of the file would look like that of a real cluster
        RESOURCES.write_text(
            f"AutoDetect=off\nNodeName={host} Name=gpu File={self.folder}/run/gpu[0-{GPUS - 1}]\n",
            encoding="utf-8",
        )
        self._daemon(
            "munged",
            f"--key-file={key}",
            f"--socket={self.folder}/run/munge.socket",
            f"--pid-file={self.folder}/run/munged.pid",
            f"--log-file={self.folder}/log/munged.log",
            f"--seed-file={self.folder}/run/munge.seed",
            "--num-threads=2",
        )
        self._daemon("slurmctld")
        self._daemon("slurmd")
        if not within(PATIENCE, lambda: ask("sinfo", "--noheader", "--format=%t") == "idle"):
            raise RuntimeError("the node does not become idle:\n" + self._log("slurmd"))

    def _daemon(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=SEARCH)
        assert program is not None  # `running` has checked it
        command = [program, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{name} does not start:\n{done.stdout}{self._log(name)}")

    def _log(self, name: str) -> str:
        path = self.folder / "log" / f"{name}.log"
        return path.read_text(encoding="utf-8")[-2000:] if path.exists() else ""

    def stop(self) -> None:
        """Cancel all jobs, end the daemons and remove their files."""
        with contextlib.suppress(subprocess.CalledProcessError):  # the controller may be gone
            ask("scancel", "--user=root")
            within(PATIENCE, lambda: not active())
        for name in DAEMONS:
            process = self._process(name)
            if process is not None:
                os.kill(process, signal.SIGTERM)
                if not within(PATIENCE, functools.partial(self._ended, name)):
                    os.kill(process, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        RESOURCES.unlink(missing_ok=True)
        CONFIGURATION.unlink(missing_ok=True)  # last, because this file names the folder that must be removed

    def _ended(self, name: str) -> bool:
        return self._process(name) is None

    def _process(self, name: str) -> int | None:
        """Return the process number of a daemon; None if it has ended.

        The number in the daemon's file may since have been given to another program.
        """
        try:
            number = int((self.folder / "run" / f"{name}.pid").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return number if number in processes(name) else None


def _configuration(folder: Path, host: str) -> str:
    """Return the text of ``slurm.conf``; all other settings have SLURM's defaults."""
    return f"""{MARK}{folder}
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
SlurmdPort=16818
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
# A requeued job waits until its old credential has expired, which takes two minutes by default.
AuthInfo=socket={folder}/run/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
# Without cgroups, the memory limit is checked once a second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SlurmdParameters=config_overrides
EnforcePartLimits=ALL
KillWait=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# Jobs start at once, not at the next scheduling interval of a busy cluster.
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,sched_interval=2,bf_interval=2
SchedulerType=sched/backfill
MinJobAge=3600
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 Gres=gpu:{GPUS} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def ask(*command: str) -> str:
    """Run one of SLURM's commands, and return its output without surrounding blanks.

    Raises:
        subprocess.CalledProcessError: if the command fails.
    """
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def active() -> list[str]:
    """Return the numbers of all jobs that have not ended."""
    return ask("squeue", "--noheader", "--format=%A").split()


def jobs() -> dict[str, dict[str, str]]:
    """Return the fields of all jobs in ``scontrol``, including ended jobs: {job id: {field: text}}."""
    found = {}
    for line in ask("scontrol", "show", "jobs", "--oneliner").splitlines():
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "JobId" in fields:
            found[fields["JobId"]] = fields
    return found


def processes(name: str) -> set[int]:
    """Return the numbers of the running processes with a name on this machine."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # the process may end at this moment
            number, _, rest = path.read_text(encoding="utf-8").partition(" (")
            called, _, state = rest.rpartition(") ")
            # In a container no process may wait for daemons that have ended, so that they stay as zombies.
            if called == name and not state.startswith("Z"):
                found.add(int(number))
    return found


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait for a condition; return whether it holds within a time in seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


if __name__ == "__main__":
    try:
        check()
        install()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
