"""Versions and titles: numbers, order, what a version holds, and that nothing of the user's is touched."""

import itertools
import json
import subprocess

import pytest
from registry_candidates import candidate

from omnirl.errors import ConflictError, RegistryError
from omnirl.io.files import sha256_bytes, sha256_tree
from omnirl.registry.git import Git
from omnirl.registry.records import next_version
from omnirl.registry.store import Registry


@pytest.fixture
def registry(checkout):
    return Registry(checkout.root)


def filled(registry, versions: int) -> list[str]:
    return [registry.register(candidate(n)).label for n in range(versions)]


def test_versions_count_up_from_v0_0_1_and_sort_by_number_not_by_letters(registry):
    assert filled(registry, 11)[-2:] == ["tiny-vl@v0.0.10", "tiny-vl@v0.0.11"]
    assert [v.version for v in registry.versions("tiny-vl")] == [f"v0.0.{n}" for n in range(1, 12)]


@pytest.mark.parametrize(
    ("present", "following"), [([], "v0.0.1"), (["v0.0.9"], "v0.0.10"), (["v1.4.2", "v0.9.9"], "v1.4.3")]
)
def test_next_version_raises_the_last_number_of_the_greatest(present, following):
    assert next_version(present) == following


def test_known_digest_returns_the_recorded_version(registry):
    first = registry.register(candidate(1))
    registry.register(candidate(2))
    assert registry.register(candidate(1, verdict="promote")) == first
    assert len(registry.versions("tiny-vl")) == 2


def test_names_do_not_see_each_other(registry):
    registry.register(candidate(1))
    registry.register(candidate(1, name="tiny"))
    registry.register(candidate(1, name="tiny-vl2"))
    assert registry.names() == ["tiny", "tiny-vl", "tiny-vl2"]
    assert [v.label for v in registry.versions("tiny")] == ["tiny@v0.0.1"]


def test_a_version_holds_lock_params_reports_card_and_record(checkout, registry):
    version = registry.register(candidate(1))
    show = lambda name: checkout.git("show", f"{version.label}:{name}")  # noqa: E731
    assert show("dvc.lock") == (checkout.root / "dvc.lock").read_text().strip()
    assert show("params.yaml") == (checkout.root / "params.yaml").read_text().strip()
    assert show("evidence/gate.json") == '{"reasons": ["a"]}'
    record = json.loads(show("omnirl-version.json"))
    assert (record["name"], record["version"], record["digest"]) == ("tiny-vl", "v0.0.1", sha256_bytes(b"1"))
    assert record["lineage"] == {"commit": checkout.git("rev-parse", "HEAD"), "uncommitted": [], "preset": "demo"}
    assert show("model-card.md").startswith("# tiny-vl@v0.0.1\n")
    assert checkout.git("rev-parse", f"{version.label}~1") == checkout.git("rev-parse", "HEAD")
    changed = checkout.git("diff", "--name-only", "HEAD", version.label).splitlines()
    assert changed == [
        "dvc.lock",
        "evidence/gate.json",
        "evidence/metrics.json",
        "model-card.md",
        "omnirl-version.json",
    ]


def test_a_version_holds_params_and_lock_as_they_lie_here_and_names_other_changed_files(checkout, registry):
    (checkout.root / "params.yaml").write_text("changed: true\n")
    (checkout.root / "code/a.py").write_text("x = 2\n")
    version = registry.register(candidate(1))
    assert checkout.git("show", f"{version.label}:params.yaml") == "changed: true"
    assert version.record.lineage.uncommitted == ("code/a.py",)


def test_sft_version_points_the_artifact_at_the_sft_model_and_keeps_the_rest(checkout, registry):
    from omnirl.io.files import parse_yaml

    version = registry.register(candidate(1, path="models/sft", verdict=None, compared_with=None))
    text = checkout.git("show", f"{version.label}:dvc.yaml")
    before = parse_yaml((checkout.root / "dvc.yaml").read_text(), where="")
    after = parse_yaml(text, where="")
    assert after["artifacts"] == {
        "tiny-vl": {"path": "models/sft", "type": "model"},
        "other": before["artifacts"]["other"],
    }
    assert after["stages"] == before["stages"]
    assert text.startswith("# stages\n")


