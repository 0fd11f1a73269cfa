"""Search settings of `finetune` for each member: `make tune BUDGET=<hours>`, or `python -m tools.tune HOURS`.

A short list of recipes (tools/candidates.py) trains on the first fold, the better half on more folds, the best on all
(tools/halving.py). Each training is a temporary DVC experiment (tools/trainings.py). They are judged by the held-out
cost that `ensemble` chooses by, and against the probe on frozen features. The best of many is optimistic, so the report
says how much the choice gains on folds that did not make it.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from podium.core import cli, params, stage_times, tables
from podium.core.errors import InputError
from podium.core.wording import counted
from podium.inference.settings import MemberSettings
from podium.predictions import member_predictions
from podium.predictions.tta import FINETUNE
from podium.preflight import git_checks, input_paths, member_checks
from podium.preflight.settings import Podium
from podium.training.settings import FinetuneSettings
from tools import candidates, halving, revisions, rewriting, tuning_report
from tools.candidates import Candidate
from tools.held_out import HeldOut
from tools.trainings import SettingsChangedError, TemporaryExperiments, Trainings
from tools.tuning_report import Report, TriedCandidates, duration

FOLDER = Path("logs/tune")
PHASE_1 = "phase 1"  # in TRIED, in place of a candidate
HOUR = 3600
MARGIN = 1.1  # of a BUDGET that is advised: the next run may be a little slower
RESTORING = 60.0  # seconds at most, added to it: what has trained comes from DVC's cache
TRIED = tables.Contract(  # logs/tune/<member>.csv: every training of every tuning
    {
        "candidate": "text",
        "settings": "text",  # the whole of `finetune`, as JSON; of phase 1, the whole of `pretrain`
        "fold": "text",
        "cost": "float",  # smaller is better: see EvaluationSet.cost; of phase 1 it is missing
        "score": "float",  # in the contest's metric; of phase 1 it is missing
        "seconds": "float",  # with all around it; folds that were trained together share them equally
    },
    key=("settings", "fold"),
)


def main(*words: str, root: Path = Path()) -> None:
    """Tune one member or all, print a report for each and write it to logs/tune/.

    Raises:
        InputError: the budget is no number or too short, there is no such member, a stage before the trainings failed,
            the own settings cannot be trained, or params.yaml changed meanwhile.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.tune", description="Search settings of `finetune`.")
    parser.add_argument("hours", help="budget of all members together, e.g. 2 or 0.5 (make tune BUDGET=2)")
    parser.add_argument("--member", help="the only one to tune; default: all")
    parser.add_argument("--apply", action="store_true", help="write the chosen settings into params.yaml")
    asked = parser.parse_args(words)
    budget = _hours(asked.hours) * HOUR
    settings, values = _settings(root)
    members = member_predictions.members_of(values)
    if asked.member and asked.member not in members:
        raise InputError(f"no member is named {asked.member}; members: {', '.join(members)}")
    _require_tracked_inputs(values, root)
    names = [asked.member] if asked.member else list(members)
    end = time.monotonic() + budget
    for place, name in enumerate(names):
        log = root / FOLDER / f"{name}.log"
        share = (end - time.monotonic()) / (len(names) - place)
        print(f"{name}: {duration(max(share, 0))} of the budget; `tail -f {log}` shows what DVC prints", flush=True)
        with TemporaryExperiments(root, log, settings) as trainings:
            report = Tuning(
                name,
                members[name],
                values,
                trainings,
                deadline=time.monotonic() + share,
                tried=root / FOLDER / f"{name}.csv",
                members=len(names),
                made=seconds_of_make(root, name, "finetune"),
                made_phase_1=seconds_of_make(root, name, "pretrain"),
            ).run()
        tables.write_text(report.text + "\n", root / FOLDER / f"{name}.txt")
        print(f"\n{report.text}\n", flush=True)
        if report.winner is None:
            continue
        try:
            text = rewriting.applied(settings.decode(), name, report.winner.changes)
        except InputError as error:  # the next members are tuned all the same
            print(f"WARNING: {error}", flush=True)
            continue
        if asked.apply:
            trainings.require_settings()  # the user may have edited them during the last training
            tables.write_text(text, root / revisions.PARAMS)
            settings, values = _settings(root)
            print(f"params.yaml: members.{name}.finetune has the settings `{report.winner.name}` now", flush=True)


