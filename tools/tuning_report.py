"""What tools.tune prints: the plan, each training, and at the end what was tried and how optimistic the choice is."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from podium.core.wording import counted
from podium.scoring import comparison
from tools import halving
from tools.candidates import AS_SET, Candidate
from tools.held_out import PROBE, HeldOut

WIDTH = 100
PROBE_ROW = "probe (no training)"
COSTS = {"log_loss": "log loss", "balanced_log_loss": "log loss with all classes at the same weight"}


@dataclass(frozen=True)
class Report:
    """The end of a member's tuning.

    Attributes:
        text: for the terminal.
        winner: the candidate to apply, with all its epochs; None where the own settings or the probe are best.
    """

    text: str
    winner: Candidate | None


@dataclass(frozen=True)
class TriedCandidates:
    """All candidates of a tuning.

    Attributes:
        known: by name, with all their epochs; the own settings first.
        finalists: those that trained on all folds of the last rung.
        rungs: folds of each rung that was finished.
        share: of the epochs that were trained.
    """

    known: Mapping[str, Candidate]
    finalists: Sequence[Candidate]
    rungs: Sequence[int]
    share: float

    @property
    def own(self) -> str:
        """Return the name of the own settings."""
        return next(iter(self.known))


def plan_lines(full: Sequence[Candidate], planned: halving.Plan, *, of_one: float, left: float) -> Iterator[str]:
    """Yield what fits into the time that is left, and what does not."""
    epochs = counted(full[0].epochs, "epoch")
    yield f"one training of one fold: {duration(of_one)} ({epochs}); left: {duration(max(left, 0))}"
    if not planned.rungs:
        return
    steps = ", ".join(f"{rung.n_candidates} on {_folds(rung.n_folds)}" for rung in planned.rungs)
    yield f"plan: {steps}: about {duration(planned.seconds)}"
    if planned.share < 1:
        yield (
            f"does not fit: all epochs; candidates are compared with {planned.share:.0%} of theirs (at least one),"
            " which favours high learning rates and weak augmentation"
        )
    if dropped := full[planned.rungs[0].n_candidates :]:
        yield f"does not fit: {', '.join(c.name for c in dropped)}"


def progress(held_out: HeldOut, name: str, places: Sequence[int], *, took: float, left: float) -> str:
    """Return the line of a candidate that has trained on these folds."""
    cost, score = (halving.mean(of[name], places, held_out.weights) for of in (held_out.costs, held_out.scores))
    metric = held_out.images.metric.name
    return f"  {name:36} cost {cost:.4f}  {metric} {score:.4f}  {duration(took):>7}, {duration(max(left, 0))} left"


def report(member: str, own: Mapping[str, Any], held_out: HeldOut, tried: TriedCandidates) -> Report:
    """Report a tuning.

    Args:
        member: its name.
        own: its section `finetune`.
        held_out: of all candidates.
        tried: which they are.
    """
    if not tried.rungs:
        return Report(f"{member}: fewer than two candidates have trained: nothing to choose from", None)
    places = list(range(tried.rungs[-1]))
    costs = {c.name: held_out.costs[c.name] for c in tried.finalists}
    best = halving.best(costs, places, held_out.weights)
    probe, trained = (halving.mean(held_out.costs[name], places, held_out.weights) for name in (PROBE, best))
    harms = probe <= trained
    sentences = [
        _cost_line(held_out, tried),
        *_verdict(held_out, tried, best, places),
        *_optimism(held_out, tried, costs),
    ]
    winner = None if harms or not tried.known[best].changes else tried.known[best]
    if harms:
        sentences.append(
            f"Training harms: the probe on frozen features costs {probe:.4f}, `{best}` {trained:.4f}. Keep the probe:"
            " set `epochs: 0` in pretrain and finetune, which also saves the time. Nothing to apply."
        )
    elif winner is None:
        sentences.append("Your settings are the best of these: nothing to apply.")
    lines = [
        f"{member}: `{best}` has the smallest cost of {len(held_out.costs) - 1} candidates, on {_folds(len(places))}",
        "",
        *_table(held_out, tried.own),
        "",
        *(_filled(sentence) for sentence in sentences),
        *(_how_to_apply(member, own, winner, tried.share) if winner else ()),
    ]
    return Report("\n".join(lines), winner)


def duration(seconds: float) -> str:
    """Format seconds, e.g. 48 s, 12 min, 1 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _folds(number: int) -> str:
    return counted(number, "fold")