def test_branch_index_and_work_tree_stay_as_they_are(checkout, registry):
    (checkout.root / "code/a.py").write_text("x = 2\n")
    (checkout.root / "new.txt").write_text("untracked\n")
    checkout.git("add", "new.txt")
    seen = lambda: (  # noqa: E731
        sha256_bytes((checkout.root / ".git/index").read_bytes()),
        checkout.git("status", "--porcelain"),
        checkout.git("rev-parse", "HEAD", "--symbolic-full-name", "HEAD"),
        checkout.git("branch", "--list"),
        sha256_tree(checkout.root / "code"),
    )
    checkout.git("status")  # refreshes the index, as any prompt does
    before = seen()
    filled(registry, 2)
    registry.promote("tiny-vl@v0.0.1", why="x")
    registry.promote("tiny-vl@v0.0.2", why="x")
    registry.rollback("tiny-vl", why="x")
    index = sha256_bytes((checkout.root / ".git/index").read_bytes())
    assert index == before[0]
    assert seen() == before
    assert checkout.git("fsck", "--strict", "--no-dangling") == ""


def test_every_title_change_is_an_event_with_date_who_and_why(registry):
    filled(registry, 2)
    assert registry.history("tiny-vl") == []
    assert registry.champion("tiny-vl") is None
    registry.promote("tiny-vl@v0.0.1", why="first\nof all")
    registry.promote("tiny-vl@v0.0.2", why="better: on all sets")
    registry.rollback("tiny-vl", why="worse in production")
    events = registry.history("tiny-vl")
    assert [(e.number, e.version, e.kind, e.why) for e in events] == [
        (1, "v0.0.1", "promote", "first of all"),
        (2, "v0.0.2", "promote", "better: on all sets"),
        (3, "v0.0.1", "rollback", "worse in production"),
    ]
    assert {e.who for e in events} == {"omnirl registry"}
    assert registry.champion("tiny-vl").label == "tiny-vl@v0.0.1"


def test_events_are_a_second_apart_even_in_one_second_or_with_the_clock_turned_back(registry, monkeypatch):
    filled(registry, 2)
    registry.promote("tiny-vl@v0.0.1", why="now")
    for number in range(2, 12):
        monkeypatch.setattr("omnirl.registry.git.time.time", lambda: 1_600_000_000.0)
        registry.promote(f"tiny-vl@v0.0.{1 + (number + 1) % 2}", why="earlier?")
    times = [e.time for e in registry.history("tiny-vl")]
    assert [b - a for a, b in itertools.pairwise(times)] == [1] * 10


def test_promoting_the_champion_again_makes_no_event(registry):
    filled(registry, 1)
    assert registry.promote("tiny-vl@v0.0.1", why="a") == registry.promote("tiny-vl@v0.0.1", why="b")
    assert len(registry.history("tiny-vl")) == 1


def test_promotion_based_on_an_old_event_is_a_conflict_and_changes_nothing(registry):
    filled(registry, 2)
    registry.promote("tiny-vl@v0.0.1", why="somebody else")
    with pytest.raises(ConflictError, match="moved meanwhile"):
        registry.promote("tiny-vl@v0.0.2", why="late", expected=0)
    assert registry.champion("tiny-vl").version == "v0.0.1"


def test_loser_of_the_race_for_one_event_gets_a_conflict(checkout, registry, monkeypatch):
    filled(registry, 2)
    create = Git.create_tag

    def rival_first(self, name, commit, message, **options):
        monkeypatch.undo()
        Registry(checkout.root).promote("tiny-vl@v0.0.1", why="rival")
        return create(self, name, commit, message, **options)

    monkeypatch.setattr(Git, "create_tag", rival_first)
    with pytest.raises(ConflictError, match="somebody else"):
        registry.promote("tiny-vl@v0.0.2", why="late")
    assert [e.why for e in registry.history("tiny-vl")] == ["rival"]


