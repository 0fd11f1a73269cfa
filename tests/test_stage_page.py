"""The page of a made-up run: what it says, that it is escaped, offline and small; in Chromium where there is one."""

import html
import html.parser
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from markupsafe import escape

from podium.activation_maps import map_file
from podium.activation_maps.map_file import MistakeMaps
from podium.core import placeholders, stage_times
from podium.ensembling import method_registry
from podium.page import advice, charts, content, galleries, model_sections, page_inputs
from podium.page.page_inputs import PageInputs
from stages import page
from tests import page_run
from tests.graph import PROJECT
from tools import run_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
MEASURE = """
<script>
document.querySelectorAll("details").forEach(e => { e.open = true; });
const shown = [...document.querySelectorAll("body *")].filter(e => e.checkVisibility());
const texts = shown.filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
const light = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
  .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, k) => sum + v * [.2126, .7152, .0722][k], 0);
const ground = e => !e || getComputedStyle(e).backgroundColor !== "rgba(0, 0, 0, 0)"
  ? e && light(getComputedStyle(e).backgroundColor) : ground(e.parentElement);
const contrast = e => [light(getComputedStyle(e).color) + .05, ground(e) + .05].sort((a, b) => b - a)
  .reduce((a, b) => a / b);
const links = [...document.querySelectorAll("a")];
const measured = JSON.stringify({
  smallest: Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize)
    * (e.ownerSVGElement ? Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b) : 1))),
  wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  dead: links.filter(a => !document.querySelector(a.getAttribute("href"))).map(a => a.href),
  charts: [...document.querySelectorAll(".chart")].filter(f => f.querySelector("svg").checkVisibility() ||
    f.querySelector(".narrow svg").checkVisibility()).length,
  faint: texts.filter(e => !e.ownerSVGElement && contrast(e) < 4.5).map(e => e.textContent),
  mouse_alone: shown.filter(e => getComputedStyle(e).overflowX === "auto" && e.scrollWidth > e.clientWidth + 1
    && e.tabIndex < 0).map(e => e.textContent),
});
document.body.innerHTML = "<pre id=measured></pre>";
document.getElementById("measured").textContent = measured;
</script>
"""


class Elements(html.parser.HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    page_run.write(folder)
    page.main(root=folder)
    return folder


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / page.PAGE).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def inputs(root: Path) -> PageInputs:
    return page_inputs.load(root)


def test_the_first_screen_says_how_good_how_sure_and_what_to_do_next(text: str) -> None:
    first = text[text.index("<main") : text.index("<nav")]
    for said in ("0.7500", "0.7123 to 0.7891", "data/contest/overrides.csv", "vit", "bytes", "submission.csv"):
        assert said in first
    assert "dvc exp run -S &#39;~members.vit&#39;" in first


@pytest.mark.parametrize(("naive", "optimism", "said"), [(0.76, 0.01, False), (0.74, -0.01, True)])
def test_a_naive_score_that_is_not_higher_is_not_called_optimistic(
    tmp_path: Path, naive: float, optimism: float, said: bool
) -> None:
    page_run.write(tmp_path)
    summary = json.loads((tmp_path / "metrics/summary.json").read_text())
    summary |= {"oof_score_naive": naive, "optimism": optimism}
    (tmp_path / "metrics/summary.json").write_text(json.dumps(summary))
    page.main(root=tmp_path)
    assert ("though not here" in (tmp_path / page.PAGE).read_text(encoding="utf-8")) == said


def test_the_share_of_test_images_unlike_training_is_said_where_it_is_known(root: Path, tmp_path: Path) -> None:
    promises = (root / page.PAGE).read_text(encoding="utf-8").partition('id="promises"')[2]
    assert "12.3%" in promises
    page_run.write(tmp_path)
    (tmp_path / "data/ensemble/recipe.json").write_text('{"novelty": null}')
    page.main(root=tmp_path)
    assert "unlike every" not in (tmp_path / page.PAGE).read_text(encoding="utf-8")


