"""Labels and overrides: which image an id means, which label it gets, and which mistakes are refused."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium import contracts
from podium.contest import ids, labels, paths
from podium.contest.list_settings import ImageLists
from podium.core.errors import InputError
from podium.core.placeholders import NO_FILE, NO_FOLDER

# the same examples on every run, however slow the machine
STEADY = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
SHARED = Path(__file__).parents[1].parent / "shared" / "data"
IMAGES = ["a.jpg", "b.jpg", "c.png"]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding, newline="")
    return path


def read(tmp_path: Path, text: str, images: list[str] = IMAGES, **options):
    path = write(tmp_path / "labels.csv", text, options.pop("encoding", "utf-8"))
    given = labels.read_labels(
        path, images=ids.ImageIndex(images), **{"id_column": "id", "label_column": "label", **options}
    )
    return given.table, given.problems


def labels_of(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["image_id"], table["label"], strict=True))


def facts(**problems: str) -> pd.DataFrame:
    return pd.DataFrame({"image_id": IMAGES, "problem": [problems.get(i[0], "") for i in IMAGES]}, dtype="str")


def overrides(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["image_id", "action", "reason"], dtype="str")


def labelled(**by_name: str) -> pd.DataFrame:
    rows = [(f"{name}.{'png' if name == 'c' else 'jpg'}", label, "", "") for name, label in by_name.items()]
    return pd.DataFrame(rows, columns=["image_id", "label", "group", "fold"], dtype="str")


# --- which image an id means


@pytest.mark.parametrize(
    ("written", "image_id"),
    [
        ("x/a.jpg", "x/a.jpg"),
        ("x/a", "x/a.jpg"),
        ("a.jpg", "x/a.jpg"),
        ("a", "x/a.jpg"),
        ("./x/a.jpg", "x/a.jpg"),
        (" x/a.jpg ", "x/a.jpg"),
        ("0012", "0012.png"),
        ("12", None),
        ("v1.0", "v1.0.jpg"),
        ("b..c", "b..c.jpg"),
        ("noending", "noending"),
        ("a.png", None),
        ("y/a.jpg", None),
    ],
)
def test_an_id_is_a_path_or_a_name_with_or_without_ending(written, image_id):
    images = ids.ImageIndex(["x/a.jpg", "0012.png", "v1.0.jpg", "b..c.jpg", "noending"])
    assert images.find(written, "row 2") == image_id


@given(st.lists(st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3})?\.(jpg|png)", fullmatch=True), unique=True))
@settings(max_examples=50, **STEADY)
def test_every_image_is_found_by_its_own_id(image_ids):
    images = ids.ImageIndex(image_ids)
    assert [images.find(image_id, "row 2") for image_id in image_ids] == image_ids


APART, TOGETHER = "e\u0301", "\u00e9"  # two ways to write one letter: macOS's, and that of most others


@pytest.mark.parametrize(("file", "written"), [(APART, TOGETHER), (TOGETHER, APART)])
@pytest.mark.parametrize("form", ["x/{}.jpg", "x/{}", "{}.jpg", "{}", " {} "])
def test_an_id_may_be_written_in_other_characters_that_look_the_same(file, written, form):
    images = ids.ImageIndex([f"x/{file}.jpg", "x/e.jpg"])
    assert images.find(form.format(written), "row 2") == f"x/{file}.jpg"


def test_the_exact_characters_come_first_and_files_that_look_the_same_are_ambiguous():
    images = ids.ImageIndex([f"{APART}{APART}.jpg", f"{TOGETHER}{TOGETHER}.jpg"])
    assert images.find(APART * 2, "row 2") == f"{APART}{APART}.jpg"
    assert images.find(TOGETHER * 2, "row 2") == f"{TOGETHER}{TOGETHER}.jpg"
    with pytest.raises(InputError, match=r"row 2: id .* look the same .*'e\\u0301e\\u0301\.jpg'.*; rename all but one"):
        images.find(APART + TOGETHER, "row 2")


@pytest.mark.parametrize("written", ["a", "x/a"])
def test_an_ambiguous_id_names_all_its_images(written):
    images = ids.ImageIndex(["x/a.jpg", "x/a.png"])
    with pytest.raises(InputError, match=r"row 7: id '.*a' could be any of x/a.jpg, x/a.png"):
        images.find(written, "row 7")


def test_the_whole_path_beats_a_bare_name():
    images = ids.ImageIndex(["a.jpg", "x/a.jpg"])
    assert images.find("a.jpg", "row 2") == "a.jpg"
    with pytest.raises(InputError, match=r"x/b.jpg, y/b.jpg"):
        ids.ImageIndex(["x/b.jpg", "y/b.jpg"]).find("b.jpg", "row 2")


@pytest.mark.parametrize(
    "written", ["../a.jpg", "x/../a.jpg", "/etc/passwd", "x\\a.jpg", "C:/a.jpg", "c:a.jpg", " /a", ".."]
)
def test_an_id_that_may_leave_the_folder_is_refused(tmp_path, written):
    with pytest.raises(InputError, match=r"labels.csv: row 3: id .* may leave the image folder"):
        read(tmp_path, f"id,label\na,x\n{written},y\n")


def test_a_file_whose_name_holds_a_backslash_is_found_by_it(tmp_path):
    assert ids.ImageIndex(["x\\a.jpg", "y/b\\c.jpg"]).find("x\\a.jpg", "row 2") == "x\\a.jpg"
    assert ids.ImageIndex(["x\\a.jpg", "y/b\\c.jpg"]).find("y/b\\c.jpg", "row 2") == "y/b\\c.jpg"


def test_folders_that_an_archive_lost_are_named():
    table, problems = labels.folder_labels(["cat\\a.jpg", "dog\\x.jpg", "b.jpg", "dog/c\\d.jpg"])
    assert labels_of(table) == {"dog/c\\d.jpg": "dog"}
    assert ["unpack" in problem for _, problem in problems] == [False, True, True]


@pytest.mark.parametrize("written", ["", " "])
def test_an_empty_id_is_refused(tmp_path, written):
    with pytest.raises(InputError, match="row 2: the id is empty"):
        read(tmp_path, f"id,label\n{written},x\n")


def test_an_image_in_two_spellings_is_one_image(tmp_path):
    with pytest.raises(InputError, match=r"rows 2, 3: .* different labels"):
        read(tmp_path, f"id,label\n{APART},x\n{TOGETHER},y\n", [f"{APART}.jpg"])


# --- labels


def test_cells_survive_as_they_are_written(tmp_path):
    text = 'id,label,group,fold\na,NA,0012,01\nb,0012, null ,None\n"c","x, y",,nan\n'
    table, problems = read(tmp_path, text, group_column="group", fold_column="fold")
    assert table.to_numpy().tolist() == [
        ["a.jpg", "NA", "0012", "01"],
        ["b.jpg", "0012", "null", "None"],
        ["c.png", "x, y", "", "nan"],
    ]
    assert problems == []


def test_a_byte_order_mark_and_windows_line_ends_are_read_through(tmp_path):
    table, _ = read(tmp_path, "id,label\r\na,x\r\nb,y\r\n", encoding="utf-8-sig")
    assert labels_of(table) == {"a.jpg": "x", "b.jpg": "y"}


def test_floats_as_text_are_classes_of_that_name(tmp_path):
    assert labels_of(read(tmp_path, "id,label\na,0.0\nb,1.0\n")[0]) == {"a.jpg": "0.0", "b.jpg": "1.0"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,label\na,x\n", r"no column 'id'; there are \['image', 'label'\]"),
        ("id:label\na:x\n", r"no column 'id', 'label'; there are \['id:label'\]; cells are separated by commas"),
        ("id;label\na;x\nb;x;y\n", "labels.csv: line 3 has 3 cells, the lines before it have 2; .* holds ';'"),
        ("id,label,label\na,x,y\n", "several columns are called 'label'"),
        ("id,label\na,x,y\nb,x,y\n", "labels.csv: line 2 has 3 cells, the lines before it have 2; put quotes"),
        ("", "labels.csv: holds no cells"),
        ("id,label\n", "no id of column 'id': there are no rows"),
        ("id,label\nq,x\n", r"no id of column 'id' names a train image: q; .* a\.jpg"),
        ("id,label\na,x\na.jpg,y\n", r"rows 2, 3: a.jpg has different labels.*row 2 'x', row 3 'y'"),
        ("id,label\na,x\na.jpg,\n", "rows 2, 3: a.jpg has different labels"),
        ("id,label\na,x\nb, x\n", r"labels 'x', ' x' differ only in the whitespace.*row 3 ' x'"),
        ("id,label\na,0\nb,0.0\n", r"labels '0', '0.0' are the same number; say `label_type: number`"),
        ("id,label\na,01\nb,1\n", "say `label_type: number`"),
    ],
)
def test_a_faulty_file_is_refused_by_name(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


@pytest.mark.parametrize("cell", ['"x,y"', '"y, x"', "x;y", "x|y", "x y", "\"['x']\"", "[x]", '"{""x"": 1}"'])
def test_several_labels_in_one_cell_are_refused_by_row(tmp_path, cell):
    with pytest.raises(InputError, match=r"several labels in one cell.*: row 4 "):
        read(tmp_path, f"id,label\na,x\nb,y\nc,{cell}\n")


def test_a_label_of_two_words_is_one_label(tmp_path):
    table, _ = read(tmp_path, 'id,label\na,new york\nb,york\nc,"x, y (z)"\n')
    assert sorted(table["label"]) == ["new york", "x, y (z)", "york"]


def test_several_labels_in_a_cell_are_refused_with_spaces_inside(tmp_path):
    with pytest.raises(InputError, match="row 4"):
        read(tmp_path, 'id,label\na,new york\nb,rome\nc,"new york, rome"\n')


def test_a_label_that_holds_another_s_separator_is_one_class_if_the_setting_says_so(tmp_path):
    text = "id,label\na,rust\nb,scab\nc,rust scab\n"
    with pytest.raises(InputError, match=r'contest\.whole_labels: \["rust scab"\]: row 4'):
        read(tmp_path, text)
    assert sorted(read(tmp_path, text, whole_labels=("rust scab",))[0]["label"]) == ["rust", "rust scab", "scab"]
    with pytest.raises(InputError, match=r"contest\.whole_labels: 'rust scap': no label of"):
        read(tmp_path, text, whole_labels=("rust scab", "rust scap"))


def test_labels_without_an_image_are_counted_by_class(tmp_path):
    path = write(tmp_path / "labels.csv", "id,label\na,1\nb,2\nq,01\nr,3\nr,3\ns,\nt,what\n")
    columns = {"id_column": "id", "label_column": "label"}
    given = labels.read_labels(path, images=ids.ImageIndex(IMAGES), label_type="number", **columns)
    assert given.without_image == {"1": 1, "3": 1, "what": 1}


def test_a_file_that_is_no_image_is_found_where_no_image_has_the_name():
    images = ids.ImageIndex(["a.jpg"], ["a.json", "notes.txt"])
    assert [images.find(text, "row 2") for text in ("a", "a.json", "notes", "b")] == [
        "a.jpg",
        "a.json",
        "notes.txt",
        None,
    ]


def test_a_repeated_row_is_reported_and_used_once(tmp_path):
    table, problems = read(tmp_path, "id,label\na,x\nb,y\na.jpg,x\n")
    assert labels_of(table) == {"a.jpg": "x", "b.jpg": "y"}
    assert problems == [("a.jpg", "labels.csv: rows 2, 4: stands there with the same label; one is used")]


def test_a_label_without_an_image_is_reported(tmp_path):
    table, problems = read(tmp_path, "id,label\na,x\nlost,y\n")
    assert labels_of(table) == {"a.jpg": "x"}
    assert problems == [("lost", "labels.csv: row 3: there is no such image")]


@pytest.mark.parametrize("label", ["x</ScRiPt><script>alert(1)", "<!--", "\x1b[2Jx", "\x9b2Jx"])
def test_a_label_that_would_command_a_page_or_a_terminal_is_refused(tmp_path, label):
    with pytest.raises(InputError, match=r"labels hold .* correct them: row 3"):
        read(tmp_path, f"id,label\na,<1 mm\nb,{label}\n")
    if "/" not in label:
        with pytest.raises(InputError, match=r"class folders: labels hold .* correct them"):
            labels.folder_labels(["x/a.jpg", f"{label}/b.jpg"])


def test_labels_that_look_the_same_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"look the same.*row 2 .*row 3"):
        read(tmp_path, "id,label\na,caf\u00e9\nb,cafe\u0301\n")


def test_an_id_without_an_image_commands_no_terminal(tmp_path):
    assert read(tmp_path, "id,label\na,x\n\x1b[2Jlost,y\n")[1][0][0] == "\\x1b[2Jlost"


@pytest.mark.parametrize("other", ["cat\u200b", "\ufeffcat", "c\u00adat", "ca\u2060t", "cat\ufe0f"])
def test_labels_that_differ_by_invisible_characters_are_refused_with_their_code_points(tmp_path, other):
    code = f"U\\+{ord(next(c for c in other if not c.isascii())):04X}"
    with pytest.raises(InputError, match=rf"'cat' \(U\+0063 .*{code}.*row 2 .*row 3"):
        read(tmp_path, f"id,label\na,cat\nb,{other}\n")
    with pytest.raises(InputError, match=rf"class folders: .*{code}"):
        labels.folder_labels(["cat/a.jpg", f"{other}/b.jpg"])


def test_kinds_of_spaces_are_one_and_groups_are_told_apart_by_what_can_be_seen(tmp_path):
    with pytest.raises(InputError, match=r"U\+00A0.*kinds of spaces"):
        read(tmp_path, "id,label\na,red fox\nb,red\u00a0fox\n")
    with pytest.raises(InputError, match=r"groups .*U\+200B"):
        read(tmp_path, "id,label,site\na,x,1\nb,y,1\u200b\n", group_column="site")


@pytest.mark.parametrize("cell", ["", " ", "\t", "\u200b", "\u00a0\ufeff"])
def test_a_label_of_whitespace_is_empty(tmp_path, cell):
    assert labels_of(read(tmp_path, f"id,label\na,x\nb,{cell}\n")[0])["b.jpg"] == ""


def test_a_labelled_image_without_its_own_fold_is_refused(tmp_path):
    with pytest.raises(InputError, match="no fold in column 'fold': row 3 'b'"):
        read(tmp_path, "id,label,fold\na,x,1\nb,y,\nc,,\n", fold_column="fold")


def test_folds_that_pandas_wrote_as_floats_are_the_folds_of_params(tmp_path):
    """pandas writes a column of whole numbers with a gap so; a fold's name may not hold a point."""
    table, _ = read(tmp_path, "id,label,fold\na,x,0.0\nb,y,1.0\nc,y,x1.0\n", fold_column="fold")
    assert list(table["fold"]) == ["0", "1", "x1.0"]


