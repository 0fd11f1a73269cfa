"""Bundle the trained blend as ONNX: `python -m tools.bundle [all|best|distilled|<member>] [bundle]`."""

from importlib.util import find_spec
from pathlib import Path

from podium.core import cli
from podium.core.errors import InputError
from podium.ensembling import recipe_schema

NEEDED = ("onnx", "onnxruntime", "onnxscript")


def main(select: str = "all", out: str = "bundle", *, root: Path = Path()) -> None:
    """Write a folder that predicts with numpy, pillow and onnxruntime alone, and a zip of it."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(f"make bundle needs {', '.join(missing)}: run `make setup`, or install the extra `onnx`")
    recipe_schema.read(root / recipe_schema.PATH)
    from podium.serving import bundle  # torch takes seconds to import: not without a recipe

    recipe = bundle.write(Path(out), select, root)
    score = recipe.score
    size = sum(path.stat().st_size for path in Path(out).rglob("*") if path.is_file())
    packed = Path(f"{out}.zip").stat().st_size
    print(f"bundle: {recipe.method}: {score.metric} {score.oof_score} [{score.oof_score_low}, {score.oof_score_high}]")
    print(f"bundle: {out} ({size / 1e6:.1f} MB) and {out}.zip ({packed / 1e6:.1f} MB)")
    print(f"bundle: SHA-256 of its predict.py: {bundle.digest(Path(out))}")


if __name__ == "__main__":
    cli.run(main)