def test_a_mistake_has_its_map_and_a_page_without_maps_says_why(text: str, tmp_path: Path) -> None:
    maps = [attributes for tag, attributes in Elements(text).found if attributes.get("class") == "map"]
    assert len(maps) == 1
    assert "resnet" in (maps[0]["alt"] or "")
    assert "map: resnet (p 0.62)" in text
    page_run.write(tmp_path)
    map_file.write(tmp_path / map_file.PATH, MistakeMaps(None, "no member has a network"))
    page.main(root=tmp_path)
    without = (tmp_path / page.PAGE).read_text(encoding="utf-8")
    assert 'class="map"' not in without
    assert "no member has a network" in without


def test_the_last_advice_names_a_template_only_where_there_is_one(inputs: PageInputs) -> None:
    with_template = replace(inputs, contest=inputs.contest.model_copy(update={"template": "sample.csv"}))
    assert "your template" not in advice.all_advice(inputs)[-1].text
    assert "your template" in advice.all_advice(with_template)[-1].text


@pytest.mark.parametrize(
    ("compared", "said"),
    [
        ((0.01, 0.005, 0.02, "better"), None),
        ((-0.01, -0.03, 0.01, "no clear difference"), "as good a choice"),
        ((-0.02, -0.03, -0.01, "worse"), "dvc exp run -S '~members.resnet'"),
    ],
)
def test_a_member_ahead_of_the_blend_is_answered(
    inputs: PageInputs, compared: tuple[float, float, float, str], said: str | None
) -> None:
    table = inputs.table("data/ensemble/blend.csv").copy()
    table.loc[table["member"] == "vit", ["score", "gain", "low", "high", "verdict"]] = [0.76, *compared]
    given = replace(inputs, found=inputs.found | {"data/ensemble/blend.csv": table})
    found = [f"{one.text} {one.command}" for one in advice.all_advice(given) if "vit alone has" in one.text]
    assert [said in text for text in found] == ([] if said is None else [True])
    assert all("0.7600; the blend 0.7500" in text for text in found)


def test_the_command_without_a_member_removes_it_from_every_map_and_leaves_one(inputs: PageInputs) -> None:
    """`check` refuses a phase of a member that is not there, and a contest without members."""
    given = replace(inputs, values=inputs.values | {"fixres": {"vit": {}}, "soup": {"vit": {"members": ["resnet"]}}})
    commands = [one.command for one in advice.all_advice(given) if "vit harms" in one.text]
    assert commands == ["dvc exp run -S '~members.vit' -S '~fixres.vit' -S '~soup.vit'"]
    given = replace(inputs, values=inputs.values | {"members": {"vit": {}}, "external": {"resnet": {}}})
    commands = [one.command for one in advice.all_advice(given) if "harms" in one.text]
    assert commands == ["dvc exp run -S '~external.resnet'"]


@pytest.mark.parametrize(
    ("others", "word"), [(["vit", "resnet2"], "soup.resnet.members=[resnet2]"), (["vit"], "~soup.resnet")]
)
def test_the_command_without_a_member_takes_it_out_of_the_soups_of_others(
    inputs: PageInputs, others: list[str], word: str
) -> None:
    """`check` refuses a soup of a member that is not there."""
    given = replace(inputs, values=inputs.values | {"soup": {"resnet": {"members": others}}})
    commands = [one.command for one in advice.all_advice(given) if "vit harms" in one.text]
    assert commands == [f"dvc exp run -S '~members.vit' -S '{word}'"]


@pytest.mark.parametrize(
    ("leaks", "first", "them", "labels"), [(1, "1 of 3 test images has", "it", "its label"),
                                           (2, "2 of 3 test images have", "them", "their labels")]
)  # fmt: skip
def test_one_test_image_in_train_is_told_of_in_the_singular(
    inputs: PageInputs, leaks: int, first: str, them: str, labels: str
) -> None:
    said = (
        f"{first} a duplicate in train. A leaderboard score is optimistic on {them}. If the rules allow it,"
        f" ensemble.leaked_labels uses {labels}."
    )
    found = {
        "data/analyze/summary.json": {"test_images_with_a_train_duplicate": leaks},
        "metrics/summary.json": inputs.summary("metrics/summary.json") | {"n_test_images": 3},
    }
    given = replace(inputs, found=inputs.found | found)
    assert said in [one.text for one in advice.all_advice(given)]


