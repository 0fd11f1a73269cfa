"""Stage `ensemble`: what all members predicted -> data/ensemble/, with the submission, and metrics/summary.json.

recipe.json says how new images are predicted, with novelty.safetensors (podium.ensembling.recipe_file).

Nested cross-validation (podium.ensembling.nested_cv) gives oof.parquet and `oof_score`: everything about a blend was
chosen on other images than those it is scored on. The submitted blend is chosen on all images. Its own score on them,
`oof_score_naive`, is a little optimistic.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from podium import contracts
from podium.core import cli, tables
from podium.ensembling import evidence_tables, inputs, nested_cv, outputs, recipe_file, selection, teacher
from podium.ensembling.method_registry import BASELINE


def main(*, root: Path = Path()) -> None:
    """Blend the members, and say how good they are."""
    given = inputs.load(root)
    methods = inputs.methods(given)
    held_out = nested_cv.held_out_sets(given.images, len(methods))
    if given.has_students:
        held_out = list(dict.fromkeys([*held_out, *teacher.held_out_sets(given.images, len(given.fold_names))]))
    members, candidates = inputs.choose_members(given, held_out)
    nested = nested_cv.NestedCv(
        given.images, list(members.values()), methods, given.settings.greedy_rounds, given.tempered_labels
    )
    outcome = nested.outcome()
    oof = {name: nested_cv.member_oof(nested, index) for index, name in enumerate(members)}
    test = outputs.with_leaked_labels(given, inputs.test_probs(given, members, outcome.recipe))
    blend = evidence_tables.blend(given.images, outcome.oof, oof)
    table = outputs.members_table(given, nested, outcome, members, oof)
    compared = selection.report(given.images, outcome.by_method, BASELINE) if len(methods) > 1 else []
    folder = root / "data/ensemble"
    tables.write(table, folder / "members.csv", contracts.MEMBERS)
    tables.write(blend, folder / "blend.csv", contracts.BLEND)
    tables.write(evidence_tables.ttas(members, candidates), folder / "tta.csv", contracts.TTA)
    tables.write(evidence_tables.methods(outcome, compared), folder / "methods.csv", contracts.METHODS)
    outputs.write_predictions(given, outcome, oof, test)
    teacher.write(given, members, nested)
    summary = outputs.summary(given, outcome, table, blend)
    tables.write_json(summary, root / "metrics/summary.json")
    recipe_file.write(given, members, candidates, outcome, summary)
    _show(table, outcome, summary)


def _show(members: pd.DataFrame, outcome: nested_cv.Outcome, summary: dict[str, Any]) -> None:
    print(members.to_string(index=False, na_rep="-", float_format="{:.4f}".format))
    print(
        f"ensemble: blend ({outcome.selection.method}) out of fold: {summary['metric']} {summary['oof_score']:.4f}"
        f" [{summary['oof_score_low']:.4f}, {summary['oof_score_high']:.4f}] by nested cross-validation;"
        f" optimism of the naive score {summary['optimism']:+.4f}; log loss {summary['oof_log_loss']:.4f};"
        f" best member {summary['best_member']} {summary['best_member_score']:.4f}; the blend is clearly better than"
        f" {summary['members_below_blend']} of {summary['n_members']} members"
    )


if __name__ == "__main__":
    cli.run(main)