@dataclass
class Tuning:
    """The tuning of one member.

    Attributes:
        settings: of the member.
        values: the whole of params.yaml.
        deadline: by `clock`, in seconds.
        tried: the file of TRIED.
        members: that share the budget.
        made: fold -> seconds that `make` took to train the own settings: DVC restores such a training in no time.
        made_phase_1: the same of phase 1.
        say: prints a line of progress.
        held_out: what has been trained: its cost on each fold.
        seconds: candidate -> of its latest training, with all around it, per fold.
        per_epoch: seconds of an epoch of the first training, with all around it; too many for longer trainings.
    """

    member: str
    settings: MemberSettings
    values: dict[str, Any]
    trainings: Trainings
    deadline: float
    tried: Path
    clock: Callable[[], float] = time.monotonic
    members: int = 1
    made: Mapping[str, float] = field(default_factory=dict)
    made_phase_1: Mapping[str, float] = field(default_factory=dict)
    say: Callable[[str], None] = field(default=lambda line: print(line, flush=True))
    held_out: HeldOut = field(init=False)
    seconds: dict[str, float] = field(init=False, default_factory=dict)
    per_epoch: float = field(init=False, default=0.0)

    @property
    def own(self) -> dict[str, Any]:
        """Return the member's section `finetune`."""
        section: dict[str, Any] = self.values["members"][self.member]["finetune"]
        return section

    def run(self) -> Report:
        """Train candidates until one remains or the time is spent; report.

        Raises:
            InputError: the time is too short for three candidates, or the own settings cannot be trained.
        """
        started = self.clock()
        self.say(f"{self.member}: probe on frozen features, and all that comes before the trainings")
        self.held_out = HeldOut.of(self.settings, self.values, *self.trainings.reference(self.member))
        of_fold = self._train_phase_1(self.held_out.folds[0]) if self.settings.pretrain.epochs else 0.0
        full = self._allowed(candidates.around(self.own))
        self._train(full[0], [0], must=True)
        planned, group = self._plan(full, of_fold=of_fold, spent=self.clock() - started)
        report = self._halve(full, planned, group)
        self.say(f"{self.member}: tuned in {duration(self.clock() - started)}")
        return report

    def _train_phase_1(self, fold: str) -> float:
        """Run phase 1 of a fold and return the seconds it takes, or took where DVC restores it from its cache."""
        settings = json.dumps({"pretrain": self.values["members"][self.member]["pretrain"]}, sort_keys=True)
        known = {**self.made_phase_1, **_seconds(self.tried, settings)}
        before = self.clock()
        self.trainings.pretrain(self.member, fold)
        took = max(self.clock() - before, known.get(fold, 0.0))
        row = {"candidate": PHASE_1, "settings": settings, "fold": fold, "cost": math.nan, "score": math.nan}
        self._log([{**row, "seconds": round(took, 1)}])
        return took

    def _allowed(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Leave out what `make check` refuses for this backbone, e.g. frozen batch norms of one without.

        Raises:
            InputError: it refuses the own settings.
        """
        allowed = []
        for candidate in found:
            try:
                member_checks.check_finetune(self.member, self._changed(candidate))
            except InputError as error:
                if candidate is found[0]:
                    raise
                self.say(f"  {candidate.name}: not tried: {_reason(error)}")
            else:
                allowed.append(candidate)
        return allowed

    def _plan(self, full: Sequence[Candidate], *, of_fold: float, spent: float) -> tuple[halving.Plan, list[Candidate]]:
        """Say what fits into the time that is left, and what does not; return the plan and the candidates in it.

        Args:
            full: the candidates with all their epochs.
            of_fold: seconds that each further fold costs once.
            spent: seconds of this member's tuning until now.

        Raises:
            InputError: nothing does.
        """
        of_one = self.seconds[full[0].name]
        tried = {share: candidates.different(full, self.own, share) for share in halving.SHARES}
        epochs = {
            share: [candidates.shortened(c, self.own, share).epochs for c in each] for share, each in tried.items()
        }
        left = self.deadline - self.clock()
        folds = len(self.held_out.folds)
        planned = halving.plan(epochs, folds, of_one=of_one, budget=left, of_fold=of_fold)
        for line in tuning_report.plan_lines(tried[planned.share], planned, of_one=of_one, left=left):
            self.say(f"{self.member}: {line}")
        if not planned.rungs:
            needed = MARGIN * planned.seconds + min(spent, RESTORING)
            raise InputError(
                f"{self.member}: {duration(max(left, 0))} are left of BUDGET, and the shortest plan needs"
                f" {duration(planned.seconds)}: {self._budget(needed)}"
            )
        return planned, tried[planned.share][: planned.rungs[0].n_candidates]

    def _budget(self, seconds: float) -> str:
        """Advise a BUDGET in which this member has so many seconds."""
        alone, shared = (math.ceil(100 * number * seconds / HOUR) / 100 for number in (1, self.members))
        if self.members == 1:
            return f"give BUDGET={alone} or more"
        return (
            f"give BUDGET={shared} or more, if the other members take no longer, or BUDGET={alone} MEMBER={self.member}"
        )

    def _halve(self, full: Sequence[Candidate], planned: halving.Plan, group: list[Candidate]) -> Report:
        known = {c.name: c for c in full}
        if planned.share < 1:
            self.held_out.forget(full[0].name)  # it had all its epochs
        finished = [group[:1]]
        rungs = []
        for place, rung in enumerate(planned.rungs):
            folds = list(range(rung.n_folds))
            where = counted(rung.n_folds, "fold")
            self.say(f"rung {place + 1} of {len(planned.rungs)}: {len(group)} candidates on {where}")
            done = [c for c in group if self._train(candidates.shortened(c, self.own, planned.share), folds)]
            if group[0] not in done or len(done) < 2:
                break
            finished.append(done)
            rungs.append(rung)
            ranked = self._ranked(done, folds)
            group = self._distinct([full[0], *ranked], rung.n_folds)[: halving.survivors(len(group))]
            if place == 0 and (joined := self._combination(full[0], ranked)):
                known[joined.name] = joined
                group.append(joined)
        tried = TriedCandidates(known, finished[-1], [rung.n_folds for rung in rungs], planned.share)
        return tuning_report.report(self.member, self.own, self.held_out, tried)

    def _combination(self, first: Candidate, ranked: Sequence[Candidate]) -> Candidate | None:
        """Join the best change of each kind, of those that are better than the own settings; no whole recipes."""
        parts: dict[str, Candidate] = {}
        for better in ranked[: ranked.index(first)]:
            if better.kind:
                parts.setdefault(better.kind, better)
        joined = candidates.combined(list(parts.values()), self.own) if len(parts) > 1 else None
        if joined:
            self.say(f"  what helped, together: {joined.name}")
        return joined

    def _ranked(self, done: Sequence[Candidate], folds: Sequence[int]) -> list[Candidate]:
        return sorted(done, key=lambda c: halving.mean(self.held_out.costs[c.name], folds, self.held_out.weights))

    def _distinct(self, ranked: Sequence[Candidate], n_folds: int) -> list[Candidate]:
        """Leave out candidates that predict as one before them, e.g. with frozen batch norms that are not there."""
        found: dict[tuple[float, ...], Candidate] = {}
        for candidate in ranked:
            found.setdefault(tuple(self.held_out.costs[candidate.name][:n_folds]), candidate)
        return list(found.values())

    def _train(self, candidate: Candidate, folds: Sequence[int], *, must: bool = False) -> bool:
        """Train a candidate on those of these folds that it has not trained on; say whether it has all of them now.

        Raises:
            InputError: it `must` be trained and failed, or params.yaml changed.
        """
        missing = [fold for fold in folds if not self.held_out.has(candidate.name, fold)]
        if not missing:
            return True
        settings = json.dumps({**self.own, **candidate.changes}, sort_keys=True)
        known = {**({} if candidate.changes else self.made), **_seconds(self.tried, settings)}
        names = [self.held_out.folds[fold] for fold in missing]
        expected = self._expected(candidate) * len(set(names) - set(known))
        if not must and expected > self.deadline - self.clock():
            self.say(f"  {candidate.name}: not trained; about {duration(expected)} do not fit any more")
            return False
        before = self.clock()
        try:
            found = self.trainings.finetune(self.member, candidate.words(self.member), names)
        except SettingsChangedError:
            raise
        except InputError as error:
            if must:
                raise
            self.say(f"  {candidate.name}: failed, so it is out: {_reason(error)}")
            return False
        each = (self.clock() - before) / len(names)
        for fold, table in zip(missing, found, strict=True):
            self.held_out.add(candidate.name, fold, table, balanced=self._is_balanced(candidate))
        took = [max(each, known.get(name, 0.0)) for name in names]  # the cache restores what trained earlier
        self.seconds[candidate.name] = max(took)
        self.per_epoch = self.per_epoch or max(took) / candidate.epochs
        self._log(
            {
                "candidate": candidate.name,
                "settings": settings,
                "fold": self.held_out.folds[fold],
                "cost": self.held_out.costs[candidate.name][fold],
                "score": self.held_out.scores[candidate.name][fold],
                "seconds": round(seconds, 1),
            }
            for fold, seconds in zip(missing, took, strict=True)
        )
        took_now, left = self.clock() - before, self.deadline - self.clock()
        self.say(tuning_report.progress(self.held_out, candidate.name, folds, took=took_now, left=left))
        return True

    def _expected(self, candidate: Candidate) -> float:
        """Return the seconds that one fold of a candidate takes: as before, or as the first one by its epochs."""
        return self.seconds.get(candidate.name, self.per_epoch * candidate.epochs)

    def _is_balanced(self, candidate: Candidate) -> bool:
        """Say whether a training corrects for the classes' counts, so its predictions may lack the class priors."""
        return FINETUNE in member_predictions.of_member(Path(), self.member, self._changed(candidate), None).weighted

    def _changed(self, candidate: Candidate) -> MemberSettings:
        finetune = params.parse({**self.own, **candidate.changes}, "finetune", FinetuneSettings)
        return self.settings.model_copy(update={"finetune": finetune})

    def _log(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add trainings to TRIED, in place of earlier ones with the same settings."""
        table = pd.concat([_read_tried(self.tried), pd.DataFrame(list(rows))], ignore_index=True)
        table = table.drop_duplicates(list(TRIED.key), keep="last", ignore_index=True)
        tables.write(table, self.tried, TRIED)


def _reason(error: InputError) -> str:
    """Return the last line of a failed training that is not DVC's own remark that a stage failed."""
    lines = str(error).splitlines()
    return next((line for line in reversed(lines) if "failed to reproduce" not in line), lines[-1])


def _settings(root: Path) -> tuple[bytes, dict[str, Any]]:
    """Return params.yaml, which must not change between two trainings, and its values."""
    return (root / revisions.PARAMS).read_bytes(), params.read(root)


def _require_tracked_inputs(values: dict[str, Any], root: Path) -> None:
    """Refuse inputs that neither git nor DVC tracks: a temporary experiment would not have them.

    Raises:
        InputError: see above, or there is no commit.
    """
    git_checks.require_commit(root)
    paths = input_paths.by_key(params.parse(values, "", Podium)).values()
    if found := git_checks.untracked(paths, root):
        raise InputError(f"{found}, then `git commit`: tuning trains in temporary folders, which lack such files")


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < math.inf:
        raise InputError(f"make tune BUDGET=<hours>: must be a number above 0, e.g. 2 or 0.5, not {text!r}")
    return hours


def _read_tried(path: Path) -> pd.DataFrame:
    return tables.read(path, TRIED) if path.exists() else pd.DataFrame(columns=list(TRIED.columns))


def seconds_of_make(root: Path, member: str, phase: str) -> dict[str, float]:
    """Return the seconds of the last training of each fold that has trained with these settings, by dvc.lock.

    Args:
        root: of the project.
        member: its name.
        phase: the stage, `pretrain` or `finetune`.
    """
    lock = root / "dvc.lock"
    if not lock.exists():
        return {}
    values, stages = (YAML(typ="safe").load(path) for path in (root / revisions.PARAMS, lock))  # as DVC reads them
    last, found = stage_times.last_seconds(root), {}
    for fold in map(str, values["folds"]):
        name = f"{phase}@{member}-{fold}"
        used = stages["stages"].get(name, {}).get("params", {}).get(revisions.PARAMS, {})
        if name in last and used and all(params.section(values, key) == value for key, value in used.items()):
            found[fold] = last[name]
    return found


def _seconds(path: Path, settings: str) -> dict[str, float]:
    """Return the seconds that earlier trainings with these settings took, by fold."""
    table = _read_tried(path)
    same = table[table["settings"] == settings]
    return dict(zip(same["fold"], same["seconds"], strict=True))


if __name__ == "__main__":
    cli.run(main)
