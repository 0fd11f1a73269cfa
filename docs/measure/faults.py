"""Disturb `dvc repro` and check that it recovers: `python -m docs.measure.faults [--kills N] [--only FAULT ...]`.

Builds a small contest that uses every stage (tests/test_end_to_end.py) and runs it once undisturbed. Then N times it
starts `dvc repro` and kills it at a random moment. Each time a run ends by itself, dvc.lock and every output must have
the bytes of the undisturbed run, and nothing may be left: no state, no temporary file, no process. Then everything is
removed and the next round begins. Other faults follow, each in a round of its own: `FAULTS`. Those that need mounts run
in a mount namespace of their own and are skipped where `unshare` is not allowed.

Trainings in the copy save their state every 0.1 s instead of 10 s, because an epoch takes a tenth of a second there.
A kill is counted only if it met a living process: there may be no stage or no worker at that moment. `--minutes` ends
the kills early. The last line is the number of failures.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import yaml

from podium.core import cli
from tests.test_end_to_end import PROJECT, write_contest, write_project

AS_MAKE = "python -m stages.check settings && exec dvc repro"
EPOCHS = 20
HANGS = 60.0  # seconds after which a disturbed run counts as hanging
SURVIVES = 5.0  # seconds after which a run has survived the end of a worker
SHOWN = 10  # kills between two lines of progress
ENDS = 20.0  # seconds that its processes have to end
YEAR = 365 * 86400.0
SAVED_OFTEN = ("SECONDS_BETWEEN = 10.0", "SECONDS_BETWEEN = 0.1")
NO_MEMORY = """
import resource, sys
from podium.core import cli
from podium.training import trainer
from stages import pretrain
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 2**20 * int(sys.argv.pop())
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
cli.run(pretrain.main)
"""


class Repository:
    """A repository with the contest; its processes are known by a word in their environment."""

    def __init__(self, top: Path) -> None:
        self.root, self.temporary, self.token = top / "repo", top / "tmp", top.name
        for folder in (self.root, self.temporary):
            folder.mkdir(parents=True)
        write_project(self.root)
        write_contest(self.root / "data/contest")
        for name in (".gitignore", ".dvc/.gitignore"):
            shutil.copy(PROJECT / name, self.root / name)
        resume = self.root / "podium/training/resume.py"
        text = resume.read_text(encoding="utf-8")
        assert SAVED_OFTEN[0] in text
        resume.write_text(text.replace(*SAVED_OFTEN), encoding="utf-8")
        self.set_epochs(EPOCHS)
        identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.invalid")
        for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "start")):
            subprocess.run(("git", *words), cwd=self.root, check=True)

    def set_epochs(self, epochs: int) -> None:
        """Set the epochs of both phases."""
        path = self.root / "params.yaml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        for phase in ("pretrain", "finetune"):
            values["members"]["a"][phase]["epochs"] = epochs
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command, by default what `make` runs, as the first process of a group of its own."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PODIUM_WORKERS": "2",
            "PODIUM_PROGRESS": "0",
            "DVC_NO_ANALYTICS": "1",
            "PODIUM_FAULTS": self.token,
            "TMPDIR": str(self.temporary),
            "PYTHONDONTWRITEBYTECODE": "",  # or each process compiles the code again
        }
        self.output = (self.root.parent / "output.txt").open("w+", encoding="utf-8")
        return subprocess.Popen(
            command or ("sh", "-c", AS_MAKE),
            cwd=self.root,
            env=environment,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command to its end; return its status and what it printed."""
        status = self.start(*command).wait()
        return status, self.printed()

    def printed(self) -> str:
        """Return what the last command printed."""
        self.output.seek(0)
        return self.output.read()

    def digests(self) -> dict[str, str]:
        """Return the hashes of all outputs, and dvc.lock, in which the order of the stages does not count."""
        tops = [self.root / name for name in ("data", "models", "metrics")]
        files = [file for top in tops for file in top.rglob("*") if file.is_file() and file.name != ".gitignore"]
        lock = yaml.safe_load((self.root / "dvc.lock").read_text(encoding="utf-8"))
        return {"dvc.lock": json.dumps(lock, sort_keys=True)} | {
            file.relative_to(self.root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
        }

    def processes(self) -> list[psutil.Process]:
        """Return the living processes that this repository has started."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PODIUM_FAULTS") == self.token and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def leftovers(self) -> list[str]:
        """Return the files of states, and temporary files outside TMPDIR."""
        files = [path for path in self.root.rglob("*") if path.is_file() and ".git" not in path.parts]
        return [
            path.relative_to(self.root).as_posix() for path in files if ".resume" in path.parts or path.suffix == ".tmp"
        ]

    def clean(self) -> None:
        """Go back to the beginning: no outputs, no lock, no cache."""
        for name in ("dvc.lock", "models", "metrics", "logs", ".resume", ".dvc/cache", ".dvc/tmp"):
            path = self.root / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        for path in (self.root / "data").iterdir():
            if path.name != "contest":
                shutil.rmtree(path)


class Check:
    """Compares a repository with the undisturbed run and counts what is wrong."""

    def __init__(self, repository: Repository) -> None:
        self.repository, self.failures = repository, 0
        status, printed = repository.run()
        if status:
            raise SystemExit(f"the undisturbed run fails:\n{printed}")
        self.wanted = repository.digests()
        self.fail_if(repository.leftovers(), "the undisturbed run leaves")

    def fail_if(self, wrong: object, what: str) -> None:
        """Count and print a failure."""
        if wrong:
            self.failures += 1
            print(f"FAILED: {what} {wrong}", flush=True)

    def ended(self) -> None:
        """Check that all processes end; kill those that do not."""
        end = time.monotonic() + ENDS
        while (alive := self.repository.processes()) and time.monotonic() < end:
            time.sleep(0.2)
        self.fail_if([" ".join(process.cmdline()) for process in alive], "still running:")
        for process in alive:
            process.kill()

    def finished(self, status: int) -> None:
        """Check a run that ended by itself, then clean up."""
        if status:
            self.fail_if(self.repository.printed()[-3000:], f"an undisturbed run ends with {status}:")
        else:
            digests = self.repository.digests()
            differing = [name for name in {*self.wanted, *digests} if self.wanted.get(name) != digests.get(name)]
            self.fail_if(sorted(differing)[:20], "other bytes than the undisturbed run:")
            self.fail_if(self.repository.leftovers(), "left over:")
        self.repository.clean()


Targets = Callable[[psutil.Process], list[psutil.Process]]


def _group(dvc: psutil.Process) -> list[psutil.Process]:
    """Return all processes that a signal to the process group reaches."""
    return [dvc, *dvc.children(recursive=True)]


def _dvc(dvc: psutil.Process) -> list[psutil.Process]:
    return [dvc]


def _stages(dvc: psutil.Process) -> list[psutil.Process]:
    return list(dvc.children())


def _workers(dvc: psutil.Process) -> list[psutil.Process]:
    """Return the processes that stages have started, without those that only serve Python's multiprocessing."""
    found: list[psutil.Process] = [worker for stage in dvc.children() for worker in stage.children(recursive=True)]
    return [worker for worker in found if "resource_tracker" not in " ".join(worker.cmdline())]


KILLS: dict[str, tuple[signal.Signals, Targets]] = {
    "kill -9 of all processes": (signal.SIGKILL, _group),
    "kill -9 of DVC": (signal.SIGKILL, _dvc),
    "kill -9 of the stage": (signal.SIGKILL, _stages),
    "kill -9 of a worker": (signal.SIGKILL, _workers),
    "SIGTERM to all processes": (signal.SIGTERM, _group),
    "SIGTERM to DVC": (signal.SIGTERM, _dvc),
    "SIGTERM to the stage": (signal.SIGTERM, _stages),
    "Ctrl-C": (signal.SIGINT, _group),
    "closed terminal": (signal.SIGHUP, _group),
    "SIGUSR1 to all processes": (signal.SIGUSR1, _group),
}


class Kills:
    """Kills `dvc repro` at random moments and counts what that did.

    Args:
        check: of the repository.
        seconds: a kill comes at most so long after the start of a run, or after the kill before.
        seed: of the random moments and kinds.

    Attributes:
        done: number of kills by stage and kind.
        rounds: number of runs that ended by themselves, so that their outputs were compared.
        resumed: number of trainings that went on from a state.
        epochs: number of epochs that these did not train again.
        locks: number of broken dvc.lock that were replaced.
    """

    def __init__(self, check: Check, seconds: float, seed: int) -> None:
        self.check, self.seconds, self.rng = check, seconds, random.Random(seed)
        self.done: Counter[tuple[str, str]] = Counter()
        self.rounds = self.resumed = self.epochs = self.locks = 0
        self.killed = False  # the run that is under way

    def run(self, kills: int, minutes: float) -> None:
        """Kill until there were so many kills or the minutes are over, then let the last run finish."""
        end = time.monotonic() + 60 * minutes
        process = self.check.repository.start()
        while self.done.total() < kills and time.monotonic() < end:
            try:
                process.wait(self.rng.uniform(0.2, self.seconds))
            except subprocess.TimeoutExpired:
                self._kill(process)
            if process.poll() is not None:
                self._ended(process)
                process = self.check.repository.start()
        process.wait()
        self._ended(process)
        print(self, flush=True)

    def _kill(self, process: subprocess.Popen[str]) -> None:
        """Send a signal, and wait until the run has ended; a stage may survive the end of a worker."""
        kind = self.rng.choice(list(KILLS))
        number, targets = KILLS[kind]
        try:
            stage, found = _stage(process), targets(psutil.Process(process.pid))
            if targets is _group:
                os.killpg(process.pid, number)
            else:
                self.rng.choice(found).send_signal(number)
        except (psutil.Error, ProcessLookupError, IndexError):
            return  # the process to signal does not run now
        self.done[stage, kind] += 1
        if self.done.total() % SHOWN == 0:
            print(self, flush=True)
        try:
            process.wait(SURVIVES if targets is _workers else HANGS)
        except subprocess.TimeoutExpired:
            if targets is not _workers:
                self.check.fail_if(self.check.repository.printed()[-2000:], f"hangs after {kind}:")
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.killed = True

    def _ended(self, process: subprocess.Popen[str]) -> None:
        """Check what a run leaves, and the outputs of one that was not killed."""
        printed = self.check.repository.printed()
        epochs = [int(epoch) - 1 for epoch in re.findall(r": goes on from epoch (\d+) of \d+, where", printed)]
        self.resumed, self.epochs = self.resumed + len(epochs), self.epochs + sum(epochs)
        self.locks += printed.count("dvc.lock was cut off")
        self.check.ended()
        if not process.returncode:
            self.check.finished(0)
            self.rounds += 1
        elif not self.killed:
            self.check.finished(process.returncode)
        self.killed = False

    def __str__(self) -> str:
        """Return all counts."""
        by = [Counter[str](), Counter[str]()]
        for key, number in self.done.items():
            for counts, name in zip(by, key, strict=True):
                counts[name] += number
        stages, kinds = (", ".join(f"{name} {number}" for name, number in counts.most_common()) for counts in by)
        return (
            f"{self.done.total()} kills in {self.rounds} rounds; while running: {stages}; by: {kinds}\n"
            f"{self.resumed} trainings went on from a state and did not train {self.epochs} epochs again;"
            f" {self.locks} broken dvc.lock were replaced; {self.check.failures} failures"
        )


def _stage(process: subprocess.Popen[str]) -> str:
    """Return the name of the stage that runs, "DVC" between two stages."""
    try:
        words = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children()]
    except psutil.Error:
        words = []
    found = re.search(r"stages\.(\w+)", " ".join(words))
    return found.group(1) if found else "DVC"


