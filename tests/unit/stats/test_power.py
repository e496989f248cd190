import numpy as np
import pytest

from omnirl.errors import ContractError
from omnirl.stats.paired import mcnemar
from omnirl.stats.power import questions_needed, visible_difference, visible_mean_difference


@pytest.mark.parametrize(("n", "discordant"), [(500, 0.06), (500, 0.104), (2000, 0.08)])
def test_the_smallest_visible_difference_is_seen_about_four_times_in_five(n, discordant):
    """Simulation with the exact test that decides; it is slightly weaker than the formula's."""
    difference = visible_difference(n, discordant, alpha=0.05)
    generator = np.random.default_rng(1)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    draws = generator.multinomial(n, shares, size=700)
    seen = np.mean([mcnemar(int(gained), int(lost)) <= 0.05 and gained > lost for gained, lost, _ in draws])
    assert 0.72 < seen < 0.85


def test_questions_needed_is_the_inverse_of_the_visible_difference():
    difference = visible_difference(1200, 0.1, alpha=0.05)
    assert questions_needed(difference, 0.1, alpha=0.05) == pytest.approx(1200, abs=2)


def test_a_difference_is_never_smaller_than_the_exact_test_can_show():
    for n in (10, 50, 500, 5000):
        fewest = next(k for k in range(1, 50) if mcnemar(k, 0) <= 0.05)
        assert visible_difference(n, 0.0, alpha=0.05) >= min(1.0, fewest / n)


def test_a_handful_of_questions_shows_nothing():
    assert visible_difference(3, 0.5, alpha=0.05) == 1.0


def test_no_difference_needs_no_number_of_questions():
    assert questions_needed(0.0, 0.1, alpha=0.05) is None


def test_means_of_independent_scores_follow_the_textbook_formula():
    differences = np.random.default_rng(2).normal(0, 0.3, 400)
    expected = (1.959964 + 0.841621) * differences.std(ddof=1) / 20
    found = visible_mean_difference(differences, [str(i) for i in range(400)], alpha=0.05)
    assert found == pytest.approx(expected, rel=1e-4)


def test_impossible_input_is_an_error():
    with pytest.raises(ContractError, match="discordant"):
        visible_difference(10, 1.5, alpha=0.05)
