"""Disturb `dvc repro` and check that it recovers: `python -m docs.measure.faults [--kills N] [--only FAULT ...]`.

Builds a small contest that uses every stage (tests/test_end_to_end.py) and runs it once undisturbed, with a clock for
each stage. In the rounds that follow a coin decides at each stage that begins whether it is killed, at a random moment
of its time. `dvc repro` follows, in which the same stage may be killed again. When a run ends by itself, dvc.lock and
every output must have the bytes of the undisturbed run, and nothing may be left: no state, no temporary file, no
process. Then everything is removed and the next round begins. Each run has worker processes or not, at random.

Other faults follow: `FAULTS`. Most disturb one training of the finished contest, `FORCED`, and `dvc repro` must end in
the same bytes. Those that need mounts run in a mount namespace of their own and are skipped where `unshare` is not
allowed.

Before each `dvc repro` broken locks are moved away and empty folders made, as `make` does. Trainings in the copy save
their state every 0.1 s instead of 10 s, because an epoch takes a tenth of a second there. A kill is counted only if it
met a living process.
`--minutes` ends the kills early. With `--forks` DVC is a fork of this process, and a stage is a fork of DVC: they do
the same, but import nothing again, so that kills come faster and meet work instead of imports. The last line is the
number of failures. Under nohup, what the script starts ignores no signal all the same.
"""

import argparse
import contextlib
import gc
import hashlib
import json
import math
import os
import random
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import psutil
import yaml

from podium.core import cli, interrupts
from podium.preflight import broken_locks, pruning
from tests import quick_dvc
from tests.test_end_to_end import PROJECT, write_contest, write_project

REPRO = ("dvc", "repro")
FORCED = (*REPRO, "--single-item", "--force", "pretrain@a-0")
EPOCHS = 40
TRAININGS = ("pretrain", "finetune", "fixres", "pseudo", "distill")
GROUPS = {  # stages of a column of the table; the others are of the last one
    "start of a run": ("start",),
    "data": ("check", "prepare", "label", "analyze", "picture", "split", "audit"),
    "weights, probes": ("weights", "probe", "joint_probe"),
    "trainings": TRAININGS,
    "predictions": ("infer", "infer_pretrain", "infer_fixres", "infer_pseudo", "external"),
    "blend, reports": (),
}
START = "start"  # what DVC does before its first stage
TICK = 0.05  # seconds between two looks at the output
KILLED = 0.7  # probability for a stage that begins
KILLED_AT_START = 0.05  # the same, for each start of `dvc repro`
HANGS = 60.0  # seconds after which a disturbed run counts as hanging
SURVIVES = 5.0  # seconds after which a run has survived the end of a worker
LATE = 1.0  # seconds that a stage has to end after a signal to it alone; if its work was done, the run goes on
ENDS = 30.0  # seconds that its processes have to end
YEAR = 365 * 86400.0
SAVED_OFTEN = ("SECONDS_BETWEEN = 10.0", "SECONDS_BETWEEN = 0.1")
NO_MEMORY = """
import resource, sys
from podium.core import cli
from podium.training import trainer
from stages import pretrain

fit, more = trainer.Trainer._fit, 2**20 * int(sys.argv.pop())

def limited(*words):
    limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return fit(*words)

trainer.Trainer._fit = limited
cli.run(pretrain.main)
"""


class Fork:
    """A function that runs in a fork of this process; it has what subprocess.Popen has."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.returncode: int | None = None
        sys.stdout.flush()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.SIGNALS)  # errors raised in a fork's hooks are lost
        self.pid = os.fork()
        if self.pid == 0:
            for number in interrupts.SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            quick_dvc.leave(function)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def poll(self) -> int | None:
        """Return the status if the fork has ended."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = math.inf) -> int:
        """Wait for the end and return the status, or raise TimeoutExpired."""
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("fork", timeout)
            time.sleep(TICK / 5)
        return status

    communicate = wait


Process = subprocess.Popen[str] | Fork