def test_a_repeat_in_another_fold_is_refused(tmp_path):
    with pytest.raises(InputError, match="different labels, groups or folds"):
        read(tmp_path, "id,label,fold\na,x,1\na,x,2\n", fold_column="fold")


# --- labels that are numbers


def test_numbers_are_one_class_however_they_are_spelled(tmp_path):
    table, _ = read(
        tmp_path, "id,label\na,1\nb,1.0\nc,01\nd,-0\ne,0.50\n", [f"{c}.jpg" for c in "abcde"], label_type="number"
    )
    assert list(table["label"]) == ["1", "1", "1", "0", "0.5"]


@pytest.mark.parametrize("cell", ["x", "nan", "inf", "1_0", "0x1", '"1,5"', "१"])
def test_what_is_no_number_is_refused_by_row(tmp_path, cell):
    with pytest.raises(InputError, match=r"not numbers.*row 3"):
        read(tmp_path, f"id,label\na,1\nb,{cell}\n", label_type="number")


@settings(**STEADY)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12))
def test_a_number_is_spelled_the_same_whatever_its_zeros(number):
    text = ids.number_text(number)
    assert ids.as_number(text) == number
    assert ids.number_text(number + Decimal("0.0000")) == text


def test_long_numbers_stay_apart():
    numbers = [ids.as_number(f"1234567890123456789012345678901234567890{last}") for last in "12"]
    assert len({ids.number_text(number) for number in numbers if number is not None}) == 2


