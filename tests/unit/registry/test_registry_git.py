"""Git as a program: no hook runs, no configuration or variable of the caller disturbs, clear errors."""

import os

import pytest
from registry_candidates import candidate

from omnirl.errors import RegistryError
from omnirl.registry.git import Git
from omnirl.registry.store import Registry


def use(checkout):
    """Every operation once; returns the number of versions."""
    registry = Registry(checkout.root)
    registry.register(candidate(1))
    registry.register(candidate(2))
    registry.promote("tiny-vl@v0.0.1", why="x")
    registry.promote("tiny-vl@v0.0.2", why="x")
    registry.rollback("tiny-vl", why="x")
    return len(registry.versions("tiny-vl"))


HOOKS = (
    "reference-transaction",
    "pre-commit",
    "post-commit",
    "commit-msg",
    "prepare-commit-msg",
    "post-index-change",
    "fsmonitor",
)


def plant(checkout):
    """Hooks and a file-system monitor that leave a mark."""
    mark = checkout.root.parent / "mark"
    for name in HOOKS:
        hook = checkout.root / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> {mark}\n")
        hook.chmod(0o755)
    checkout.git("config", "core.fsmonitor", str(checkout.root / ".git/hooks/fsmonitor"))
    return mark


def test_no_hook_and_no_monitor_runs(checkout):
    mark = plant(checkout)
    assert use(checkout) == 2
    assert not mark.exists()


def test_control_the_planted_hooks_do_run_under_plain_git(checkout):
    mark = plant(checkout)
    checkout.git("tag", "plain")
    checkout.git("status")
    assert {"reference-transaction", "fsmonitor"} <= set(mark.read_text().split())


def test_signing_configuration_of_the_user_does_not_disturb(checkout):
    for key in ("tag.gpgSign", "commit.gpgSign", "tag.forceSignAnnotated"):
        checkout.git("config", key, "true")
    checkout.git("config", "gpg.program", "/bin/false")
    checkout.git("config", "user.signingKey", "nobody")
    assert use(checkout) == 2
    assert "BEGIN" not in checkout.git("cat-file", "tag", "tiny-vl@v0.0.1")


@pytest.mark.parametrize(
    "name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"]
)
def test_git_variables_of_the_caller_do_not_count(checkout, monkeypatch, name):
    monkeypatch.setenv(name, "/nonsense")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody else")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/nonsense")
    assert use(checkout) == 2
    monkeypatch.undo()
    assert checkout.git("log", "-1", "--format=%an <%ae> %cn", "tiny-vl@v0.0.2") == (
        "omnirl registry <registry@omnirl.invalid> omnirl registry"
    )


def test_configured_identity_is_used(checkout):
    checkout.git("config", "user.name", "Ünal <evil>\tX")
    checkout.git("config", "user.email", "u@example.org")
    use(checkout)
    assert checkout.git("for-each-ref", "--format=%(taggeremail)", "refs/tags/tiny-vl@v0.0.1") == "<u@example.org>"
    assert Registry(checkout.root).versions("tiny-vl")[0].who.startswith("Ünal evil")


def test_other_odd_configuration_does_not_disturb(checkout):
    for key, value in {
        "core.quotePath": "false",
        "core.autocrlf": "true",
        "core.safecrlf": "true",
        "i18n.commitEncoding": "ISO-8859-1",
        "log.showSignature": "true",
        "core.pager": "false",
        "color.ui": "always",
        "status.short": "true",
        "status.branch": "true",
        "column.ui": "always",
    }.items():
        checkout.git("config", key, value)
    assert use(checkout) == 2
    assert "Grüße.txt" in checkout.git("-c", "core.quotePath=false", "ls-tree", "--name-only", "tiny-vl@v0.0.1")


def test_works_in_a_linked_worktree_and_sees_the_same_registry(checkout):
    other = checkout.root.parent / "other"
    checkout.git("worktree", "add", "-q", "--detach", str(other))
    Registry(other).register(candidate(1))
    assert [v.version for v in Registry(checkout.root).versions("tiny-vl")] == ["v0.0.1"]


def test_folder_outside_git_is_one_clear_sentence(tmp_path):
    with pytest.raises(RegistryError, match="not a Git work tree.*git init"):
        Registry(tmp_path)


def test_missing_folder_is_one_clear_sentence(tmp_path):
    with pytest.raises(RegistryError, match="no such folder"):
        Registry(tmp_path / "nowhere")


def test_repository_without_commit_is_one_clear_sentence(tmp_path):
    Git(tmp_path).text("init", "-q")
    with pytest.raises(RegistryError, match="no commit yet"):
        Registry(tmp_path)


def test_sub_folder_of_a_repository_is_refused(checkout):
    with pytest.raises(RegistryError, match="sub-folder"):
        Registry(checkout.root / "code")


@pytest.mark.parametrize("name", ["--output=pwn", "-d", "a b", "x$(id)", "../x", "a..b", "", "ä", "a\n"])
def test_unsafe_tag_names_never_reach_git(checkout, name):
    before = sorted(p.name for p in checkout.root.iterdir())
    with pytest.raises(RegistryError, match="not a tag name"):
        Git(checkout.root).create_tag(name, checkout.git("rev-parse", "HEAD"), "x")
    assert sorted(p.name for p in checkout.root.iterdir()) == before


def test_a_tag_is_created_once(checkout):
    git, head = Git(checkout.root), checkout.git("rev-parse", "HEAD")
    assert git.create_tag("a@v0.0.1", head, "first") is True
    assert git.create_tag("a@v0.0.1", head, "second") is False
    checkout.git("pack-refs", "--all")
    assert git.create_tag("a@v0.0.1", head, "third") is False
    assert git.tags(["a@*"])[0].subject == "first"


def test_a_lock_left_behind_is_named(checkout, monkeypatch):
    monkeypatch.setitem(
        __import__("omnirl.registry.git", fromlist=["OPTIONS"]).OPTIONS, "core.filesRefLockTimeout", "50"
    )
    lock = checkout.root / ".git/refs/tags/a@v0.0.1.lock"
    lock.write_text("")
    with pytest.raises(RegistryError, match=r"a@v0\.0\.1\.lock"):
        Git(checkout.root).create_tag("a@v0.0.1", checkout.git("rev-parse", "HEAD"), "x")


def test_a_read_only_repository_is_an_error_and_not_a_lost_race(checkout):
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    (checkout.root / ".git/refs/tags").chmod(0o555)
    try:
        with pytest.raises(RegistryError, match="cannot be written"):
            Git(checkout.root).create_tag("a@v0.0.1", checkout.git("rev-parse", "HEAD"), "x")
    finally:
        (checkout.root / ".git/refs/tags").chmod(0o755)


def test_file_names_in_any_encoding_survive_in_a_version(checkout):
    os.close(os.open(os.fsencode(checkout.root) + b"/caf\xe9 \t.txt", os.O_CREAT | os.O_WRONLY))
    checkout.commit("a name that is not UTF-8")
    checkout.git("config", "core.quotePath", "false")
    label = Registry(checkout.root).register(candidate(1)).label
    assert checkout.git("diff", "--no-renames", "--name-status", "--diff-filter=D", "HEAD", label) == ""
