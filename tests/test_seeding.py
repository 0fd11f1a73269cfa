from podium.core import seeding


def test_a_seed_depends_on_every_part_and_on_nothing_else() -> None:
    seeds = {seeding.derive(*parts) for parts in [(0,), (1,), (0, "a"), (0, "b"), ("0", "a"), (0, "a", 1), (0, "a1")]}
    assert len(seeds) == 7
    assert seeding.derive(3, "augment", 2, "福.png") == seeding.derive(3, "augment", 2, "福.png") == 456546163
    assert all(0 <= seed < 2**32 for seed in seeds)