def forked_dvc(words: Sequence[str], root: Path, environment: dict[str, str], output: int) -> Fork:
    """Run DVC in a fork of this process, which forgets this project's modules; DVC's stages run in forks of it."""

    def run_stage(command: Sequence[str], *, cwd: str, env: dict[str, str], **_: object) -> Fork:
        def run() -> None:
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(env)
            sys.path.insert(0, cwd)
            python, *sys.argv = shlex.split(command[-1])  # python -m stages.<name> <words>
            assert (python, sys.argv.pop(0)) == ("python", "-m"), command
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

        return Fork(run)

    def run_dvc() -> int:
        from dvc.cli import main as dvc_main
        from dvc.stage import run

        os.setsid()
        tempfile.tempdir = None  # or TMPDIR is not looked up again
        os.chdir(root)
        os.environ.clear()
        os.environ.update(environment)
        for stream in (1, 2):
            os.dup2(output, stream)
        for name in [name for name in sys.modules if name.split(".")[0] in ("podium", "stages", "tests", "tools")]:
            del sys.modules[name]
        run.subprocess = SimpleNamespace(Popen=run_stage)
        return int(dvc_main(list(words)))

    return Fork(run_dvc)


def import_for_forks() -> None:
    """Import what forks need, and let DVC read and write dvc.lock faster (tests/quick_dvc.py)."""
    for name in (*quick_dvc.LATE, *quick_dvc.BY_STAGES):
        import_module(name)
    from dvc.stage import run

    kept = run._run
    quick_dvc.quicken()
    run._run = kept  # with its handling of Ctrl-C
    gc.freeze()