def _recovers(check: Check, status: int, printed: str, expected: str = "") -> None:
    """Print how a faulty run ended; a run without the fault must then finish as if there had been none."""
    errors = [line for line in printed.splitlines() if "ERROR" in line or "No space" in line]
    print(f"  status {status}: {errors[0][:300] if errors else 'no error'}", flush=True)
    if expected:
        check.fail_if("" if re.search(expected, printed) else printed[-2000:], f"no message with {expected}:")
    check.ended()
    check.finished(check.repository.run()[0])


def _in_namespace(check: Check, *mounts: str) -> tuple[int, str] | None:
    """Run `dvc repro` after mounts that no other process sees; None where that is not allowed."""
    if subprocess.run(("unshare", "-m", "true"), capture_output=True, check=False).returncode:
        print("  skipped: unshare -m is not allowed here", flush=True)
        return None
    return check.repository.run("unshare", "-m", "sh", "-c", " && ".join([*mounts, "exec dvc repro"]))


def _mounted(check: Check, expected: str, *mounts: str) -> None:
    ended = _in_namespace(check, *mounts)
    if ended is not None:
        _recovers(check, *ended, expected)


def _disk_full(check: Check) -> None:
    for folder in ("models", "data/pretrain", ".resume"):
        (check.repository.root / folder).mkdir(parents=True, exist_ok=True)
        expected = "No space left" if folder != "data/pretrain" else "No space left|Errno 28"
        _mounted(check, expected, f"mount -t tmpfs -o size=64k tmpfs {folder}")


