"""A real SLURM on this machine, without systemd and cgroups: three nodes, two of them with a GPU to count.

`python -m tests.slurm.cluster start FOLDER` starts it, `... stop FOLDER` ends exactly what was started. It needs root
and Debian's slurmctld, slurmd, slurmdbd, slurm-client, munge and mariadb-server.
"""

import argparse
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

NODES = ("n1", "n2", "n3")
GPU_NODES = ("n2", "n3")
PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch")
# The job steps of Snakemake's plugin drop SLURM_CONF, so that the files must lie where SLURM looks by itself.
ETC = Path("/etc/slurm")
CONFIGURATION = ("slurm.conf", "gres.conf", "slurmdbd.conf")
PORT = 26800
HOST = socket.gethostname().split(".")[0]


def missing_programs() -> list[str]:
    """What is not installed here."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return [name for name in PROGRAMS if not shutil.which(name, path=path)]


class Cluster:
    """SLURM's daemons, with all their state in one folder.

    Attributes:
        folder: holds configuration, state, logs and the numbers of the processes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def write_configuration(self) -> None:
        """Writes slurm.conf, gres.conf and slurmdbd.conf, and links them into /etc/slurm."""
        socket_file = self.folder / "munge.socket"
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": f"{HOST}(127.0.0.1)",
            "SlurmctldPort": PORT,
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={socket_file}",
            "StateSaveLocation": self.folder / "state",
            "SlurmdSpoolDir": self.folder / "spool-%n",
            "SlurmctldPidFile": self.folder / "slurmctld.pid",
            "SlurmdPidFile": self.folder / "slurmd-%n.pid",
            "ProctrackType": "proctrack/linuxproc",  # no cgroups
            "TaskPlugin": "task/none",
            "MpiDefault": "none",
            "SwitchType": "switch/none",
            "JobAcctGatherType": "jobacct_gather/linux",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SlurmdParameters": "config_overrides",  # nodes say they are larger than this machine
            "GresTypes": "gpu",
            "EnforcePartLimits": "ALL",
            "SchedulerParameters": "bf_interval=2,sched_interval=2,sched_min_interval=0",
            "SlurmdTimeout": 10,  # a lost node is noticed soon
            "KillWait": 5,
            "ReturnToService": 2,
            "MinJobAge": 300,
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": PORT + 1,
            "AccountingStoragePass": socket_file,
            "AccountingStorageTRES": "gres/gpu",
            "AccountingStoreFlags": "job_comment",
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        for number, node in enumerate(NODES):
            gres = " Gres=gpu:1" if node in GPU_NODES else ""
            address = f"NodeHostname={HOST} NodeAddr=127.0.0.1 Port={PORT + 10 + number}"
            lines.append(f"NodeName={node} {address} CPUs=4 RealMemory=16000{gres} State=UNKNOWN")
        lines.append(f"PartitionName=cpu Nodes={','.join(NODES)} Default=YES MaxTime=1-0 State=UP")
        lines.append(f"PartitionName=gpu Nodes={','.join(GPU_NODES)} MaxTime=1-0 State=UP")
        self._write("slurm.conf", lines)
        self._write("gres.conf", [f"NodeName={node} Name=gpu File=/dev/null" for node in GPU_NODES])
        accounting = {
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={socket_file}",
            "DbdHost": HOST,
            "DbdAddr": "127.0.0.1",
            "DbdPort": PORT + 1,
            "SlurmUser": "root",
            "PidFile": self.folder / "slurmdbd.pid",
            "StorageType": "accounting_storage/mysql",
            "StorageHost": "127.0.0.1",
            "StoragePort": PORT + 2,
            "StorageUser": "slurm",
            "StoragePass": "slurm",
            "StorageLoc": "accounting",
        }
        self._write("slurmdbd.conf", [f"{key}={value}" for key, value in accounting.items()])
        (self.folder / "slurmdbd.conf").chmod(0o600)
        ETC.mkdir(exist_ok=True)
        for name in CONFIGURATION:
            (ETC / name).symlink_to(self.folder / name)

    def _write(self, name: str, lines: list[str]) -> None:
        (self.folder / name).write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Starts all daemons, each when the one before answers."""
        if missing := missing_programs():
            raise SystemExit(f"{', '.join(missing)} not found: .ci/run shows the packages")
        if foreign := [name for name in CONFIGURATION if os.path.lexists(ETC / name)]:
            raise SystemExit(f"{ETC / foreign[0]} exists: this machine has a SLURM, or a cluster that was not stopped")
        (self.folder / "state").mkdir(parents=True)
        self.folder.chmod(0o755)
        self._start_munge()
        self.write_configuration()
        self._start_database()
        self._daemon("slurmdbd", "slurmdbd", "-D")
        wait_for("slurmdbd", lambda: answers("sacctmgr", "-n", "list", "cluster"))
        answers("sacctmgr", "-i", "add", "cluster", "test")
        answers("sacctmgr", "-i", "add", "account", "research")
        answers("sacctmgr", "-i", "add", "user", "root", "account=research")
        self._daemon("slurmctld", "slurmctld", "-D")
        wait_for("slurmctld", lambda: answers("scontrol", "ping"))
        for node in NODES:
            self.start_node(node)
        wait_for(
            "all nodes", lambda: ask("sinfo", "-h", "-N", "-p", "cpu", "-o", "%T").split() == ["idle"] * len(NODES)
        )

    def _start_munge(self) -> None:
        key = self.folder / "munge" / "key"
        key.parent.mkdir(mode=0o700)
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        socket_file = self.folder / "munge.socket"
        files = [f"--{name}-file={key.parent / name}" for name in ("key", "pid", "seed", "log")]
        self._daemon("munged", "munged", "--foreground", f"--socket={socket_file}", *files)
        wait_for("munged", lambda: answers("munge", "--socket", str(socket_file), "--no-input"))

    def _start_database(self) -> None:
        data, socket_file = self.folder / "database", self.folder / "database.socket"
        install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
        options = [f"--datadir={data}", f"--socket={socket_file}", f"--pid-file={data}.pid", f"--port={PORT + 2}"]
        options += ["--user=root", "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-lock-wait-timeout=900"]
        self._daemon("mariadbd", "mariadbd", "--no-defaults", *options)
        client = ["mariadb", "--no-defaults", "--user=root", f"--socket={socket_file}", "--execute"]
        wait_for("mariadbd", lambda: answers(*client, "SELECT 1"))
        user = "slurm@'127.0.0.1'"
        grant = f"CREATE USER {user} IDENTIFIED BY 'slurm'; GRANT ALL ON accounting.* TO {user}"
        subprocess.run([*client, f"CREATE DATABASE accounting; {grant}"], check=True)

    def start_node(self, node: str) -> None:
        """Starts a node, for the first time or again."""
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        self._daemon(f"slurmd-{node}", "slurmd", "-D", "-N", node)

    def lose_node(self, node: str) -> None:
        """Kills a node and all that runs on it, as a power cut does."""
        (slurmd,) = [process for name, process in self._started() if name == f"slurmd-{node}"]
        jobs = ask("squeue", "-h", "-w", node, "-o", "%i").split()
        victims = [slurmd]
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if any(title.startswith(f"slurmstepd: [{job}.") for job in jobs):
                    victims += [process, *process.children(recursive=True)]
        for process in victims:
            with suppress(psutil.Error):
                process.kill()

    def stop(self) -> None:
        """Ends the jobs and exactly the processes that were started here."""
        if not self._pids.exists():
            return
        if self._is_ours("slurm.conf") and (jobs := ask("squeue", "-h", "-o", "%A").split()):
            answers("scancel", *jobs)
            time.sleep(2)
        for _, process in reversed(self._started()):
            process.terminate()
            if psutil.wait_procs([process], timeout=10)[1]:
                process.kill()
        for name in CONFIGURATION:
            if self._is_ours(name):
                (ETC / name).unlink()
        self._pids.unlink()

    def _is_ours(self, name: str) -> bool:
        link = ETC / name
        return link.is_symlink() and link.readlink() == self.folder / name

    @property
    def _pids(self) -> Path:
        return self.folder / "pids"

    def _daemon(self, name: str, *command: str) -> None:
        path = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}  # Debian's daemons
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment() | path, start_new_session=True
            )
        with self._pids.open("a") as pids:
            pids.write(f"{name} {process.pid} {psutil.Process(process.pid).create_time()}\n")

    def _started(self) -> list[tuple[str, psutil.Process]]:
        """The daemons that still live; a number that another process has got since is left out."""
        found = []
        for line in self._pids.read_text().splitlines():
            name, pid, created = line.split()
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(int(pid))
                if abs(process.create_time() - float(created)) < 2:  # the clock may have been set meanwhile
                    found.append((name, process))
        return found


def ask(*command: str) -> str:
    """What a command prints; nothing where it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment()).stdout


def answers(*command: str) -> bool:
    """Whether a command succeeds."""
    return subprocess.run(command, capture_output=True, check=False, timeout=30, env=environment()).returncode == 0


def environment() -> dict[str, str]:
    """Without what would lead to another SLURM."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}


def wait_for(what: str, ready: Callable[[], object], timeout: float = 60) -> None:
    """Waits until ``ready``.

    Raises:
        TimeoutError: it did not come.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(0.1)


def main() -> None:
    """Starts or stops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["start", "stop"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    cluster = Cluster(options.folder)
    if options.what == "start":
        cluster.start()
        print(ask("sinfo"))
    else:
        cluster.stop()


if __name__ == "__main__":
    main()