# --- a folder per class


def test_the_first_folder_is_the_class():
    table, problems = labels.folder_labels(["0012/a.jpg", "new york/x/b.jpg", "c.jpg"])
    assert labels_of(table) == {"0012/a.jpg": "0012", "new york/x/b.jpg": "new york"}
    assert problems == [("c.jpg", "lies in no class folder: move it into one")]


def test_class_folders_can_be_numbers():
    table, _ = labels.folder_labels(["01/a.jpg", "1/b.jpg", "2/c.jpg"], label_type="number")
    assert list(table["label"]) == ["1", "1", "2"]
    with pytest.raises(InputError, match="the class folders: labels '01', '1' are the same number"):
        labels.folder_labels(["01/a.jpg", "1/b.jpg"])


# --- overrides


def read_overrides(tmp_path: Path, text: str, classes: tuple[str, ...] = ("x", "y"), label_type: str = "text"):
    path = write(tmp_path / "overrides.csv", text)
    return labels.read_overrides(path, images=ids.ImageIndex(IMAGES), classes=classes, label_type=label_type)


def test_overrides_name_images_as_labels_do(tmp_path):
    table = read_overrides(tmp_path, "image_id,action,reason\na,x,blurred\nb.jpg,drop,\n")
    assert table.to_numpy().tolist() == [["a.jpg", "x", "blurred"], ["b.jpg", "drop", ""]]
    table = read_overrides(tmp_path, "image_id,action,reason\na,1.0,\n", ("0", "1"), "number")
    assert list(table["action"]) == ["1"]