def _read_only_cache(check: Check) -> None:
    (check.repository.root / ".dvc/cache").mkdir(parents=True, exist_ok=True)
    bind = "mount --bind .dvc/cache .dvc/cache"
    _mounted(check, "[Rr]ead-only", bind, "mount -o remount,ro,bind .dvc/cache")


def _small_shm(check: Check) -> None:
    _mounted(check, "", "mount -t tmpfs -o size=16k tmpfs /dev/shm")


def _damaged_cache(check: Check) -> None:
    root = check.repository.root
    check.fail_if(check.repository.run()[0], "a run ends with")
    files = [path for path in (root / ".dvc/cache/files").rglob("*") if path.is_file()]
    damaged = max(files, key=lambda path: path.stat().st_size)
    damaged.chmod(0o644)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for name in ("models", "data/prepare", "data/infer"):
        shutil.rmtree(root / name)
    _recovers(check, *check.repository.run())


def _two_at_once(check: Check) -> None:
    first, second = check.repository.start(), check.repository.start()
    statuses = sorted((first.wait(), second.wait()))
    _recovers(check, statuses[-1], check.repository.printed())


def _clock(check: Check) -> None:
    """Set the times of all files a year ahead or back in the middle of a run."""
    process = check.repository.start()
    time.sleep(40)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    for number, path in enumerate(sorted(check.repository.root.rglob("*"))):
        if path.is_file() and ".git" not in path.parts:
            moment = time.time() + (YEAR if number % 2 else -YEAR)
            os.utime(path, (moment, moment))
    _recovers(check, process.returncode, "")