def test_rollback_goes_to_the_champion_before_or_to_a_named_version(registry):
    filled(registry, 3)
    for number in (1, 2, 3):
        registry.promote(f"tiny-vl@v0.0.{number}", why="x")
    assert registry.rollback("tiny-vl", why="x").version == "v0.0.2"
    assert registry.rollback("tiny-vl", to="v0.0.1", why="x").version == "v0.0.1"


def test_rollback_without_an_earlier_champion_says_so(registry):
    filled(registry, 2)
    registry.promote("tiny-vl@v0.0.2", why="x")
    with pytest.raises(RegistryError, match="no earlier champion"):
        registry.rollback("tiny-vl", why="x")


def test_a_version_without_bytes_in_dvc_cannot_hold_the_title(registry):
    registry.register(candidate(1, dvc=None))
    with pytest.raises(RegistryError, match="DVC does not have its model"):
        registry.promote("tiny-vl@v0.0.1", why="x")


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("tiny-vl@v0.0.9", r"no such version; known: v0\.0\.1"),
        ("tiny@v0.0.1", "no such version; known names: tiny-vl"),
        ("tiny-vl", "expected NAME@vX.Y.Z"),
        ("--output=x@v0.0.1", "expected NAME@vX.Y.Z"),
        ("a/../b@v0.0.1", "expected NAME@vX.Y.Z"),
        ("tiny-vl@v01.0.1", "expected NAME@vX.Y.Z"),
        ("tiny-vl@v0.0.1\n", "expected NAME@vX.Y.Z"),
    ],
)
def test_unknown_or_malformed_label_is_one_sentence(registry, label, sentence):
    filled(registry, 1)
    with pytest.raises(RegistryError, match=sentence):
        registry.version(label)


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "a.b", "x-", "a" * 101, "a\n", "$(id)", "ä"])
def test_names_that_gto_or_git_would_misread_are_refused(registry, name):
    with pytest.raises(RegistryError, match="not a name for the registry"):
        registry.register(candidate(1, name=name))


def test_foreign_and_hostile_tags_neither_break_nor_count_as_ours(checkout, registry):
    checkout.git("tag", "tiny-vl@v0.0.1")
    checkout.git("tag", "tiny-vl@v9")
    checkout.git("tag", "tiny-vl#champion#x")
    assert registry.versions("tiny-vl")[0].record is None
    second = registry.register(candidate(1))
    assert second.version == "v0.0.2"
    checkout.git("tag", "tiny-vl@v0.0.7", second.commit)  # another version's record under a wrong name
    assert [(v.version, v.record is None) for v in registry.versions("tiny-vl")] == [
        ("v0.0.1", True),
        ("v0.0.2", False),
        ("v0.0.7", True),
    ]
    checkout.git("tag", "tiny-vl#champion#5", "HEAD~0")
    registry.promote("tiny-vl@v0.0.2", why="mends it")
    assert registry.history("tiny-vl")[-1].number == 6


@pytest.mark.parametrize(
    "content", ["\r\n", "{", "[1]", '{"name": 1}', "\N{GREEK SMALL LETTER ALPHA}" * 3, '{"a": 1, "a": 2}', ""]
)
def test_damaged_records_are_told_apart_from_sound_ones(checkout, registry, content):
    registry.register(candidate(1))
    head = checkout.git("rev-parse", "HEAD")
    blob = (
        subprocess.run(
            ["git", "hash-object", "-w", "--stdin"],
            cwd=checkout.root,
            input=content.encode(),
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
    )
    tree = registry.git.tree(None, {"omnirl-version.json": ("blob", blob)})
    checkout.git("tag", "tiny-vl@v0.0.2", registry.git.commit(tree, head, "x"))
    registry.register(candidate(3))
    fresh = Registry(checkout.root).versions("tiny-vl")
    assert [v.record is None for v in fresh] == [False, True, False]


def test_title_taken_away_with_gto_leaves_no_champion(checkout, registry):
    filled(registry, 1)
    registry.promote("tiny-vl@v0.0.1", why="x")
    checkout.git("tag", "tiny-vl#champion!#2", "tiny-vl@v0.0.1^{commit}")
    assert registry.champion_event("tiny-vl") == (None, 2)
    registry.promote("tiny-vl@v0.0.1", why="again")
    assert registry.champion("tiny-vl").version == "v0.0.1"
