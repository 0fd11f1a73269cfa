"""`make audit`: what it makes of pip-audit's answer, which a script gives here."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from podium.core.errors import InputError
from tests.graph import PROJECT
from tools import advisories

FOUND = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"], "description": "bad"}
CLEAN = {"name": "a", "version": "1.0", "vulns": []}
FAULTY = {"name": "b", "version": "1.0", "vulns": [FOUND]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (1.0)"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """What stands in for pip-audit: it prints answer.json and ends with status 0, as pip-audit does after skips."""
    path = tmp_path / "pip-audit"
    path.write_text("#!/bin/sh\ncat answer.json\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def audit(program: Path, packages: list[dict[str, Any]], rows: str = "", unaudited: str = "") -> None:
    root = program.parent
    (root / "docs").mkdir(exist_ok=True)
    (root / advisories.ACCEPTED).write_text("package,advisory,date,reason\n" + rows)
    (root / "answer.json").write_text(json.dumps({"dependencies": packages, "fixes": []}))
    advisories.main(str(program), unaudited, root=root)


def test_packages_without_advisories_pass(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit(program, [CLEAN])
    assert capsys.readouterr().out.startswith("audit: 1 packages looked up")


def test_a_new_advisory_fails_with_its_names_and_the_release_that_mends_it(program: Path) -> None:
    for unaudited in ("", "allow"):
        with pytest.raises(InputError, match=r"b 1\.0: PYSEC-1, CVE-1; fixed in 2\.0"):
            audit(program, [CLEAN, FAULTY, SKIPPED], unaudited=unaudited)
    with pytest.raises(InputError, match="PYSEC-1"):
        audit(program, [FAULTY], rows="a,CVE-1,2026-11-29,of another package\n")


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-1"])
def test_an_accepted_advisory_passes_by_either_name(
    program: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    audit(program, [CLEAN, FAULTY], rows=f"b,{name},2026-11-29,not called here\na,CVE-9,2026-11-29,gone\n")
    out = capsys.readouterr().out
    assert "1 accepted" in out
    assert "remove the row: a CVE-9" in out


def test_packages_that_could_not_be_audited_fail_unless_that_is_allowed(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for packages in ([CLEAN, SKIPPED], [SKIPPED], []):
        with pytest.raises(InputError, match=r"requirements\.lock: (1 packages could not be audited: c|.* no package)"):
            audit(program, packages)
        audit(program, packages, unaudited="allow")
        assert "NOT AUDITED: requirements.lock" in capsys.readouterr().out


@pytest.mark.parametrize("text", [None, "#!/bin/sh\necho 'no network' >&2; exit 1\n"])
def test_without_an_answer_it_fails_unless_that_is_allowed(
    program: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is None:
        program.unlink()
    else:
        program.write_text(text)
    with pytest.raises(InputError, match="network"):
        audit(program, [CLEAN])
    audit(program, [CLEAN], unaudited="allow")
    assert "NOT AUDITED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "words"), [("b,CVE-1,,x\n", "row 2: date"), ("b,CVE-1,2026-11-29, \n", "row 2: the r")]
)
def test_a_row_without_date_or_reason_is_refused(program: Path, row: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        audit(program, [FAULTY], rows=row)


def test_the_projects_own_list_is_valid() -> None:
    advisories.read_accepted(PROJECT / advisories.ACCEPTED)
