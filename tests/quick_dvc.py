"""DVC in less time, for tests: `python tests/quick_dvc.py repro ...`. test_end_to_end.py also runs DVC as it is.

- DVC reads and writes dvc.lock after each stage with ruamel.yaml's round trip, which keeps comments and is pure
  Python. dvc.lock has no comments, so here DVC writes JSON, which is YAML too, with the same content
  (test_quick_dvc.py). A text that was read or written before is not parsed again. DVC's file of locks is written in one
  piece.
- A folder of code is hashed once in a command, because no stage changes it. DVC looks once for the stage that writes
  an input.
- A stage runs in a fork of DVC's process instead of a new Python, which takes seconds to import torch.
- A Server has DVC imported and forks for each command. Its stages take no locks: it runs one command at a time.
"""

import atexit
import gc
import json
import os
import pickle
import re
import resource
import runpy
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, TextIO

import yaml

SERVE = "--serve"
LATE = (  # modules that DVC imports when it runs
    "configobj", "flatten_dict", "networkx", "pygit2", "rich.console", "ruamel.yaml", "dvc.cachemgr",
    "dvc.cli.parser", "dvc.data_cloud", "dvc.dirs", "dvc.utils.strictyaml", "dvc.repo.artifacts",
    "dvc.repo.datasets", "dvc.repo.index", "dvc.repo.plots", "dvc.repo.reproduce", "dvc.repo.experiments.show",
    "dvc.repo.experiments.executor.local", "dvc.repo.experiments.queue.celery",
    "dvc.repo.experiments.queue.tempdir", "dvc.repo.experiments.queue.workspace"
)  # fmt: skip

BY_STAGES = (  # modules that stages import, but for this project's
    *("albumentations", "cv2", "dvc.stage.run", "dvclive", "jinja2", "pandas", "pyarrow.parquet", "pydantic"),
    *("safetensors.torch", "scipy.sparse.csgraph", "scipy.special", "sklearn.linear_model", "sklearn.model_selection"),
    *("timm", "torch", "torch.optim.swa_utils", "torchvision.ops", "torchvision.transforms"),
)


def main() -> int:
    """Run DVC's command line, or the server, with the faster functions."""
    gc.set_threshold(100_000, 10, 10)
    sys.path.pop(0)  # the tests' folder
    quicken()
    gc.freeze()
    return serve() if sys.argv[1:] == [SERVE] else run_dvc(sys.argv[1:])


def quicken() -> None:
    """Replace DVC's slow functions."""
    from dvc.utils import serialize
    from dvc.utils.serialize import _yaml

    reader = Reader(_yaml.parse_yaml)
    _yaml.parse_yaml = serialize.parse_yaml = reader
    _yaml.parse_yaml_for_update = serialize.parse_yaml_for_update = reader
    _yaml._dump = reader.dump
    from dvc import output, rwlock  # after the above, because DVC's modules import these functions by name
    from dvc.fs.dvc import _DVCFileSystem
    from dvc.stage import run

    rwlock.json = SimpleNamespace(**{**vars(json), "dump": lambda data, stream: stream.write(json.dumps(data))})
    output.build = once(output.build, key_of_code)
    _DVCFileSystem.isdvc = once(_DVCFileSystem.isdvc, key_of_input)
    run._run = run_stage


def run_dvc(words: Sequence[str]) -> int:
    """Run DVC's command line; return its exit status."""
    from dvc.cli import main as dvc_main

    return int(dvc_main(list(words)))


class Reader:
    """Parses YAML, each text once; comments are lost.

    Args:
        parse: DVC's parse_yaml, for all files but dvc.lock.
    """

    def __init__(self, parse: Callable[..., Any]) -> None:
        self.parse = parse
        self.known: dict[str, bytes] = {}  # pickled, because DVC changes what it has read

    def __call__(self, text: str, path: str, typ: str = "safe") -> Any:
        if typ != "safe":
            return self.parse(text, path, typ)
        if (text := text.rstrip()) not in self.known:
            is_lock = path.endswith("dvc.lock")
            self.learn(text, yaml.load(text, LockLoader) if is_lock else self.parse(text, path))
        return pickle.loads(self.known[text])

    def learn(self, text: str, data: Any) -> None:
        """Keep what a text says."""
        self.known[text] = pickle.dumps(data)

    def dump(self, data: Any, stream: TextIO) -> None:
        """Write JSON, and keep it."""
        text = json.dumps(data)
        self.learn(text, json.loads(text))
        stream.write(text + "\n")


