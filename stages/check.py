"""Stage `check`: params.yaml -> data/check/ok.txt, a constant file on which all other stages depend.

`check` validates everything before it removes anything: all settings, the contest's paths and tables, and every
backbone on torch's meta device. Then it removes outputs of members and folds that params.yaml no longer has, and
prints how much the run will train.

`make` first calls `python -m stages.check settings`, which only reads params.yaml and the user's tables. That takes a
second, without torch. It reports mistakes for which DVC's own messages are unhelpful, and tables that have changed
since `check` last ran. It also removes a dvc.lock that a kill has cut off.
"""

from collections.abc import Iterable
from pathlib import Path

from podium.core import cli, params, tables
from podium.core.errors import InputError
from podium.preflight import (
    broken_locks,
    cpu,
    git_checks,
    input_paths,
    input_tables,
    pruning,
    pruning_report,
    random_crops,
    run_size,
    training_sizes,
    yaml_readings,
)
from podium.preflight.settings import Podium


def main(scope: str = "all", *, root: Path = Path()) -> None:
    """Validate params.yaml and the user's files, remove outputs that nothing owns, and write ok.txt.

    Args:
        scope: "all", or "settings" to stop after reading params.yaml and the user's tables.
        root: of the project.
    """
    if scope not in ("all", "settings"):
        raise InputError(f"check {scope}: unknown argument; give `settings`, or nothing for all checks")
    p = params.parse(params.read(root), "", Podium)
    yaml_readings.require_agreement(root)
    git_checks.require_commit(root)
    input_paths.refuse_inputs_among_outputs(p, root)
    input_paths.require(p, root)
    messages = input_tables.check(p, root)
    if scope == "settings":
        _print(broken_locks.remove(root))
        pruning.make_folders(root)  # also after the user has removed models/: then DVC runs no `check`
        return
    from podium.models import devices  # torch takes seconds to import
    from podium.preflight import member_checks

    _print(messages)
    device = devices.start(p.torch)
    member_checks.check_devices(p, device)
    values = {
        name: member_checks.check(name, member, p.optional_phases(name), device, root)
        for name, member in p.members.items()
    }
    _print([random_crops.note(p), training_sizes.note(p)])
    _print([cpu.emulation_warning(p, device.type), cpu.no_fast_kernels_note(p, device.type)])
    if untracked := git_checks.untracked(input_paths.by_key(p).values(), root):
        _print([f"WARNING: {untracked}"])
    _prune(p, root)
    _print([run_size.summary(p, values)])
    tables.write_text("ok\n", root / "data/check/ok.txt")


def _prune(p: Podium, root: Path) -> None:
    """Remove outputs that nothing owns, and make the folders that stages depend on."""
    orphans = pruning.orphans(root, folds=p.folds, **{key: getattr(p, key) for key in pruning.MAPS})
    lines = pruning_report.lines(orphans, root)
    pruning.remove(orphans)
    _print([f"removed outputs that no member, fold or external name of params.yaml owns, {line}" for line in lines])
    pruning.make_folders(root)


def _print(messages: Iterable[str]) -> None:
    for message in filter(None, messages):
        print(f"check: {message}")


if __name__ == "__main__":
    cli.run(main)