def _table(held_out: HeldOut, own: str) -> Iterator[str]:
    """Yield a line per candidate, the most folds and then the smallest cost first; the gain is on the same folds."""
    weights = held_out.weights
    rows = []
    for name in held_out.costs:
        places = [fold for fold in range(len(weights)) if held_out.has(name, fold) and held_out.has(own, fold)]
        if places:
            cost, base, score = (
                halving.mean(of, places, weights)
                for of in (held_out.costs[name], held_out.costs[own], held_out.scores[name])
            )
            rows.append((-len(places), cost, PROBE_ROW if name == PROBE else name, base - cost, score))
    width = max(len(name) for _, _, name, _, _ in rows)
    yield f"{'':{width}} {'folds':>5} {'cost':>9} {'gain':>9} {held_out.images.metric.name:>12}"
    for count, cost, name, gain, score in sorted(rows):
        yield f"{name:{width}} {-count:>5} {cost:>9.4f} {gain:>+9.4f} {score:>12.4f}"


def _cost_line(held_out: HeldOut, tried: TriedCandidates) -> str:
    metric = held_out.images.metric
    cost = COSTS.get(metric.chosen_by, f"{metric.name} with its sign turned")
    return f"Cost: {cost}, calibrated, on held-out images at the training size. Gains are over {_base(tried)}."


def _base(tried: TriedCandidates) -> str:
    """Return what gains are over: of a member that is only a probe, a training with a few epochs."""
    return "your settings" if tried.own == AS_SET else f"`{tried.own}`"


def _verdict(held_out: HeldOut, tried: TriedCandidates, best: str, places: Sequence[int]) -> Iterator[str]:
    if best == tried.own:
        return
    others = len(held_out.costs) - 2  # neither the probe nor the own settings
    compared = held_out.compare(tried.own, best, places, others)
    names = " and ".join(dict.fromkeys([held_out.images.metric.name.replace("_", " "), "log loss"]))
    yield (
        f"By {names}, `{best}` against `{tried.own}`: {compared.verdict} (p {compared.p:.3f}, adjusted for"
        f" {counted(others, 'candidate')})."
    )
    if compared.verdict in (comparison.UNCLEAR, comparison.MIXED, comparison.SAME):
        yield "More images, folds or seeds may turn the choice round: see `make compare` and tools.seeds."


def _optimism(held_out: HeldOut, tried: TriedCandidates, costs: halving.Costs) -> Iterator[str]:
    n_choosing = tried.rungs[-2] if len(tried.rungs) > 1 else tried.rungs[-1]
    found = halving.optimism(costs, tried.own, n_choosing, held_out.weights[: tried.rungs[-1]])
    if found is None:
        yield (
            "How optimistic the choice is is not known: every fold that trained took part in it. Expect less gain than"
            " the table shows."
        )
    elif found.name == tried.own:
        yield (
            f"On the {_folds(n_choosing)} that chose the finalists, nothing was better than {_base(tried)}, so that"
            " choice is not optimistic."
        )
    else:
        seen = f"optimistic by {found.excess:.4f}" if found.excess > 0 else "not optimistic"
        yield (
            f"How optimistic the choice is: on the {_folds(len(found.chosen_on))} that chose `{found.name}` it gains"
            f" {found.on_chosen:+.4f}, on the {_folds(len(found.fresh))} that did not {found.on_fresh:+.4f}. So the"
            f" first is {seen}. Expect the second."
        )


def _how_to_apply(member: str, own: Mapping[str, Any], winner: Candidate, share: float) -> Iterator[str]:
    if share < 1:
        yield _filled(f"It was compared with {share:.0%} of its epochs (at least one); below it has all of them.")
    yield _filled(
        f"Set members.{member}.finetune to this (with `APPLY=1` from the start it is written), or try it in an"
        " experiment first:"
    )
    section = yaml.safe_dump({**own, **winner.changes}, sort_keys=False, default_flow_style=None, width=WIDTH)
    yield f"\n{section}\n{winner.command(member)}"


def _filled(sentence: str) -> str:
    return textwrap.fill(sentence, WIDTH, break_on_hyphens=False, break_long_words=False)
