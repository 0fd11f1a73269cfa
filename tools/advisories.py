"""Look up known vulnerabilities of the packages in requirements.lock: `make audit`.

`python -m tools.advisories PROGRAM [allow]` runs pip-audit (PyPA, Apache-2.0), whose path is PROGRAM. Where pip-audit
could look up nothing, it ends with status 0 all the same. So a package without an answer counts as not audited here,
and fails the check, unless `allow` is given. docs/accepted_advisories.csv lists advisories that do not fail it, each
with its date and reason.
"""

import datetime
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.core import cli, tables
from podium.core.errors import InputError, some

LOCK = Path("requirements.lock")
ACCEPTED = Path("docs/accepted_advisories.csv")
TABLE = tables.Contract(
    {
        "package": "text",
        "advisory": "text",  # an id of pip-audit, or an alias such as a CVE
        "date": "text",  # of the decision, as 2026-11-29
        "reason": "text",
    },
    key=("package", "advisory"),
)
SHOWN = 20  # packages in a message


@dataclass(frozen=True)
class AdvisoryReport:
    """What pip-audit says of the locked packages.

    Attributes:
        audited: packages that it looked up.
        unaudited: those that it could not look up, with its reasons.
        new: advisories that are not accepted, in lines for the user.
        accepted: (package, advisory) of those that are.
    """

    audited: tuple[str, ...]
    unaudited: Mapping[str, str]
    new: tuple[str, ...]
    accepted: frozenset[tuple[str, str]]


def main(program: str, unaudited: str = "", *, root: Path = Path()) -> None:
    """Run pip-audit and judge its answer.

    Raises:
        InputError: there are advisories that are not accepted, or packages that could not be audited.
    """
    if unaudited not in ("", "allow"):
        raise InputError(f"make audit UNAUDITED={unaudited}: the only value is allow")
    accepted = read_accepted(root / ACCEPTED)
    try:
        answer = run(program, root)
    except InputError as error:
        if not unaudited:
            raise
        print(f"audit: NOT AUDITED: {error}")
        return
    report = judge(answer, accepted)
    print(f"audit: {len(report.audited)} packages looked up, {len(report.accepted)} accepted advisories found")
    idle = [
        f"{package} {advisory}" for package, advisory in accepted.keys() - report.accepted if package in report.audited
    ]
    if idle:
        print(f"audit: {ACCEPTED}: no longer needed, remove the row: {some(sorted(idle))}")
    missing = _missing(report)
    if missing and unaudited:
        print(f"audit: NOT AUDITED: {missing}")
    if report.new:
        raise InputError(
            "\n".join([*report.new, f"take a fixed release by `make lock`, or add a row with a reason to {ACCEPTED}"])
        )
    if missing and not unaudited:
        raise InputError(f"{missing}. Try again with a network, or say `make audit UNAUDITED=allow` to skip them")


def run(program: str, root: Path) -> dict[str, Any]:
    """Return pip-audit's answer.

    Raises:
        InputError: it is not installed, or gave no answer.
    """
    words = ("--requirement", str(LOCK), "--require-hashes", "--disable-pip", "--format", "json")
    try:
        done = subprocess.run(
            (program, *words, "--progress-spinner", "off"), cwd=root, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise InputError(f"{program}: pip-audit cannot be started: {error.strerror}; is there a network?") from None
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        said = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
        raise InputError(f"{LOCK}: pip-audit gave no answer: {said}") from None
    return answer


def read_accepted(path: Path) -> dict[tuple[str, str], str]:
    """Return (package, advisory) -> reason.

    Raises:
        InputError: a row has no date or no reason.
    """
    table = tables.read(path, TABLE)
    for row, entry in enumerate(table.itertuples(), 2):
        try:
            datetime.date.fromisoformat(str(entry.date))
        except ValueError:
            raise InputError(f"{path}: row {row}: date {entry.date!r} is none; write it as 2026-11-29") from None
        if not str(entry.reason).strip():
            raise InputError(f"{path}: row {row}: the reason is empty; say why {entry.advisory} does no harm here")
    return dict(zip(zip(table["package"], table["advisory"], strict=True), table["reason"], strict=True))


def judge(answer: Mapping[str, Any], accepted: Mapping[tuple[str, str], str]) -> AdvisoryReport:
    """Sort the packages of pip-audit's answer into audited and not, and their advisories into new and accepted."""
    packages: Sequence[Mapping[str, Any]] = answer["dependencies"]
    unaudited = {str(one["name"]): str(one["skip_reason"]) for one in packages if "skip_reason" in one}
    new, known = [], set[tuple[str, str]]()
    for package in packages:
        for found in package.get("vulns", ()):
            names = [found["id"], *found.get("aliases", ())]
            if listed := {(package["name"], name) for name in names} & accepted.keys():
                known |= listed
            else:
                fixes = some(list(found.get("fix_versions", ()))) or "no release"
                new.append(f"{LOCK}: {package['name']} {package['version']}: {', '.join(names)}; fixed in {fixes}")
    audited = tuple(str(one["name"]) for one in packages if "skip_reason" not in one)
    return AdvisoryReport(audited, unaudited, tuple(new), frozenset(known))


def _missing(report: AdvisoryReport) -> str:
    if not report.unaudited and report.audited:
        return ""
    if not report.unaudited:
        return f"{LOCK}: pip-audit looked up no package"
    reason = next(iter(report.unaudited.values()))
    return (
        f"{LOCK}: {len(report.unaudited)} packages could not be audited: {some(list(report.unaudited), SHOWN)} (e.g."
        f" {reason})"
    )


if __name__ == "__main__":
    cli.run(main)