class Repository:
    """A repository with the contest.

    Args:
        top: folder for it and for temporary files.
        forks: DVC and its stages are forks.

    Attributes:
        sessions: ids of the sessions of its processes.
        locks: number of broken dvc.lock that were moved away.
        workers: number of worker processes of a stage.
    """

    def __init__(self, top: Path, *, forks: bool) -> None:
        self.root, self.temporary, self.forks = top / "repo", top / "tmp", forks
        self.sessions: set[int] = set()
        self.locks = self.workers = 0
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
        self.prolong()
        identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.invalid")
        for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "start")):
            subprocess.run(("git", *words), cwd=self.root, check=True)

    def prolong(self) -> None:
        """Add the optional phases, and set the epochs of all phases; `distill` refuses `external`, so that goes."""
        path = self.root / "params.yaml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        member, fixres = values["members"]["a"], values["fixres"]["a"]
        values["external"] = {}
        values["pseudo"], values["distill"] = ({"a": {"batch_size": 4, "lr": 0.01}} for _ in range(2))
        for phase in (member["pretrain"], member["finetune"], fixres, values["pseudo"]["a"], values["distill"]["a"]):
            phase["epochs"] = EPOCHS
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def start(self, *command: str) -> Process:
        """Start a command, by default `dvc repro`, as the first process of a session of its own."""
        self.locks += len(list(broken_locks.remove(self.root)))
        pruning.make_folders(self.root)
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PODIUM_WORKERS": str(self.workers),
            "PODIUM_PROGRESS": "0",
            "PYTHONUNBUFFERED": "1",  # so that DVC's lines come as the stages begin
            "DVC_NO_ANALYTICS": "1",
            "TMPDIR": str(self.temporary),
            "PYTHONDONTWRITEBYTECODE": "",  # or each process compiles the code again
        }
        self.output = (self.root.parent / "output.txt").open("w+", encoding="utf-8")
        command = command or REPRO
        process = self._popen(command, environment)
        self.sessions.add(process.pid)
        return process

    def _popen(self, command: Sequence[str], environment: dict[str, str]) -> Process:
        if self.forks and command[0] == "dvc":
            return forked_dvc(command[1:], self.root, environment, self.output.fileno())
        return subprocess.Popen(
            command,
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

    def stages(self) -> list[str]:
        """Return the start of the last run and the stages that have begun in it, e.g. pretrain@a-0."""
        return [START, *re.findall(r"^Running stage '(.+)':", self.printed(), re.MULTILINE)]

    def begun(self, process: Process) -> Iterator[str]:
        """Yield each of `stages` as it begins, until the process has ended."""
        seen, runs = 0, True
        while runs:
            runs = process.poll() is None
            new = self.stages()[seen:]
            yield from new
            seen += len(new)
            time.sleep(TICK)

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
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) in self.sessions and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
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
    """Compares a repository with the undisturbed run and counts what is wrong.

    Args:
        repository: in which it runs.
        base: file for the undisturbed run's times and hashes; it is not run if the file exists.

    Attributes:
        seconds: of each stage in the undisturbed run, with what DVC does before the next one.
        failures: their number.
    """

    def __init__(self, repository: Repository, base: Path | None = None) -> None:
        self.repository, self.failures = repository, 0
        if base is None or not base.exists():
            self.seconds, self.wanted = self._undisturbed()
        else:
            self.seconds, self.wanted = json.loads(base.read_text(encoding="utf-8"))
        if base is not None and not base.exists():
            base.write_text(json.dumps([self.seconds, self.wanted]), encoding="utf-8")

    def _undisturbed(self) -> tuple[dict[str, float], dict[str, str]]:
        process = self.repository.start()
        times = [(stage, time.monotonic()) for stage in self.repository.begun(process)]
        if process.wait():
            raise SystemExit(f"the undisturbed run fails:\n{self.repository.printed()}")
        self.fail_if(self.repository.leftovers(), "the undisturbed run leaves")
        seconds = {one: end - begin for (one, begin), (_, end) in pairwise([*times, ("", time.monotonic())])}
        return seconds, self.repository.digests()

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
        self.repository.sessions.clear()

    def finished(self, status: int | None) -> None:
        """Check a run that ended by itself."""
        if status:
            self.fail_if(self.repository.printed()[-3000:], f"an undisturbed run ends with {status}:")
        else:
            digests = self.repository.digests()
            differing = [name for name in {*self.wanted, *digests} if self.wanted.get(name) != digests.get(name)]
            self.fail_if(sorted(differing)[:20], "other bytes than the undisturbed run:")
            self.fail_if(self.repository.leftovers(), "left over:")


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
    """Kills `dvc repro` at random moments of all stages and counts what that did.

    Args:
        check: of the repository.
        seed: of the random moments and kinds.

    Attributes:
        done: number of kills by kind and stage.
        rounds: number of runs that ended by themselves, so that their outputs were compared.
        resumed: number of trainings that went on from a state, by the kind of kill and the stage.
        epochs: number of epochs that these did not train again.
        survived: number of runs that went on after a worker was killed.
        late: number of signals to a stage that had done its work, so that the run went on; they count as no kill.
    """

    def __init__(self, check: Check, seed: int) -> None:
        self.check, self.rng = check, random.Random(seed)
        self.done: Counter[tuple[str, str]] = Counter()
        self.resumed: Counter[tuple[str, str]] = Counter()
        self.rounds = self.epochs = self.survived = self.late = 0
        self.killed = ""  # the kind of the last kill, in the run that is under way
        self.before = ""  # the kind of the last kill that met a stage, in an earlier run

    def run(self, kills: int, minutes: float) -> None:
        """Kill until there were so many kills or the minutes are over, then finish the last run; print the counts."""
        try:
            self._run(kills, minutes)
        finally:
            print(self, flush=True)

    def _run(self, kills: int, minutes: float) -> None:
        end, finished = time.monotonic() + 60 * minutes, True
        while not finished or (self.done.total() < kills and time.monotonic() < end):
            if finished:
                self.check.repository.clean()
            self.check.repository.workers = self.rng.choice((0, 2))
            process = self.check.repository.start()
            for stage in self.check.repository.begun(process):
                dies = self.rng.random() < (KILLED_AT_START if stage == START else KILLED)
                if dies and self.done.total() < kills and time.monotonic() < end:
                    time.sleep(self.rng.uniform(0, self.check.seconds[stage]))
                    self._kill(process)
            finished = self._ended(process)

    def _kill(self, process: Process) -> None:
        """Send a signal, and wait until the run has ended; a stage may survive the end of a worker."""
        try:
            found = {kind: targets(psutil.Process(process.pid)) for kind, (_, targets) in KILLS.items()}
            kind = self.rng.choice([kind for kind, processes in found.items() if processes])
            number, targets = KILLS[kind]
            if targets is not _group:
                target = self.rng.choice(found[kind])
                target.suspend()  # or it may end between these lines
                if target.status() == psutil.STATUS_ZOMBIE:
                    return
                target.send_signal(number)
            stage, begin = self.check.repository.stages()[-1], time.monotonic()
            if targets is _group:
                os.killpg(process.pid, number)
            else:
                target.resume()
        except (psutil.Error, ProcessLookupError):
            return  # the process to signal does not run now
        if targets is _stages and self._comes_late(target, process):
            self.late += 1
            return
        self.done[kind, stage] += 1
        self.killed = kind
        try:
            process.wait(SURVIVES if targets is _workers else HANGS)
        except subprocess.TimeoutExpired:
            if targets is _workers:
                self.survived += 1
            else:
                self.check.fail_if(self.check.repository.printed()[-2000:], f"hangs after {kind}:")
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        ended = f"status {process.returncode} after {time.monotonic() - begin:.1f} s"
        print(f"{self.done.total()}: {stage}, {kind}: {ended}; {self.check.failures} failures", flush=True)

    def _comes_late(self, stage: psutil.Process, process: Process) -> bool:
        """Say whether a signalled stage ended at once and DVC began the next one, because its work was done."""
        n_begun = len(self.check.repository.stages())
        psutil.wait_procs([stage], LATE)
        if stage.is_running() and stage.status() != psutil.STATUS_ZOMBIE:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SURVIVES)
        return process.poll() is None and len(self.check.repository.stages()) > n_begun

    def _ended(self, process: Process) -> bool:
        """Check what a run leaves, and the outputs of one that was not killed; say whether it ended by itself."""
        printed, stages = self.check.repository.printed(), self.check.repository.stages()
        for epoch in re.findall(r": goes on from epoch (\d+) of \d+, where", printed):
            self.resumed[self.before, stages[1]] += 1
            self.epochs += int(epoch) - 1
        self.check.ended()
        finished = not process.returncode or not self.killed
        if finished:
            self.check.finished(process.returncode)
            self.rounds += 1
        if self.killed and stages[1:]:
            self.before = self.killed
        self.killed = ""
        return finished

    def __str__(self) -> str:
        """Return all counts, as tables in Markdown."""
        groups = [by_group(counts) for counts in (self.done, self.resumed)]
        lines = [f"| kind | {' | '.join(GROUPS)} | all | trainings resumed |", f"|{'---|' * (len(GROUPS) + 3)}"]
        for kind in [*KILLS, "all"]:
            kills, resumed = ({key: n for key, n in group.items() if kind in (key[0], "all")} for group in groups)
            cells = [sum(n for (_, name), n in kills.items() if name == group) for group in GROUPS]
            lines.append(f"| {kind} | {' | '.join(map(str, [*cells, sum(cells), sum(resumed.values())]))} |")
        stages = Counter[str]()
        for (_, stage), number in self.done.items():
            stages[stage] += number
        return (
            "\n".join(lines)
            + f"\nby stage: {', '.join(f'{name} {number}' for name, number in sorted(stages.items()))}\n"
            f"{self.done.total()} kills in {self.rounds} rounds; {self.resumed.total()} trainings went on from a state"
            f" and did not train {self.epochs} epochs again; {self.survived} runs went on without a worker;"
            f" {self.late} signals met a stage that had done its work;"
            f" {self.check.repository.locks} broken dvc.lock were replaced; {self.check.failures} failures"
        )