def _no_memory(check: Check) -> None:
    check.repository.run("dvc", "repro", "weights@a", "split", "probe@a")
    command = (sys.executable, "-c", NO_MEMORY, "a", "0", "1")
    _recovers(check, *check.repository.run(*command), "batch_size")


FAULTS: dict[str, Callable[[Check], None]] = {
    "disk_full": _disk_full,
    "read_only_cache": _read_only_cache,
    "damaged_cache": _damaged_cache,
    "two_at_once": _two_at_once,
    "clock": _clock,
    "small_shm": _small_shm,
    "no_memory": _no_memory,
}


def main(*words: str) -> None:
    """Run the faults and print what failed."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.faults", description="Kills and other faults.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20, help="a kill comes at most so long after the start")
    parser.add_argument("--minutes", type=float, default=90, help="for the kills; the others take 20 more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=("kills", *FAULTS), default=["kills", *FAULTS])
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        check = Check(Repository(Path(folder)))
        check.repository.clean()
        for name in asked.only:
            print(name, flush=True)
            started = time.monotonic()
            if name == "kills":
                Kills(check, asked.seconds, asked.seed).run(asked.kills, asked.minutes)
            else:
                FAULTS[name](check)
            print(f"  {time.monotonic() - started:.0f} s", flush=True)
    print(f"{check.failures} failures")
    if check.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    cli.run(main)
