"""Hashes in few bits of each other, and the nearest rows. The oracle compares all with all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes import close_hashes, nearest_rows
from indexes.close_hashes import HashTable
from vecstore.embedders.embedder import unit_rows


def noisy(hashes: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """Return the hashes with up to so many bits changed."""
    changed = hashes.copy()
    for _ in range(most):
        changed ^= np.uint64(1) << random.integers(0, 64, len(hashes)).astype(np.uint64)
    return changed


def pairs(table: HashTable, queries: np.ndarray, most: int) -> set[tuple[int, int, int]]:
    found = [zip(*(part.tolist() for part in block), strict=True) for block in table.near(queries, most)]
    return {pair for block in found for pair in block}


@settings(max_examples=20, deadline=None)
@given(n=st.integers(0, 60), m=st.integers(0, 60), changed=st.integers(0, 7), seed=st.integers(0, 2**32 - 1))
def test_all_pairs_within_seven_bits_are_found_once(n: int, m: int, changed: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, n, np.uint64)
    queries = noisy(random.choice(hashes, m) if n else random.integers(0, 2**64, m, np.uint64), changed, random)
    bits = np.bitwise_count(queries[:, None] ^ hashes[None]).reshape(m, n)
    expected = {(i, j, int(bits[i, j])) for i, j in zip(*np.nonzero(bits <= 7), strict=True)}
    assert pairs(HashTable(hashes), queries, 7) == expected


def test_of_very_many_all_within_five_bits_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(close_hashes, "FEW", 100)
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, 400, np.uint64)
    found = pairs(HashTable(hashes), noisy(hashes, 5, random), 5)
    assert {(one, other) for one, other, _ in found} == {(i, i) for i in range(400)}


@pytest.mark.parametrize("few", [1_000, 100])
def test_near_rows_are_found_and_a_row_is_not_its_own_neighbour(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_rows, "FEW", few)
    monkeypatch.setattr(nearest_rows, "ROWS_OF_LIST", 20)
    random = np.random.default_rng(0)
    units = unit_rows(random.standard_normal((200, 80)).astype(np.float32))
    copies = unit_rows(units[:50] + 0.02 * random.standard_normal((50, 80)).astype(np.float32))
    vectors = np.concatenate([units, copies]).astype(np.float16)
    rows = np.delete(np.arange(250), [3, 210])
    found = nearest_rows.nearest_rows(vectors, rows, vectors, rows, k=2, min_score=0.9)
    expected = {(i, i + 200) for i in range(50) if i not in (3, 10)}
    assert {(one, other) for one, other, *_ in zip(*found, strict=True)} == expected | {(b, a) for a, b in expected}
    exact = (vectors[found[0]].astype(np.float32) * vectors[found[1]].astype(np.float32)).sum(1)
    np.testing.assert_allclose(found[2], exact, atol=1e-5)
