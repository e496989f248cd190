import dataclasses

import pytest

from omnirl.gate.rules import Comparison, adjust, decide

BASE = Comparison(
    name="target",
    role="target",
    n=500,
    champion=0.7,
    challenger=0.7,
    gained=20,
    lost=20,
    p=1.0,
    ci95=(-0.02, 0.02),
    test="mcnemar_exact",
    visible=0.04,
    change=0.0,
    lowest=-0.02,
)


def comparison(**changes):
    return dataclasses.replace(BASE, **changes)


BETTER = comparison(challenger=0.8, change=0.1, p=1e-6, lowest=0.07)
WORSE = comparison(challenger=0.6, change=-0.1, p=1e-6, lowest=-0.13)


def guard(**changes):
    return comparison(name="out_of_domain", role="guard", **changes)


def verdict(*comparisons, alpha=0.05):
    return decide(adjust(comparisons), alpha)[0]


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        pytest.param([BETTER], "promote", id="a target is better"),
        pytest.param([WORSE], "reject", id="a target is worse"),
        pytest.param([BASE], "hold", id="no difference"),
        pytest.param([BETTER, guard()], "promote", id="the guard stays within its margin"),
        pytest.param([BETTER, guard(change=-0.2, p=1e-6, lowest=-0.25)], "reject", id="a guard falls"),
        pytest.param([BASE, guard(change=-0.2, p=1e-6, lowest=-0.25)], "reject", id="a guard falls, target equal"),
        pytest.param([BETTER, guard(change=-0.05, p=1e-6, lowest=-0.09)], "promote", id="worse, but within the margin"),
        pytest.param([BETTER, guard(change=-0.05, p=0.2, lowest=-0.12)], "hold", id="the guard's interval is too wide"),
        pytest.param([BETTER, guard(change=-0.2, p=0.2, lowest=-0.5)], "hold", id="a guard's fall may be chance"),
        pytest.param([BETTER, guard(change=0.0, lowest=-0.10)], "hold", id="minus the margin is not above it"),
        pytest.param([WORSE, guard(change=0.3, p=1e-9, lowest=0.2)], "reject", id="a better guard promotes nothing"),
        pytest.param([BASE, guard(change=0.3, p=1e-9, lowest=0.2)], "hold", id="nor does it alone"),
    ],
)
def test_the_first_rule_that_applies_decides(comparisons, expected):
    assert verdict(*comparisons) == expected


def test_one_target_better_and_another_worse_is_reject():
    assert verdict(BETTER, dataclasses.replace(WORSE, name="second")) == "reject"


def test_holm_among_targets_takes_a_weak_promotion_away():
    weak = comparison(challenger=0.73, change=0.03, p=0.03, lowest=0.001)
    assert verdict(weak) == "promote"
    assert verdict(weak, comparison(name="second"), comparison(name="third")) == "hold"


def test_holm_counts_every_set_that_can_decide_and_no_other():
    weak = comparison(challenger=0.73, change=0.03, p=0.03, lowest=0.001)
    guards = [guard(), dataclasses.replace(guard(), name="target.format")]
    assert verdict(weak, *guards) == "hold"
    assert verdict(weak, *(dataclasses.replace(g, role="report") for g in guards)) == "promote"


def test_p_equal_to_alpha_counts():
    assert verdict(comparison(change=0.03, p=0.05)) == "promote"


def test_a_figure_that_falls_stands_among_the_reasons_and_does_not_decide():
    fell = comparison(name="target.acc75", role="report", change=-0.3, p=1e-9, lowest=-0.35)
    outcome, reasons = decide(adjust([BETTER, fell]), 0.05)
    assert outcome == "promote"
    assert any("target.acc75 fell" in reason and "does not decide" in reason for reason in reasons)


def test_a_hold_says_how_small_a_difference_can_be_seen_and_what_would_be_needed():
    seen = comparison(challenger=0.728, change=0.028, p=0.07, gained=33, lost=19, discordant=0.104)
    _, reasons = decide(adjust([seen]), 0.05)
    assert "4.0 points" in reasons[0]
    assert "1039" in reasons[0]


def test_identical_answers_say_so():
    same = comparison(gained=0, lost=0)
    assert "no difference at all" in decide(adjust([same]), 0.05)[1][0]