class LockLoader(yaml.CSafeLoader):
    """Reads YAML 1.2's floats, as DVC does."""


LockLoader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def once(function: Callable[..., Any], key: Callable[..., object]) -> Callable[..., Any]:
    """Return a function that computes each result once, by the key of its arguments; always where the key is None."""
    known: dict[object, Any] = {}

    def called(*arguments: Any, **options: Any) -> Any:
        wanted = key(*arguments, **options)
        if wanted is None:
            return function(*arguments, **options)
        if wanted not in known:
            known[wanted] = function(*arguments, **options)
        return known[wanted]

    return called


def key_of_code(_odb: Any, path: str, _fs: Any, name: str, *, dry_run: bool = False, **_: Any) -> object:
    """Return what determines the hash of a folder of code, which no stage changes; None for other paths."""
    return (path, name, dry_run) if {"podium", "stages"}.intersection(Path(path).parts) else None


def key_of_input(_fs: Any, path: str, **_: Any) -> object:
    """Return what determines whether a stage writes an input: it is asked when the stage that may write it has run.

    An experiment asks for all inputs after each stage, and DVC reads dvc.yaml each time.
    """
    return path


def run_stage(_: str, command: str, *, cwd: str, env: Mapping[str, str], **options: Any) -> None:
    """Run a stage's command, `python -m <module> <words>` or `python <file>`, in a fork of this process."""
    from dvc.stage.exceptions import StageCmdFailedError

    python, *words = shlex.split(command)
    assert python == "python", command

    def run() -> None:
        sys.path.insert(0, cwd)
        sys.argv = words[words[0] == "-m" :]
        if words[0] == "-m":
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")

    status = in_fork(run, cwd, env)
    if status:
        raise StageCmdFailedError(command, status)


def in_fork(function: Callable[[], object], cwd: str, env: Mapping[str, str]) -> int:
    """Run a function in a fork of this process, in a folder and environment; return the fork's exit status."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        leave(function)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def leave(function: Callable[[], object]) -> NoReturn:
    """Run a function, whose result or exit is a status, and end this process with it."""
    status: object = 1
    try:
        status = function()
    except SystemExit as exit_:
        status = exit_.code
    except BaseException:
        traceback.print_exc()
    finally:
        if isinstance(status, str):
            print(status, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else status is not None)


def serve() -> int:
    """Run the commands that come as lines of JSON, each in a fork; print each one's exit status and seconds."""
    for name in LATE:
        import_module(name)
    from dvc import rwlock

    rwlock.rwlock = lambda *_: nullcontext()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)

        def run(request: dict[str, Any] = request) -> int:
            for number, name in enumerate((os.devnull, request["stdout"], request["stderr"])):
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
            sys.argv = ["dvc", *request["words"]]
            return run_dvc(request["words"])

        before = seconds_of_children()
        status = in_fork(run, request["cwd"], request["env"])
        print(status, seconds_of_children() - before, flush=True)
    return 0


def seconds_of_children() -> float:
    """Return the processor time of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Server:
    """A process that has DVC imported; it ends with this one.

    Attributes:
        seconds: processor time of the last command and its stages.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.process = subprocess.Popen(
            [sys.executable, __file__, SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self.close)

    def run(self, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a DVC command."""
        with tempfile.TemporaryDirectory() as folder:
            outputs = {name: str(Path(folder, name)) for name in ("stdout", "stderr")}
            request = {"words": list(words), "cwd": str(cwd), "env": dict(env), **outputs}
            print(json.dumps(request), file=self.process.stdin, flush=True)
            assert self.process.stdout is not None
            status, seconds = self.process.stdout.readline().split()
            self.seconds = float(seconds)
            printed = {name: Path(path).read_text(encoding="utf-8") for name, path in outputs.items()}
        return subprocess.CompletedProcess(["dvc", *words], int(status), **printed)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


if __name__ == "__main__":
    sys.exit(main())