def test_no_overrides(tmp_path):
    assert len(read_overrides(tmp_path, "image_id,action,reason\n")) == 0
    none = labels.read_overrides(tmp_path / NO_FILE, images=ids.ImageIndex([]), classes=())
    assert list(none.columns) == ["image_id", "action", "reason"]
    assert none.empty


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image_id,action\na,x\n", "no column 'reason'; .* image_id,action,reason"),
        ("image_id,action,reason\nq,x,\n", "row 2: there is no train image 'q'"),
        ("image_id,action,reason\n../a,x,\n", "row 2: id '../a' may leave"),
        ("image_id,action,reason\na,X,\n", "row 2: action 'X' is neither `drop` nor a class: x, y"),
        ("image_id,action,reason\na,,\n", "row 2: action '' is neither"),
        (
            "image_id,action,reason\na drop,\n",
            r"overrides.csv: row 2: .* 'a drop'; .* \(a row .*,action,reason,",
        ),
        (
            "image_id,action,reason\na,drop blurred\n",
            r"row 2: action 'drop blurred' .* \(a row .*,action,reason,",
        ),
        (
            "image_id,action,reason\na,x,b,c\n",
            "overrides.csv: line 2 has 4 cells, the lines before it have 3; put quotes",
        ),
        ("image_id,action,reason\na,x,\na.jpg,drop,\n", "several overrides; keep one: row 2 'a.jpg', row 3 'a.jpg'"),
    ],
)
def test_a_faulty_override_is_refused_by_row(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_overrides(tmp_path, text)


def test_all_faulty_overrides_are_named_at_once(tmp_path):
    rows = "".join(f"q{i},x,\n" for i in range(12))
    with pytest.raises(InputError) as caught:
        read_overrides(tmp_path, f"image_id,action,reason\na,X,\nb,y,\n{rows}")
    first, second, *_, last = str(caught.value).split("\n")
    assert "row 2: action 'X'" in first
    assert "row 4: there is no train image 'q0'" in second
    assert last.endswith("overrides.csv: 3 rows more are wrong")
    assert len(str(caught.value).split("\n")) == 11


def test_a_class_called_drop_makes_the_action_ambiguous(tmp_path):
    with pytest.raises(InputError, match="rename the class"):
        read_overrides(tmp_path, "image_id,action,reason\na,drop,\n", ("drop", "x"))


# --- the join


def row_of(joined: labels.JoinedLabels, image_id: str) -> list[str]:
    table = joined.labels.set_index("image_id")
    return table.loc[image_id, ["label", "use", "reason"]].tolist()


def test_every_image_has_a_row_sorted_by_id_and_every_skip_a_problem():
    joined = labels.join(facts(b="truncated"), labelled(c="x", b="y"), overrides())
    assert list(joined.labels["image_id"]) == IMAGES
    assert list(joined.labels.columns) == list(contracts.LABELS.columns)
    assert row_of(joined, "a.jpg") == ["", "skip", "no label"]
    assert row_of(joined, "b.jpg") == ["y", "skip", "truncated"]
    assert row_of(joined, "c.png") == ["x", "train", ""]
    assert sorted(joined.problems) == [("a.jpg", "skipped: no label"), ("b.jpg", "skipped: truncated")]
    assert joined.skipped == {"no label": 1, "unreadable": 1}


def test_an_empty_label_differs_from_no_label():
    joined = labels.join(facts(), labelled(a="x", b=""), overrides())
    assert row_of(joined, "b.jpg") == ["", "skip", "empty label"]
    assert row_of(joined, "c.png") == ["", "skip", "no label"]


def test_overrides_relabel_drop_and_are_counted():
    rows = overrides(("a.jpg", "y", "a slip"), ("b.jpg", "drop", " "), ("c.png", "x", "new"))
    joined = labels.join(facts(), labelled(a="x", b="y"), rows)
    assert row_of(joined, "a.jpg") == ["y", "train", "override: a slip"]
    assert row_of(joined, "b.jpg") == ["y", "skip", "override"]
    assert row_of(joined, "c.png") == ["x", "train", "override: new"]
    assert joined.overrides == {"relabelled": 2, "dropped": 1, "confirmed": 0, "without effect": 0}
    assert joined.problems == []
    assert joined.skipped == {"override": 1}
    assert joined.overrides_applied.to_numpy().tolist() == [
        ["a.jpg", "x", "y", "relabelled"],
        ["b.jpg", "y", "drop", "dropped"],
        ["c.png", "", "x", "relabelled"],
    ]


@pytest.mark.parametrize("action", ["x", "drop"])
def test_an_override_of_an_unreadable_image_is_reported(action):
    joined = labels.join(facts(a="truncated"), labelled(a="x", b="y", c="y"), overrides(("a.jpg", action, "why")))
    assert row_of(joined, "a.jpg") == ["x", "skip", "truncated"]
    assert ("a.jpg", "its override has no effect") in joined.problems
    assert joined.overrides == {"relabelled": 0, "dropped": 0, "confirmed": 0, "without effect": 1}


def test_a_confirmed_label_is_counted_and_leaves_the_labels_as_they_are():
    labels_given = labelled(a="x", b="y", c="y")
    joined = labels.join(facts(), labels_given, overrides(("a.jpg", "x", "looked at it")))
    pd.testing.assert_frame_equal(joined.labels, labels.join(facts(), labels_given, overrides()).labels)
    assert joined.overrides == {"relabelled": 0, "dropped": 0, "confirmed": 1, "without effect": 0}
    assert joined.overrides_applied.to_numpy().tolist() == [["a.jpg", "x", "x", "confirmed"]]
    assert joined.problems == []


labels_or_none = st.sampled_from(["x", "y", "", None])


@given(
    st.tuples(labels_or_none, labels_or_none, labels_or_none),
    st.dictionaries(st.sampled_from(IMAGES), st.sampled_from(["x", "y", "drop"])),
    st.sets(st.sampled_from("abc")),
    st.randoms(),
)
@settings(max_examples=30, **STEADY)
def test_the_join_loses_nothing_and_ignores_the_order_of_rows(labels_given, actions, unreadable, random):
    rows = labelled(**{name: label for name, label in zip("abc", labels_given, strict=True) if label is not None})
    changes = overrides(*((image_id, action, "r") for image_id, action in actions.items()))
    table = facts(**dict.fromkeys(unreadable, "broken"))
    joined = labels.join(table, rows, changes)
    shuffled = labels.join(table.sample(frac=1, random_state=random.randrange(99)), rows.iloc[::-1], changes.iloc[::-1])
    pd.testing.assert_frame_equal(joined.labels, shuffled.labels)
    assert list(joined.labels["image_id"]) == IMAGES
    skipped = joined.labels[joined.labels["use"] == "skip"]
    assert sum(joined.skipped.values()) == len(skipped)
    assert (skipped["reason"] != "").all()
    assert (joined.labels.loc[joined.labels["use"] == "train", "label"] != "").all()
    assert sum(joined.overrides.values()) == len(actions)


def test_fewer_than_two_classes_are_refused():
    one = labels.join(facts(), labelled(a="x", b="x"), overrides()).labels
    with pytest.raises(InputError, match="only one class, 'x'"):
        labels.require_classes(one)
    none = labels.join(facts(a="broken"), labelled(a="x"), overrides()).labels
    with pytest.raises(InputError, match="no labelled image that can be used"):
        labels.require_classes(none)
    two = labels.join(facts(), labelled(a="y", b="x", c="y"), overrides()).labels
    assert labels.require_classes(two) == {"x": 1, "y": 2}


# --- paths


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for folder in ("c/train", "c/test", NO_FOLDER):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("c/labels.csv", "c/overrides.csv", "c/template.csv", "c/train/labels.csv"):
        write(tmp_path / file, "id,label\n")
    write(tmp_path / NO_FILE, "")
    return tmp_path


PATHS = {
    "train": "c/train",
    "test": "c/test",
    "layout": "csv",
    "labels": "c/labels.csv",
    "overrides": "c/overrides.csv",
    "template": "c/template.csv",
    "id_column": "id",
    "label_column": "label",
    "group_column": None,
    "fold_column": None,
}
FOLDERS = {"layout": "folders", "labels": NO_FILE}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"test": NO_FOLDER, "template": NO_FILE, "overrides": NO_FILE},
        FOLDERS,
        {"group_column": "site", "fold_column": "site"},
        {"train": "demo/train", "labels": "demo/labels.csv", "made_later": ("demo",)},
    ],
)
def test_paths_that_work(place, change):
    paths.check_paths(place, **{**PATHS, **change})
    absolute = {k: str(place / v) for k, v in PATHS.items() if k in ("train", "labels")}
    paths.check_paths(place, **{**PATHS, **absolute})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": "c/nowhere"}, "contest.images.train: c/nowhere is no folder"),
        ({"train": "c/labels.csv"}, "contest.images.train: c/labels.csv is no folder"),
        ({"train": NO_FOLDER}, "contest.images.train: is the placeholder"),
        ({"test": "c/train"}, "contest.images: train and test must be two folders"),
        ({"test": "c"}, "contest.images: train and test must be two folders"),
        ({"train": "c/../c"}, "contest.images: train and test must be two folders"),
        ({"labels": "c/nothing.csv"}, "contest.labels: c/nothing.csv is no file"),
        ({"labels": NO_FILE}, "contest.labels: is the placeholder, but `layout: csv`"),
        ({"labels": "c/train/labels.csv"}, "contest.labels: c/train/labels.csv lies in images.train.*put it outside"),
        ({"overrides": "c/train/labels.csv"}, "contest.overrides: .* lies in images.train"),
        ({"template": "c/train/labels.csv"}, "contest.template: .* lies in images.train"),
        ({**FOLDERS, "labels": "c/labels.csv"}, "contest.labels: has no effect with `layout: folders`"),
        ({**FOLDERS, "group_column": "g"}, "contest.columns.group: has no effect with `layout: folders`"),
        ({**FOLDERS, "fold_column": "f"}, "contest.columns.fold: has no effect with `layout: folders`"),
        ({"label_column": "id"}, "contest.columns: 'id' is named as the label and"),
        ({"template": "demo/t.csv"}, "contest.template: demo/t.csv is no file"),
    ],
)
def test_paths_that_cannot_work_are_refused_by_key(place, change, words):
    with pytest.raises(InputError, match=rf"(?m)^params.yaml: {words}"):
        paths.check_paths(place, **{**PATHS, **change})