def test_names_as_labels_are_said_to_be_in_the_path(inputs: PageInputs) -> None:
    columns = inputs.contest.columns.model_copy(update={"pattern": "(?P<label>[a-z]+)_"})
    named = inputs.contest.model_copy(update={"layout": "names", "columns": columns})
    assert "(?P<label>[a-z]+)_" in content.label_source(named)
    assert "none.csv" not in content.label_source(named)


def test_every_row_to_copy_has_its_picture(inputs: PageInputs, text: str) -> None:
    section = model_sections.suspects(inputs)
    offered = list(inputs.table("data/review/overrides_to_consider.csv")["image_id"])
    assert [image.lines[0] for image in section["gallery"].images] == offered
    assert section["n_copied"] == len(offered) == 2
    assert "not flagged" in text


@pytest.mark.parametrize("at_chance", [["vit"], ["resnet", "vit"]])
def test_suspected_labels_count_only_where_a_member_is_better_than_chance(
    inputs: PageInputs, at_chance: list[str]
) -> None:
    path = "data/review/summary.json"
    wrong = inputs.used["image_id"].iloc[inputs.wrong[0]]
    suspects = inputs.table("data/review/suspects.csv").assign(image_id=wrong, flagged="yes")
    summary = inputs.summary(path) | {"members_at_chance": at_chance}
    given = replace(inputs, found=inputs.found | {path: summary, "data/review/suspects.csv": suspects})
    tagged = any("suspected label" in image.lines for image in galleries.mistakes(given).images)
    advised = any("that may be wrong" in one.text for one in advice.all_advice(given))
    assert tagged == advised == (at_chance == ["vit"])


def test_a_contest_without_overrides_is_told_where_to_put_them(tmp_path: Path) -> None:
    page_run.write(tmp_path)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    values["contest"] |= {"labels": "data/contest/train.csv", "overrides": placeholders.NO_FILE}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    page.main(root=tmp_path)
    text = (tmp_path / page.PAGE).read_text(encoding="utf-8")
    assert placeholders.NO_FILE not in text  # it stays as it is: other settings name it too
    assert text.count("contest.overrides: data/contest/overrides.csv") == 2


def test_the_page_quotes_the_coverage_of_its_document(text: str) -> None:
    document = (PROJECT / "docs/honest_scores.md").read_text(encoding="utf-8")
    measured = re.search(r"in (\d+ to \d+)% by\s+today's", document)
    assert measured
    assert f"in {measured[1]}% of contests" in text


def test_a_matrix_of_few_classes_hides_no_name() -> None:
    names = ("buttercup", "coltsfoot", "dandelion")
    rows = [{"label": a, "predicted": b, "images": 1, "share": 0.3} for a in names for b in names]
    drawn = charts.heatmap("matrix", "matrix", rows, len(names))
    for picture in (drawn.wide, drawn.narrow):
        assert picture is not None
        assert [picture.count(f">{name}</text>") for name in names] == [2, 2, 2]
        assert not re.search(r'<text[^>]* opacity="0"', picture)


def test_epochs_count_from_1_and_a_train_loss_alone_is_said(inputs: PageInputs) -> None:
    held_out = model_sections.curves(inputs)
    assert (held_out["has_held_out"], held_out["unseen"]) == (True, [])
    assert ">2</text>" in held_out["charts"][0].wide
    assert ">0</text>" not in held_out["charts"][0].wide
    series = {"held_out_log_loss": "train_loss", "held_out_accuracy_score": "train_accuracy"}
    section = model_sections.curves(replace(inputs, curves=inputs.curves.rename(columns=series)))
    assert not section["has_held_out"]
    assert len(section["unseen"]) == len(section["charts"]) == 1


def test_each_blending_method_in_the_table_is_explained(text: str) -> None:
    assert f"<li>equal: {escape(method_registry.METHODS['equal'].meaning)}</li>" in text


def test_what_comes_from_data_is_escaped(text: str) -> None:
    assert "alert(" in text
    assert "<script" not in text
    assert {tag for tag, _ in Elements(text).found}.isdisjoint({"script", "iframe", "object", "embed"})


def test_the_page_loads_nothing_and_every_link_and_image_has_its_target_and_name(text: str) -> None:
    elements = Elements(text).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in elements:
        for name in ("href", "src"):
            target = attributes.get(name) or ""
            assert not target or target.startswith("data:") or target.removeprefix("#") in ids, target
        assert tag != "img" or attributes["alt"]
        assert tag != "svg" or (attributes["role"] == "img" and attributes["aria-label"])
    assert "url(" not in text


