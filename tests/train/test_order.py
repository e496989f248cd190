"""The order of rows: every batch mixed, every epoch new, every resume the same."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from trl.trainer.utils import RepeatSampler

from omnirl.train.order import EpochOrder, GroupedEpochOrder, interleave

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(sizes=SIZES, seed=st.integers(), epoch=st.integers(0, 10))
def test_each_row_stands_once_per_epoch(sizes, seed, epoch):
    assert sorted(interleave(sizes, seed, epoch)) == list(range(sum(sizes)))


@given(size=st.integers(2, 30), sets=st.integers(2, 4), seed=st.integers())
def test_equal_data_sets_alternate(size, sets, seed):
    order = interleave([size] * sets, seed, 0)
    assert [row // size for row in order] == list(range(sets)) * size


def test_unequal_data_sets_keep_their_share_in_every_stretch():
    order = interleave([300, 100], seed=1, epoch=0)
    for start in range(0, 400, 40):
        assert Counter(row < 300 for row in order[start : start + 40])[True] == 30


def test_epochs_and_seeds_differ_and_repeat():
    assert interleave([50], 1, 0) == interleave([50], 1, 0)
    assert interleave([50], 1, 0) != interleave([50], 1, 1)
    assert interleave([50], 1, 0) != interleave([50], 2, 0)


def test_grouped_order_has_the_structure_of_the_sampler_it_replaces():
    base = RepeatSampler(list(range(7)), mini_repeat_count=2, batch_size=3, repeat_count=4, shuffle=False)
    ours = GroupedEpochOrder(base, [7], seed=0)
    rows = interleave([7], 0, 0)
    assert list(ours) == [rows[i] for i in base]
    assert len(ours) == len(list(ours)) == len(base)


def test_grouped_order_in_a_later_epoch_needs_no_earlier_one():
    base = RepeatSampler(list(range(9)), mini_repeat_count=2, batch_size=3)
    through, direct = GroupedEpochOrder(base, [9], seed=0), GroupedEpochOrder(base, [9], seed=0)
    for epoch in range(3):
        through.set_epoch(epoch)
        last = list(through)
    direct.set_epoch(2)
    assert list(direct) == last


def test_upstream_sampler_still_replays_its_first_epoch_after_a_restart():
    """The reason for `GroupedEpochOrder`; when this fails, it can go."""
    through = RepeatSampler(list(range(9)), mini_repeat_count=1, seed=0)
    first, second = list(through), list(through)
    restarted = RepeatSampler(list(range(9)), mini_repeat_count=1, seed=0)
    if hasattr(restarted, "set_epoch"):
        restarted.set_epoch(1)
    assert first != second
    assert list(restarted) == first


def test_sft_order_follows_the_epoch():
    order = EpochOrder([10], seed=3)
    first = list(order)
    order.set_epoch(1)
    assert list(order) != first
    assert len(order) == 10
