import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test

from omnirl.errors import ContractError
from omnirl.stats.paired import bootstrap_interval, compare, holm, mcnemar, sign_flip

NAMES = [str(i) for i in range(500)]


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        pytest.param(18, 12, 0.36, id="recorded refcoco r1"),
        pytest.param(12, 23, 0.09, id="recorded refcoco sft"),
        pytest.param(33, 19, 0.07, id="recorded refgta r1"),
        pytest.param(15, 190, 9e-40, id="recorded refgta sft"),
        pytest.param(0, 0, 1.0, id="no discordant pair"),
        pytest.param(6, 0, 2 * 0.5**6, id="by hand"),
    ],
)
def test_mcnemar_gives_the_published_and_hand_computed_p_values(gained, lost, p):
    assert mcnemar(gained, lost) == pytest.approx(p, rel=0.05)


def test_single_clusters_and_right_wrong_answers_use_the_exact_test():
    old, new = [1, 1, 0, 0, 0, 0, 0, 1], [1, 0, 1, 1, 1, 1, 0, 1]
    result = compare(old, new, NAMES[:8], samples=500, seed=1)
    assert (result.gained, result.lost, result.test) == (4, 1, "mcnemar_exact")
    assert result.p == pytest.approx(binomtest(4, 5).pvalue)
    assert result.difference == pytest.approx(3 / 8)


def test_repeated_clusters_use_sign_flips_by_cluster():
    old, new = [0] * 12, [1] * 12
    alone = compare(old, new, NAMES[:12], samples=4000, seed=1)
    together = compare(old, new, ["image"] * 12, samples=4000, seed=1)
    assert alone.p == pytest.approx(2 * 0.5**12)
    assert (together.test, together.p) == ("sign_flip_by_cluster", 1.0), "one image is one observation"


def test_sign_flip_agrees_with_scipys_permutation_test():
    differences = np.random.default_rng(3).normal(0.2, 1, 60)
    expected = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    ).pvalue
    found = sign_flip(differences, NAMES[:60], samples=20_000, seed=1)
    assert found == pytest.approx(expected, abs=0.012)


def test_bootstrap_agrees_with_a_plain_resampling_loop():
    generator = np.random.default_rng(5)
    differences = generator.choice([-1, 0, 1], 300, p=[0.05, 0.8, 0.15])
    plain = np.quantile([generator.choice(differences, 300).mean() for _ in range(8000)], [0.025, 0.975])
    found = bootstrap_interval(differences, NAMES[:300], samples=8000, seed=1)
    assert found == pytest.approx(tuple(plain), abs=0.005)


def test_bootstrap_is_wider_when_questions_come_in_clusters():
    differences = [float(i // 10 % 2) for i in range(200)]
    alone = bootstrap_interval(differences, NAMES[:200], samples=4000, seed=1)
    clustered = bootstrap_interval(differences, [str(i // 10) for i in range(200)], samples=4000, seed=1)
    assert clustered[1] - clustered[0] > 2 * (alone[1] - alone[0])


def test_equal_inputs_and_seed_give_equal_numbers():
    old, new = [0.1, 0.5, 0.3] * 20, [0.2, 0.4, 0.9] * 20
    assert compare(old, new, NAMES[:60], samples=300, seed=7) == compare(old, new, NAMES[:60], samples=300, seed=7)


def test_unequal_lengths_are_an_error_not_a_shorter_comparison():
    with pytest.raises(ContractError, match="equally many"):
        compare([1, 0], [1], ["a", "b"], samples=10, seed=1)


def test_holm_matches_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(0 <= p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(order))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_exchanging_the_models_mirrors_the_result(answers):
    old, new = [float(a) for a, _ in answers], [float(b) for _, b in answers]
    names = NAMES[: len(answers)]
    there, back = (compare(x, y, names, samples=50, seed=1) for x, y in ((old, new), (new, old)))
    assert (there.gained, there.lost, there.p) == (back.lost, back.gained, back.p)
