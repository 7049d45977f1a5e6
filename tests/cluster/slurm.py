"""A real SLURM cluster of one node, for tests: started by root from Debian's packages, and stopped again.

Three daemons do (munged, slurmctld, slurmd), with a database, cgroups or systemd nowhere.  Its GPUs are
stand-ins that can be requested and not computed on.  Memory limits are enforced: usage is looked at once
a second, and a job above its limit is killed.

    python tests/cluster/slurm.py    # install what is missing, or say in one line why not
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dynamical_loss.errors import UserError

# Fixed, as the tools that a job starts do not see the variable SLURM_CONF.
CONFIGURATION = Path("/etc/slurm/slurm.conf")
RESOURCES = Path("/etc/slurm/gres.conf")
LOCK = Path("/etc/slurm/dynamical-loss-tests.lock")
MARK = "# A cluster for the tests of dynamical-loss, removed when they end; its state is in "
PREFIX = "dynamical-loss-slurm-"
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
DAEMONS = ("slurmd", "slurmctld", "munged")  # in the order in which they are stopped
GPUS = 2
PATIENCE = 60.0  # seconds that any change of state may take

# Debian keeps daemons where a plain user's PATH does not look.
SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def check():
    """Whether this machine may have the cluster.

    Raises:
        UserError: in one line that says what is in the way.
    """
    if os.geteuid() != 0:
        raise UserError("the SLURM tests start daemons and need root; run them in a container or a CI job")
    if _missing() and shutil.which("apt-get", path=SEARCH) is None:
        raise UserError(f"{_missing()[0]} is not installed, and apt-get, which would install it, is not here")
    if CONFIGURATION.exists():
        ours = CONFIGURATION.read_text(encoding="utf-8").startswith(MARK)
    else:  # a node may get its configuration from elsewhere
        ours = not RESOURCES.exists() and not processes("slurmd") and not processes("slurmctld")
    if not ours:
        raise UserError("this machine belongs to a real SLURM cluster; run the SLURM tests on another one")


def _missing():
    return [daemon for daemon in DAEMONS if shutil.which(daemon, path=SEARCH) is None]


def install():
    """Install Debian's packages unless they are there."""
    if _missing():
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=True, env=environment)
        command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *PACKAGES]
        subprocess.run(command, check=True, env=environment)


@contextlib.contextmanager
def running():
    """The cluster, for the length of the block.

    Raises:
        UserError: if this machine may not have it, or lacks a package.
        RuntimeError: if it does not start.
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


def _remove_stale():
    """Stop what a killed run has left; the lock says that it runs no more."""
    if CONFIGURATION.exists():
        folder = Path(CONFIGURATION.read_text(encoding="utf-8").splitlines()[0].removeprefix(MARK))
        if not folder.name.startswith(PREFIX) or not folder.is_absolute():
            raise UserError(f"{CONFIGURATION} names no folder of these tests; remove it")
        Cluster(folder).stop()


class Cluster:
    """One node with eight processors that need not exist, 16 GB and two stand-in GPUs.

    Attributes:
        folder: where all its files are, but for its configuration.
    """

    def __init__(self, folder):
        self.folder = folder

    def start(self):
        """Start the daemons and wait until the node is ready.

        Raises:
            RuntimeError: if a daemon fails, with the end of its log.
        """
        self.folder.chmod(0o755)  # munge insists that its socket can be reached
        for name in ("etc", "log", "run", "spool", "state"):
            (self.folder / name).mkdir()
        key = self.folder / "etc/munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        for number in range(GPUS):
            # SLURM wants a device for each GPU; these are further names of /dev/null.
            os.mknod(self.folder / f"run/gpu{number}", 0o20666, os.makedev(1, 3))
        host = socket.gethostname().split(".")[0]
        written = CONFIGURATION.with_suffix(".new")
        written.write_text(_configuration(self.folder, host), encoding="utf-8")
        written.replace(CONFIGURATION)  # whole or not at all: half of it would look like a real cluster's
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

    def _daemon(self, name, *arguments):
        command = [shutil.which(name, path=SEARCH), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{name} does not start:\n{done.stdout}{self._log(name)}")

    def _log(self, name):
        path = self.folder / "log" / f"{name}.log"
        return path.read_text(encoding="utf-8")[-2000:] if path.exists() else ""

    def stop(self):
        """Cancel all jobs, end the daemons and remove what they have written."""
        with contextlib.suppress(subprocess.CalledProcessError):  # the controller may be gone
            ask("scancel", "--user=root")
            within(PATIENCE, lambda: not active())
        for name in DAEMONS:
            process = self._process(name)
            if process is not None:
                os.kill(process, signal.SIGTERM)
                if not within(PATIENCE, lambda name=name: self._process(name) is None):
                    os.kill(process, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        RESOURCES.unlink(missing_ok=True)
        CONFIGURATION.unlink(missing_ok=True)  # last, as it says what is left to remove

    def _process(self, name):
        """A daemon's process, None if it has ended; its number may be another program's by now."""
        try:
            number = int((self.folder / "run" / f"{name}.pid").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return number if number in processes(name) else None


def _configuration(folder, host):
    """``slurm.conf``; what is not said has SLURM's defaults."""
    return f"""{MARK}{folder}
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
SlurmdPort=16818
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
# A requeued job waits until its old credential has expired: two minutes, if that were not said.
AuthInfo=socket={folder}/run/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
# Memory limits without cgroups: a look each second.
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
# Jobs start at once, not at the next of a busy cluster's rounds.
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,sched_interval=2,bf_interval=2
SchedulerType=sched/backfill
MinJobAge=3600
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 Gres=gpu:{GPUS} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def ask(*command):
    """Output of one of SLURM's commands, without blanks around it.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def active():
    """Numbers of all jobs that have not ended."""
    return ask("squeue", "--noheader", "--format=%A").split()


def jobs():
    """What ``scontrol`` knows of each job, ended ones included: {job id: {field: text}}."""
    found = {}
    for line in ask("scontrol", "show", "jobs", "--oneliner").splitlines():
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "JobId" in fields:
            found[fields["JobId"]] = fields
    return found


def processes(name):
    """Numbers of this machine's living processes of a name."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may end just now
            number, _, rest = path.read_text(encoding="utf-8").partition(" (")
            called, _, state = rest.rpartition(") ")
            # In a container nobody may collect daemons that have ended: they stay as zombies.
            if called == name and not state.startswith("Z"):
                found.add(int(number))
    return found


def within(seconds, condition):
    """Whether a condition holds within a time."""
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