def test_train_and_test_may_share_a_folder_that_lists_tell_apart(place):
    train, test = ImageLists(train_pattern="^a"), ImageLists(test_pattern="^b")
    both = ImageLists(train_pattern="^a", test_pattern="^b")
    for folders, lists, fits in [
        ({"test": "c/train"}, both, True),
        ({"test": "c/train"}, train, False),
        ({"train": "c"}, train, True),
        ({"train": "c"}, test, False),
        ({"test": "c"}, test, True),
    ]:
        change = {**PATHS, **dict.fromkeys(("labels", "overrides", "template"), NO_FILE), **FOLDERS, **folders}
        if fits:
            paths.check_paths(place, **change, lists=lists)
        else:
            with pytest.raises(InputError, match=r"two folders.*contest\.lists\.(train|test)"):
                paths.check_paths(place, **change, lists=lists)


def test_all_wrong_paths_are_reported_at_once(place):
    with pytest.raises(InputError, match=r"(?s)images.train.*labels.*overrides"):
        paths.check_paths(place, **{**PATHS, "train": "q", "labels": "r", "overrides": "s"})


def test_an_empty_file_is_not_the_placeholder(place):
    write(place / "c/empty.csv", "")
    with pytest.raises(InputError, match=r"contest.template: c/empty.csv is empty"):
        paths.check_paths(place, **{**PATHS, "template": "c/empty.csv"})


