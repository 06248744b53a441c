"""The bounded memory of embeddings and network inputs."""

from __future__ import annotations

from collections.abc import Sequence

from mammoflow.segmentation.embedding.training_sources import BoundedCache


def make_cache(loaded: list[int]) -> BoundedCache[Sequence[int]]:
    """Return a cache with room for two values that notes what it loads."""

    def load(key: int) -> Sequence[int]:
        loaded.append(key)
        return [key] * 10

    return BoundedCache(load, len, limit=25)


def test_cache_keeps_what_fits_and_loads_the_rest_again() -> None:
    loaded: list[int] = []
    cache = make_cache(loaded)
    for key in (0, 1, 2, 0, 1, 2):
        assert cache.get(key) == [key] * 10
    assert loaded == [0, 1, 2, 2]


def test_cleared_cache_has_all_its_room_again() -> None:
    loaded: list[int] = []
    cache = make_cache(loaded)
    cache.get(0)
    cache.get(1)
    cache.clear()
    for key in (2, 3, 2, 3):
        cache.get(key)
    assert loaded == [0, 1, 2, 3]
