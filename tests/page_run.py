"""What a finished run leaves for the stage `page`, small and made up: any number of classes, hostile names."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from podium import contracts
from podium.activation_maps import map_file, overlays
from podium.activation_maps.map_file import MistakeMap, MistakeMaps
from podium.activation_maps.network_choice import NetworkChoice
from podium.core import pixels, tables
from podium.folds import balance
from podium.reports import ablation, confusion, diversity, reliability
from tests.photos import photo

HOSTILE = "<script>alert(\"x\")</script> & 'b'"
METRIC = {
    "metric": "accuracy",
    "oof_score": 0.75,
    "oof_score_low": 0.7123,
    "oof_score_high": 0.7891,
    "oof_score_naive": 0.76,
    "oof_log_loss": 0.5,
    "best_member": "resnet",
    "best_member_score": 0.7,
    "members_below_blend": 2,
    "optimism": 0.01,
}


def write(root: Path, n_classes: int = 2, per_class: int = 4) -> None:
    """Write all tables; the first class and image have hostile names, every fourth image is predicted wrong."""
    classes = sorted([HOSTILE, *(f"class {k:04}" for k in range(1, n_classes))])
    labels = [label for label in classes for _ in range(per_class)]
    ids = [f"{HOSTILE.replace('/', '')}.jpg", *(f"{i:05}.jpg" for i in range(1, len(labels)))]
    folds = pd.DataFrame({"image_id": ids, "label": labels, "use": "train", "reason": "", "group": ids})
    folds["fold"] = [str(i % 2) for i in range(len(labels))]
    folds = folds.sort_values("image_id", ignore_index=True)
    _write_images(root, ids[:8])
    _write_data_tables(root, folds)
    _write_predictions(root, folds, classes)
    _write_model_tables(root)
    _write_review(root, folds, classes)
    values = {
        "contest": {"images": {"train": "data/contest/animals/train", "test": "data/contest/animals/test"}},
        "members": {"resnet": {}, "vit": {}},
        "external": {},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def _write_images(root: Path, ids: list[str]) -> None:
    for subset, names in (("train", ids), ("test", ["t0.jpg"])):
        with pixels.Writer(root / f"data/prepare/{subset}/pixels.arrow", encoding="raw") as writer:
            for k, name in enumerate(names):
                writer.add(name, photo(k))
        facts = [[name, 128, 96, "RGB", "JPEG", 9, f"{k}", "", ""] for k, name in enumerate(names)]
        table = pd.DataFrame(facts, columns=list(contracts.FACTS.columns))
        tables.write(table, root / f"data/prepare/{subset}/facts.csv", contracts.FACTS)


def _write_data_tables(root: Path, folds: pd.DataFrame) -> None:
    one, two = folds["image_id"][:2]
    tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
    tables.write_json(balance.summary(folds), root / "data/split/balance.json")
    tables.write_json({"images": len(folds), "used": len(folds), "classes": {}}, root / "data/label/summary.json")
    analysis = {
        "usable_images": {"train": len(folds), "test": 1},
        "train_clusters": 1,
        "train_images_in_clusters": 2,
        "test_images_with_a_train_duplicate": 1,
    }
    tables.write_json(analysis, root / "data/analyze/summary.json")
    answer = {"auc": 0.9, "interval": [0.8, 0.95], "well_above_chance": True, "telling": ["bytes"]}
    audit = {"label_from_metadata": answer, "test_from_metadata": {"skipped": "there is no test image"}}
    tables.write_json(audit, root / "data/audit/summary.json")
    rows: dict[str, tuple[tables.Contract, list[list[Any]]]] = {
        "data/label/problems.csv": (contracts.PROBLEMS, [[one, "twice"]]),
        "data/analyze/findings.csv": (contracts.FINDINGS, [[one, "train", "blurry", HOSTILE, "0.3"]]),
        "data/analyze/clusters.csv": (contracts.CLUSTERS, [[one, one], [two, one]]),
        "data/analyze/leaks.csv": (contracts.LEAKS, [["t0.jpg", one, "exact", 1.0]]),
        "data/split/conflicts.csv": (contracts.CONFLICTS, [[one, one, "a", "kept"], [two, one, "b", "kept"]]),
    }
    for path, (contract, cells) in rows.items():
        tables.write(pd.DataFrame(cells, columns=list(contract.columns)), root / path, contract)


def _write_predictions(root: Path, folds: pd.DataFrame, classes: list[str]) -> None:
    targets = np.asarray(pd.Index(classes).get_indexer(folds["label"]), np.int64)
    predicted = np.where(np.arange(len(targets)) % 4 == 3, (targets + 1) % len(classes), targets)
    probs = np.full((len(targets), len(classes)), 0.2 / (len(classes) - 1), np.float32)
    probs[np.arange(len(targets)), predicted] = 0.8
    oof = tables.with_probs(folds[["image_id", "label", "fold"]], probs, classes)
    tables.write(oof, root / "data/ensemble/oof.parquet", contracts.OOF)
    pairs, groups = confusion.table(targets, predicted, classes), np.arange(len(targets))
    folder = root / "data/report"
    tables.write(pairs, folder / "confusion.csv", confusion.CONFUSION)
    tables.write(confusion.plot_table(pairs, classes), folder / "confusion_plot.csv", confusion.CONFUSION)
    by_class = confusion.by_class(targets, predicted, classes, groups)
    tables.write(by_class, folder / "classes.csv", confusion.CLASSES)
    tables.write(reliability.table(targets, probs, groups), folder / "reliability.csv", reliability.RELIABILITY)
    _write_map(root, folds, classes, predicted)
    calibration = {"error": 0.04, "if_calibrated": 0.03, "if_calibrated_high": 0.05, "verdict": "overconfident"}
    tables.write_json(calibration, folder / "calibration.json")
    counts = {"n_members": 2, "n_train_images": len(targets), "n_test_images": 1}
    tables.write_json(METRIC | counts, root / "metrics/summary.json")
    tables.write_json({"novelty": {"false_alarms": 0.123}}, root / "data/ensemble/recipe.json")


def _write_map(root: Path, folds: pd.DataFrame, classes: list[str], predicted: np.ndarray) -> None:
    """Write the map of the first mistake."""
    mistake = str(folds["image_id"][3]), classes[predicted[3]]
    one = MistakeMap(np.zeros((overlays.SIDE, overlays.SIDE, 3), np.uint8), 0.625)
    found = MistakeMaps(NetworkChoice("resnet", "finetune", 64), "", {mistake: one})
    map_file.write(root / map_file.PATH, found)


def _write_model_tables(root: Path) -> None:
    compared = {"gain": 0.02, "low": 0.01, "high": 0.03, "log_loss_gain": 0.1, "log_loss_low": 0.05}
    compared |= {"log_loss_high": 0.2, "p": 0.01, "verdict": "better"}
    nothing = dict.fromkeys(compared, float("nan")) | {"verdict": ""}
    standing = {"score": 0.7, "log_loss": 0.6}
    names = ("resnet", "vit")
    tta = {"image_sizes": "64", "transforms": "identity", "phases": "finetune"}
    each = {"weight": 0.5, **tta, "train_size_score": 0.7, **standing, "pretrain_score": 0.6, "finetune_score": 0.7}
    value = {"score": 0.7, **compared, "most_alike": "", "effect": "harms", "sentence": ""}
    steps = [("probe", nothing), ("finetune", compared | {"verdict": "worse"})]
    ladder = [
        {"member": name, "step": step, "what": "epochs", **standing, **cells} for name in names for step, cells in steps
    ]
    made: dict[str, tuple[tables.Contract, list[dict[str, Any]]]] = {
        "data/ensemble/members.csv": (contracts.MEMBERS, [{"member": name, **each} for name in names]),
        "data/ensemble/blend.csv": (contracts.BLEND, [{"member": name, **standing, **compared} for name in names]),
        "data/ensemble/methods.csv": (
            contracts.METHODS,
            [{"method": "equal", **standing, "cost": 0.6, **nothing, "chosen": "yes", "chosen_in_outer_folds": 2}],
        ),
        "data/report/members.csv": (diversity.MEMBER_VALUE, [{"member": name, **value} for name in names]),
        "data/ladder/ladder.csv": (ablation.ABLATION, ladder),
    }
    for path, (contract, rows) in made.items():
        tables.write(pd.DataFrame(rows), root / path, contract)
    tables.write_text(
        "member,fold,phase,epoch,held_out_accuracy_score,held_out_log_loss\n"
        "resnet,0,finetune,0,0.6,0.7\nresnet,0,finetune,1,0.7,0.6\nvit,0,finetune,0,,\nvit,0,finetune,1,0.7,0.6\n",
        root / "data/ensemble/curves.csv",
    )


def _write_review(root: Path, folds: pd.DataFrame, classes: list[str]) -> None:
    ids = list(folds["image_id"][:2])
    suspect = {"given": classes[0], "suggested": classes[1], "flagged": "yes", "label_quality": 0.1, "p_given": 0.1}
    suspect |= {"p_suggested": 0.9, "members_agreeing": 2, "members_asked": 2, "members": "", "use": "train"}
    rows = pd.DataFrame([{"image_id": i, **suspect, "other_duplicates": ""} for i in ids])
    rows.loc[1, "flagged"] = "no"
    tables.write(rows, root / "data/review/suspects.csv", contracts.SUSPECTS)
    overrides = pd.DataFrame({"image_id": ids, "action": classes[1], "reason": HOSTILE})
    tables.write(overrides, root / "data/review/overrides_to_consider.csv", contracts.OVERRIDES)
    summary = {"members": ["resnet", "vit"], "members_at_chance": [], "reviewed": 8, "suspects": 2, "flagged": 1}
    tables.write_json(summary, root / "data/review/summary.json")
