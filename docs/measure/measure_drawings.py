"""Count the false duplicates among plain drawings, all different: `python -m docs.measure.measure_drawings`."""

import cv2
import numpy as np
from numpy.typing import NDArray

from docs.measure.measure_duplicates import search
from podium.analysis import fingerprints
from podium.core import cli, seeding

Image = NDArray[np.uint8]

SHAPES = ("boxes", "discs", "rings", "crosses")
PER_SHAPE = 200
DIGITS = 600


def main() -> None:
    """Print a row per kind: the images, how many of them are plain, and the pairs found."""
    kinds = {kind: [drawing(kind, number) for number in range(PER_SHAPE)] for kind in SHAPES}
    kinds["all four"] = [drawing(SHAPES[number % len(SHAPES)], number) for number in range(PER_SHAPE)]
    kinds["digits"] = digits(DIGITS)
    print("| images | plain | pairs found |\n|---|---|---|")
    for kind, images in kinds.items():
        pack = {f"{number:03}": image for number, image in enumerate(images)}
        prints = {"train": fingerprints.prints(pack, sorted(pack)), "test": fingerprints.prints(pack, [])}
        plain = int(fingerprints.plain(prints["train"].thumbs[:, 0]).sum())
        print(f"| {len(images)} {kind} | {plain} | {len(search(prints).near)} |", flush=True)


def drawing(kind: str, number: int) -> Image:
    """Draw one of SHAPES on a flat background, (height, width, 3), with random colours, size, position and format."""
    random = np.random.default_rng(seeding.derive("drawing", kind, number))
    height, width = random.integers(80, 200, 2)
    image = np.full((height, width, 3), random.integers(0, 256, 3), np.uint8)
    colour = random.integers(0, 256, 3).tolist()
    x, y = (random.uniform(0.3, 0.7, 2) * (width, height)).astype(int).tolist()
    radius = int(random.uniform(0.15, 0.35) * min(width, height))
    if kind == "boxes":
        cv2.rectangle(image, (x - radius, y - radius), (x + radius, y + radius), colour, -1)
    elif kind == "crosses":
        cv2.line(image, (x - radius, y), (x + radius, y), colour, 6)
        cv2.line(image, (x, y - radius), (x, y + radius), colour, 6)
    else:
        cv2.circle(image, (x, y), radius, colour, -1 if kind == "discs" else max(3, radius // 3))
    return image


def digits(count: int) -> list[Image]:
    """Return scikit-learn's handwritten digits, (8, 8, 3)."""
    from sklearn.datasets import load_digits

    grey = (load_digits().images[:count] * 15.9).astype(np.uint8)
    return [np.repeat(one[..., None], 3, axis=2) for one in grey]


if __name__ == "__main__":
    cli.run(main)