def by_group(counts: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Add up counts by kind and stage, e.g. pretrain@a-0, to those by kind and group of stages."""
    groups = {stage: group for group, stages in GROUPS.items() for stage in stages}
    found: Counter[tuple[str, str]] = Counter()
    for (kind, stage), number in counts.items():
        found[kind, groups.get(stage.partition("@")[0], list(GROUPS)[-1])] += number
    return found


def _recovers(check: Check, status: int, printed: str, expected: str = "") -> None:
    """Print how a faulty run ended; the training and `dvc repro` must then end as if there had been no fault."""
    errors = [line for line in printed.splitlines() if re.search(expected or "ERROR", line)]
    print(f"  status {status}: {errors[0][:300] if errors else 'no error'}", flush=True)
    check.fail_if("" if errors or not expected else printed[-2000:], f"no message with {expected}:")
    check.ended()
    check.fail_if(check.repository.run(*FORCED)[0], "after the fault the training ends with")
    check.finished(check.repository.run()[0])


def _mounted(check: Check, expected: str, *commands: str) -> None:
    """Run `FORCED` after mounts that no other process sees, or skip the fault where that is not allowed."""
    if subprocess.run(("unshare", "-m", "true"), capture_output=True, check=False).returncode:
        print("  skipped: unshare -m is not allowed here", flush=True)
        return
    forced = " && ".join([*commands, f"exec {' '.join(FORCED)}"])
    _recovers(check, *check.repository.run("unshare", "-m", "sh", "-c", forced), expected)


def _disk_full(check: Check) -> None:
    for folder in ("models/pretrain", "data/pretrain", ".resume"):
        (check.repository.root / folder).mkdir(exist_ok=True)
        _mounted(check, "No space left|Errno 28", f"mount -t tmpfs -o size=16k tmpfs {folder}")


def _full_cache(check: Check) -> None:
    """Let DVC's cache become full in the middle of a file, and make room."""
    cache, fails = "tmpfs .dvc/cache", f"! {' '.join(FORCED)}"
    _mounted(check, "No space left", f"mount -t tmpfs -o size=16k {cache}", fails, f"mount -o remount,size=1g {cache}")


def _read_only_cache(check: Check) -> None:
    _mounted(check, "[Rr]ead-only", "mount -t tmpfs -o ro tmpfs .dvc/cache")


def _small_shm(check: Check) -> None:
    check.repository.workers = 2
    _mounted(check, "", "mount -t tmpfs -o size=16k tmpfs /dev/shm")


def _damaged_cache(check: Check) -> None:
    """Flip a bit of the largest file in the cache, and remove outputs so that DVC must read it."""
    root = check.repository.root
    damaged = max((root / ".dvc/cache/files").rglob("*"), key=lambda path: path.stat().st_size)
    damaged.chmod(0o644)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for name in ("models", "data/prepare", "data/infer"):
        shutil.rmtree(root / name)
    _recovers(check, *check.repository.run())
    check.fail_if(damaged.read_bytes() == content, "the damaged file stays in the cache:")


def _two_at_once(check: Check) -> None:
    first = check.repository.start(*FORCED)
    for stage in check.repository.begun(first):
        if stage != START:
            break
    second = check.repository.run()
    check.fail_if(first.wait(), "the first of two runs ends with")
    _recovers(check, *second, "[Ll]ock")


def _in_training(check: Check, number: signal.Signals, *command: str) -> tuple[int, str]:
    """Run a command, send a signal to its group once a training has saved a state; return what `run` returns."""
    process = check.repository.start(*command)
    while process.poll() is None and not list((check.repository.root / ".resume").rglob("*.state")):
        time.sleep(TICK)
    os.killpg(process.pid, number)
    return process.wait(), check.repository.printed()


def _nohup(check: Check) -> None:
    """Close the terminal of a run under nohup: it goes on."""
    status, printed = _in_training(check, signal.SIGHUP, "nohup", *FORCED)
    check.fail_if(status, "a run under nohup ends with")
    _recovers(check, status, printed)


def _clock(check: Check) -> None:
    """Set the times of all files a year ahead or back in the middle of a training."""
    ended = _in_training(check, signal.SIGTERM, *FORCED)
    for number, path in enumerate(sorted(check.repository.root.rglob("*"))):
        if path.is_file() and ".git" not in path.parts:
            moment = time.time() + (YEAR if number % 2 else -YEAR)
            os.utime(path, (moment, moment))
    _recovers(check, *ended, "SIGTERM")


def _no_memory(check: Check) -> None:
    _recovers(check, *check.repository.run(sys.executable, "-c", NO_MEMORY, "a", "0", "1"), "batch_size")


FAULTS: dict[str, Callable[[Check], None]] = {
    "disk_full": _disk_full,
    "full_cache": _full_cache,
    "read_only_cache": _read_only_cache,
    "damaged_cache": _damaged_cache,
    "two_at_once": _two_at_once,
    "clock": _clock,
    "nohup": _nohup,
    "small_shm": _small_shm,
    "no_memory": _no_memory,
}


def keep_from_children() -> None:
    """Ignore signals that are ignored (nohup, a shell's `&`) by handlers, which children do not inherit."""
    for number in interrupts.SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def main(*words: str) -> None:
    """Run the faults and print what failed."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.faults", description="Kills and other faults.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=90, help="for the kills; the others take some more")
    parser.add_argument("--forks", action="store_true", help="DVC and its stages are forks that import nothing again")
    parser.add_argument("--base", type=Path, help="file that keeps the undisturbed run for later calls with kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=("kills", *FAULTS), default=["kills", *FAULTS])
    asked = parser.parse_args(words)
    keep_from_children()
    with tempfile.TemporaryDirectory() as folder:
        if asked.forks:
            import_for_forks()
        repository = Repository(Path(folder), forks=asked.forks)
        try:
            check = Check(repository, asked.base)
            for name in asked.only:
                print(name, flush=True)
                started = time.monotonic()
                if name == "kills":
                    Kills(check, asked.seed).run(asked.kills, asked.minutes)
                else:
                    FAULTS[name](check)
                print(f"  {time.monotonic() - started:.0f} s", flush=True)
        finally:
            for process in repository.processes():
                process.kill()
    print(f"{check.failures} failures")
    if check.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    cli.run(main)
