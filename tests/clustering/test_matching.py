"""Identity: which new cluster is which old one. The oracle is the definition, written out over sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vecstore.clustering.matching import Match, match

Int64 = NDArray[np.int64]


def labels(*sizes: int) -> Int64:
    """Labels 0, 1, ... of clusters of these sizes."""
    return np.repeat(np.arange(len(sizes)), sizes)


partitions = st.lists(st.integers(0, 7), min_size=1, max_size=60).map(np.array)
two_partitions = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 6), min_size=n, max_size=n).map(np.array) for _ in range(2)])
)


@settings(deadline=None)  # machines are shared
@given(partitions, st.permutations(range(8)))
def test_an_unchanged_partition_is_never_relabelled(before: Int64, renumbering: list[int]) -> None:
    ids = before * 5 + 3  # with gaps, as ids have them after a while
    found = match(ids, np.array(renumbering)[before], 8, 100)
    assert [found.ids[renumbering[old]] for old in before] == ids.tolist()
    n = len(np.unique(before))
    assert (found.kept, found.split, found.merged, found.born, found.gone, found.moved) == (n, 0, 0, 0, 0, 0)


@settings(deadline=None)  # machines are shared
@given(two_partitions)
def test_clusters_that_share_more_than_half_of_each_other_are_the_same(pair: tuple[Int64, Int64]) -> None:
    before, after = pair
    found = match(before, after, 7, 100)
    for old in set(before.tolist()):
        for new in set(after.tolist()):
            shared = int(((before == old) & (after == new)).sum())
            if 2 * shared > (before == old).sum() and 2 * shared > (after == new).sum():
                assert found.ids[new] == old


@settings(deadline=None)  # machines are shared
@given(two_partitions)
def test_a_cluster_with_most_of_its_images_together_keeps_its_id_unless_another_such_has_the_place(
    pair: tuple[Int64, Int64],
) -> None:
    before, after = pair
    found = match(before, after, 7, 100)
    for old in set(before.tolist()):
        inside = after[before == old]
        most = int(np.bincount(inside).argmax())
        if 2 * (inside == most).sum() > len(inside) and found.ids[most] != old:
            holder = found.ids[most]
            others = after[before == holder]
            assert holder != 100
            assert 2 * (others == most).sum() > len(others)


@settings(deadline=None)  # machines are shared
@given(two_partitions)
def test_an_id_goes_on_only_where_more_than_half_of_one_lies_in_the_other(pair: tuple[Int64, Int64]) -> None:
    before, after = pair
    found = match(before, after, 7, 100)
    for new, cluster in enumerate(found.ids):
        if cluster < 100:
            shared = ((before == cluster) & (after == new)).sum()
            assert 2 * shared > min((before == cluster).sum(), (after == new).sum())


@settings(deadline=None)  # machines are shared
@given(two_partitions)
def test_the_counts_are_those_of_the_definitions(pair: tuple[Int64, Int64]) -> None:
    before, after = pair
    found = match(before, after, 7, 100)
    old, new = set(before.tolist()), set(after.tolist())
    carried = {cluster for cluster in found.ids if cluster < 100}
    mostly_from = [[o for o in old if 2 * (before[after == n] == o).sum() > (after == n).sum()] for n in new]
    mostly_into = [[n for n in new if 2 * (after[before == o] == n).sum() > (before == o).sum()] for o in old]
    assert (found.kept, found.gone, found.born) == (len(carried), len(old) - len(carried), len(new) - len(carried))
    assert found.split == sum(mostly_from.count([o]) > 1 for o in old)
    assert found.merged == sum(mostly_into.count([n]) > 1 for n in new)
    assert found.moved == (np.array(found.ids)[after] != before).sum()


@settings(deadline=None)  # machines are shared
@given(two_partitions)
def test_new_ids_were_never_given_and_none_is_given_twice(pair: tuple[Int64, Int64]) -> None:
    before, after = pair
    found = match(before, after, 7, 100)
    fresh = [cluster for cluster in found.ids if cluster >= 100]
    assert (fresh, len(set(found.ids))) == (list(range(100, 100 + len(fresh))), 7)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (labels(6), labels(3, 2, 1), Match([0, 10, 11], kept=1, split=1, merged=0, born=2, gone=0, moved=3)),
        (labels(3, 2, 1), np.zeros(6, np.int64), Match([0], kept=1, split=0, merged=1, born=0, gone=2, moved=3)),
        # Keeping the greatest number of images together would give cluster 1's place to 0.
        (
            np.array([0] * 51 + [0] * 49 + [1] * 40),
            np.array([0] * 51 + [1] * 49 + [0] * 40),
            Match([0, 10], kept=1, split=1, merged=1, born=1, gone=1, moved=89),
        ),
        (np.arange(8) % 4, np.arange(8) // 4, Match([10, 11], kept=0, split=0, merged=0, born=2, gone=4, moved=8)),
        (labels(), labels(), Match([10, 11], kept=0, split=0, merged=0, born=0, gone=0, moved=0)),
    ],
    ids=["a split", "a merger", "the most of a cluster wins", "nothing in common", "no images"],
)
def test_what_becomes_of_clusters(before: Int64, after: Int64, expected: Match) -> None:
    k = len(expected.ids)
    assert match(before.astype(np.int64), after.astype(np.int64), k, 10) == expected