def test_a_link_is_judged_by_where_it_leads(place):
    (place / "linked").symlink_to(place / "c/train")
    paths.check_paths(place, **{**PATHS, "train": "linked"})
    with pytest.raises(InputError, match="two folders"):
        paths.check_paths(place, **{**PATHS, "test": "linked"})
    (place / "c/linked.csv").symlink_to(place / "c/train/labels.csv")
    with pytest.raises(InputError, match=r"contest.labels: c/linked.csv lies in images.train"):
        paths.check_paths(place, **{**PATHS, "labels": "c/linked.csv"})


def test_a_folder_that_dvc_tracks_but_is_not_checked_out(place):
    write(place / "c/photos.dvc", "outs: []\n")
    with pytest.raises(InputError, match="c/photos is no folder; run `dvc checkout` or `dvc pull`"):
        paths.check_paths(place, **{**PATHS, "train": "c/photos"})


# --- real contests


@pytest.mark.parametrize(
    ("name", "id_column", "label_column", "classes"),
    [
        ("antbee", "img_id", "label", ["0.0", "1.0"]),
        ("weather", "image", "weather", ["cloudy", "rain", "shine", "sunrise"]),
    ],
)
def test_real_contests_are_read_whole(name, id_column, label_column, classes):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    image_ids = sorted(p.name for p in (folder / "train").iterdir())
    table, problems, without_image = labels.read_labels(
        folder / "train_label.csv",
        images=ids.ImageIndex(image_ids),
        id_column=id_column,
        label_column=label_column,
    )
    assert sorted(table["image_id"]) == image_ids
    assert sorted(table["label"].unique()) == classes
    assert (problems, without_image) == ([], {})
