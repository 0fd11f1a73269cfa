"""Look at a contest's folder and write params.yaml: `make new FOLDER=<folder>`.

It shows what it found, asks what no file answers, and says what `check` would say. With --yes it asks nothing, and an
existing params.yaml stays: the settings go to params.new.yaml.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from podium.core import cli, params, tables
from podium.core.errors import InputError, legible
from podium.discovery import contest_guess, params_text
from podium.discovery.contest_guess import ContestGuess
from podium.images import image_files
from podium.images.arrays import Scaling
from podium.images.settings import PrepareSettings
from podium.preflight import git_checks, input_paths, input_tables, random_crops, training_sizes
from podium.preflight.settings import Podium
from podium.scoring import scores
from tools import params_schema

OTHER = "params.new.yaml"  # where params.yaml must stay
SAMPLE = 8  # images that are decoded to measure how long that takes


def main(*words: str, root: Path = Path()) -> None:
    """Write params.yaml.

    Raises:
        InputError: there is no such folder, it holds no image, a file is in the way, or `check` would refuse the file.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.new", description="Look at a contest's folder.")
    parser.add_argument("folder", help="with the contest's images and tables")
    parser.add_argument("--yes", action="store_true", help="ask nothing; never overwrite params.yaml")
    parser.add_argument("--recipe", default="", help="of recipes/, for the members; default: what fits this machine")
    asked = parser.parse_args(words)
    if not asked.folder:
        raise InputError("say which folder holds the contest: make new FOLDER=data/contest")
    if asked.recipe:
        from tools import new_members  # torch takes seconds to import

        new_members.recipe_path(asked.recipe, root)  # before any question
    asks = not asked.yes and sys.stdin.isatty()
    path = _path(root, asks=asks)
    guess = contest_guess.guess(Path(asked.folder), root, _ask if asks else contest_guess.take_defaults)
    _print_table(guess.rows)
    _print_lines("WARNING", guess.warnings)
    if asks:
        _ask_metric(guess)
    members = _members(guess, Path(asked.folder), root, asked.recipe)
    head = f"{params_schema.LINE}\n"
    head += (
        f"# Written by `make new FOLDER={asked.folder}`. Each comment says why; docs/contest.md explains the keys.\n"
    )
    tables.write_text(f"{head}\n{params_text.write(guess.section, guess.why)}\n{members}", path)
    _print_lines("new", [f"metric {guess.section['metric']}: {guess.why['metric']}", f"wrote {path}"])
    try:
        _print_lines("check", _checked(path, root))
    except InputError as error:
        raise InputError(f"{path}: `make` will refuse this until you correct it:\n{error}") from None
    ready = "make" if path.name == "params.yaml" else f"mv {path.name} params.yaml && make"
    print(f"new: look through {path}, then run: {ready}")


def _ask(question: str, default: bool) -> bool:
    answer = input(f"{question} [{'Y/n' if default else 'y/N'}] ").strip().lower()
    return answer.startswith("y") if answer else default


def _ask_metric(guess: ContestGuess) -> None:
    """Replace the metric by the answer, because no file names the contest's."""
    print(f"new: metrics: {', '.join(scores.NAMES)}, or module:function of your own (docs/contest.md)")
    while True:
        answer = input(f"Which metric does the contest use? [{guess.section['metric']}] ").strip()
        if not answer:
            return
        try:
            guess.section["metric"] = TypeAdapter(scores.MetricName).validate_python(answer)
        except ValidationError as error:
            print(error.errors()[0]["msg"].removeprefix("Value error, "))
        else:
            guess.why["metric"] = "you said so"
            return


def _path(root: Path, *, asks: bool) -> Path:
    path = root / "params.yaml"
    if not path.exists():
        return path
    other = root / OTHER
    instead = f"this command ends, because {OTHER} exists too" if other.exists() else f"it writes {OTHER}"
    kept = asks and git_checks.is_kept(path.name, root)  # e.g. the demo's in a fresh clone
    state = "exists, and git has it unchanged" if kept else "exists"
    if asks and _ask(f"params.yaml {state}. Overwrite it? If not, {instead}.", kept):
        return path
    if other.exists():
        raise InputError(f"{path} and {other} exist: move or remove {OTHER} first")
    return other


def _members(guess: ContestGuess, folder: Path, root: Path, recipe: str) -> str:
    """Return the text of all sections after `contest`, and print what they will cost."""
    from podium.models import devices  # torch takes seconds to import
    from podium.models.settings import TorchSettings
    from tools import new_members, speed

    contest = new_members.RunSize(guess.n_train, guess.n_test, guess.groups, _decoding_seconds(folder), guess.channels)
    proposal = new_members.propose(contest, devices.start(TorchSettings()), root, recipe)
    print(f"\nmembers of recipes/{proposal.recipe}.yaml: {proposal.why}")
    _print_table([(name, f"{60 * hours:.1f} minutes", "") for name, hours in proposal.hours.items()])
    if speed.is_loaded():
        print("WARNING: other programs use this machine, so the times above are too long")
    total = sum(proposal.hours.values())
    about = f"{total:.1f} hours" if total > 2 else f"{60 * total:.0f} minutes"
    print(f"new: about {about} by timings of this moment, a rough estimate; `make` may be stopped and continued")
    return proposal.text


def _decoding_seconds(folder: Path) -> float:
    """Return the seconds that reading and decoding an image takes."""
    images = [file for file in image_files.walk(folder)[0] if image_files.is_image(file)]
    some = images[:: max(1, len(images) // SAMPLE)][:SAMPLE]
    settings, started = PrepareSettings(), time.perf_counter()
    for file in some:
        image_files.read(file, scaling=Scaling.of(settings))
    return (time.perf_counter() - started) / len(some)


def _checked(path: Path, root: Path) -> list[str]:
    """Check the file as `check settings` does; return its messages, and what `check` notes on image sizes.

    Raises:
        InputError: what `check` refuses.
    """
    p = params.parse(params.read(root, path.name), "", Podium)
    input_paths.refuse_inputs_among_outputs(p, root)
    input_paths.require(p, root)
    notes = (random_crops.note(p), training_sizes.note(p))
    return [*input_tables.check(p, root), *filter(None, notes)]


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    texts = [[legible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_lines(head: str, lines: Sequence[str]) -> None:
    for text in lines:
        print(f"{head}: {legible(text)}")


if __name__ == "__main__":
    cli.run(main)