def test_the_same_tables_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    page_run.write(tmp_path)
    page.main(root=tmp_path)
    assert (tmp_path / page.PAGE).read_bytes() == (root / page.PAGE).read_bytes()


def test_a_thousand_classes_leave_the_page_short(tmp_path: Path, text: str) -> None:
    page_run.write(tmp_path, n_classes=1000, per_class=1)
    page.main(root=tmp_path)
    large = (tmp_path / page.PAGE).read_text(encoding="utf-8")
    assert len(large) < 4 * len(text) < 8e6
    assert "1,000" in large


def test_the_copy_of_make_has_commit_and_times(root: Path, text: str) -> None:
    assert run_page.write(root / "data") is None
    (root / stage_times.LOG).parent.mkdir()
    rows = [f"2026-01-01T00:00:00,probe@a,{seconds}\n" for seconds in (30.0, 61.5)]
    (root / stage_times.LOG).write_text("".join(rows))
    assert run_page.write(root) == run_page.COPY
    copied = (root / run_page.COPY).read_text(encoding="utf-8")
    assert "probe@a" in copied
    assert "61.5" in copied
    assert "30.0" not in copied
    assert copied.startswith(text[: text.index(run_page.START)])
    assert copied.rstrip().endswith("</html>")


def test_the_copy_of_make_names_files_that_are_not_committed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"rev-parse": "abc\n", "status": " M params.yaml\nM  dvc.lock\n"}
    monkeypatch.setattr(run_page, "_git", lambda _root, *words: said[words[0]])
    (tmp_path / run_page.PAGE).parent.mkdir(parents=True)
    shutil.copy(root / run_page.PAGE, tmp_path / run_page.PAGE)
    run_page.write(tmp_path)
    assert "params.yaml, dvc.lock" in (tmp_path / run_page.COPY).read_text(encoding="utf-8")


@in_chromium
def test_the_console_of_a_browser_stays_empty(root: Path, tmp_path: Path) -> None:
    """The page's own policy forbids all requests, so a request would be an error in the console."""
    assert "CONSOLE" not in chromium(root / page.PAGE, 800, tmp_path).stderr


@in_chromium
@pytest.mark.parametrize(
    ("n_classes", "width", "is_dark"),
    [(2, 390, False), (2, 800, True), (2, 1280, False), (12, 390, False), (1000, 390, False), (1000, 1280, True)],
)
def test_a_browser_shows_no_small_or_faint_text_and_no_overflow_and_keys_reach_all(
    tmp_path: Path, n_classes: int, width: int, is_dark: bool
) -> None:
    page_run.write(tmp_path, n_classes=n_classes, per_class=1 if n_classes > 100 else 4)
    page.main(root=tmp_path)
    path = tmp_path / page.PAGE
    policy = re.compile(r"<meta http-equiv[^>]*>")
    text = path.read_text(encoding="utf-8")
    assert policy.search(text)
    path.write_text(policy.sub("", text).replace("</body>", MEASURE + "</body>"), encoding="utf-8")
    shown = chromium(path, width, tmp_path, is_dark).stdout
    found = re.search(r'<pre id="measured">(.*?)</pre>', shown, re.DOTALL)
    assert found
    measured: dict[str, Any] = json.loads(html.unescape(found[1]))
    assert measured["smallest"] > 11.99
    assert measured["wider"] <= 0
    assert not measured["dead"]
    assert measured["charts"] >= 7
    assert not measured["faint"]  # WCAG 2.2, 1.4.3
    assert not measured["mouse_alone"]


def chromium(path: Path, width: int, profile: Path, is_dark: bool = False) -> subprocess.CompletedProcess[str]:
    """Open a file headless; stderr has the console, stdout the page as it is then."""
    assert CHROMIUM is not None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    options += [f"--user-data-dir={profile}/profile", f"--window-size={width},900"]
    options += ["--blink-settings=preferredColorScheme=0"] * is_dark
    return subprocess.run([CHROMIUM, *options, path.as_uri()], capture_output=True, text=True, check=True, timeout=120)
