"""Seeds derived from their purpose, so that no result depends on the order or the number of workers."""

import hashlib
import json


def derive(*parts: str | float) -> int:
    """Return a seed in [0, 2**32) that depends on every part, e.g. `derive(seed, "augment", epoch, image_id)`.

    The same parts give the same seed on every machine and Python version; similar parts give unrelated seeds.
    """
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
