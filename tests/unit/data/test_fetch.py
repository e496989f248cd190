"""Fetching from a real local Hub that fails on purpose."""

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omnirl.config import DatasetRepo, Fetch, HubFile, ModelRepo
from omnirl.data import fetch
from omnirl.data.fetch import DOWNLOADS
from omnirl.errors import FetchError, OmniRLError
from omnirl.io.locks import folder_lock
from tests.hub_faults import FaultyHub
from tests.unit.data.support import DEMO, ROOT

BIG = random.Random(1).randbytes(300_000)
SMALL = b'{"answer": 42}\n'
MODEL = {"config.json": b"{}", "model.safetensors": b"weights", "sub/chat_template.jinja": b"{{ x }}"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def hub(tmp_path):
    hub = FaultyHub(tmp_path / "hub")
    hub.data = hub.publish("datasets", "acme/boxes", {"big.zip": BIG, "small.json": SMALL})
    hub.model = hub.publish("models", "acme/tiny", MODEL)
    with hub:
        yield hub


def params_for(
    hub, files=(("big.zip", None), ("small.json", None)), *, address=None, retries=2, timeout_s=5.0, **model
):
    wanted = tuple(HubFile(path=path, sha256=digest) for path, digest in files)
    section = Fetch(
        endpoint=address or hub.address,
        timeout_s=timeout_s,
        retries=retries,
        datasets=(DatasetRepo(repo="acme/boxes", revision=hub.data, to="boxes", files=wanted),),
        model=ModelRepo(**{"repo": "acme/tiny", "revision": hub.model, **model}),
        demo=None,
    )
    return DEMO.model_copy(update={"fetch": section})


def fetch_into(root: Path, params) -> dict:
    return fetch.run(params, root, backoff_s=0.01)


def raw(root: Path, name: str) -> bytes:
    return (root / "data/raw/boxes" / name).read_bytes()


def parts(root: Path) -> list[Path]:
    return sorted((root / DOWNLOADS).rglob("*.part"))


def test_files_and_model_arrive_whole(hub, tmp_path):
    report = fetch_into(tmp_path, params_for(hub))
    assert raw(tmp_path, "big.zip") == BIG
    assert raw(tmp_path, "small.json") == SMALL
    base = tmp_path / "models/base"
    assert {p.relative_to(base).as_posix(): p.read_bytes() for p in base.rglob("*") if p.is_file()} == MODEL
    total = len(BIG) + len(SMALL) + sum(map(len, MODEL.values()))
    assert report == {"files": 2, "model_files": 3, "bytes": total, "received_bytes": total}
    assert parts(tmp_path) == []


def test_a_second_run_asks_the_hub_for_nothing(hub, tmp_path):
    fetch_into(tmp_path, params_for(hub, [("big.zip", sha256(BIG)), ("small.json", None)]))
    before = len(hub.server.requests)
    report = fetch_into(tmp_path, params_for(hub, [("big.zip", sha256(BIG)), ("small.json", None)]))
    assert hub.server.requests[before:] == []
    assert report["received_bytes"] == 0


def test_outputs_deleted_before_the_run_are_restored_without_a_download(hub, tmp_path):
    fetch_into(tmp_path, params_for(hub))
    for path in (*(tmp_path / "data").rglob("*"), *(tmp_path / "models").rglob("*")):
        if path.is_file():
            path.unlink()
    before = len(hub.server.requests)
    fetch_into(tmp_path, params_for(hub))
    assert raw(tmp_path, "big.zip") == BIG
    assert (tmp_path / "models/base/model.safetensors").read_bytes() == b"weights"
    assert hub.server.requests[before:] == []


def test_a_changed_output_is_replaced(hub, tmp_path):
    fetch_into(tmp_path, params_for(hub))
    for name in ("data/raw/boxes/big.zip", "models/base/config.json"):
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(b"tampered")
    (tmp_path / "models/base/extra.json").write_bytes(b"{}")
    fetch_into(tmp_path, params_for(hub))
    assert raw(tmp_path, "big.zip") == BIG
    assert (tmp_path / "models/base/config.json").read_bytes() == b"{}"
    assert not (tmp_path / "models/base/extra.json").exists()


def test_a_cut_line_is_taken_up_where_it_broke(hub, tmp_path):
    hub.fail("big.zip", "cut", at=100_000)
    fetch_into(tmp_path, params_for(hub))
    assert raw(tmp_path, "big.zip") == BIG
    assert hub.gets("big.zip") == ["whole", "bytes=100000-"]


def test_a_run_that_gave_up_is_continued_by_the_next(hub, tmp_path):
    hub.fail("big.zip", "cut", at=70_000)
    with pytest.raises(FetchError, match=r"acme/boxes/big\.zip .* gave no complete answer in 1 tries"):
        fetch_into(tmp_path, params_for(hub, retries=0))
    assert [p.stat().st_size for p in parts(tmp_path)] == [70_000]
    assert not (tmp_path / "data/raw/boxes").exists()
    fetch_into(tmp_path, params_for(hub, retries=0))
    assert hub.gets("big.zip") == ["whole", "bytes=70000-"]
    assert raw(tmp_path, "big.zip") == BIG


RUN = """
import sys
from pathlib import Path
from omnirl.config import parse_params
from omnirl.data import fetch
from omnirl.errors import OmniRLError
import json, resource
params = parse_params(json.loads(Path(sys.argv[1]).read_text()), where="test")
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    fetch.run(params, Path(sys.argv[2]), backoff_s=0.01)
except OmniRLError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def start_process(tmp_path: Path, params, *more: str) -> subprocess.Popen:
    settings = tmp_path / "params.json"
    settings.write_text(params.model_dump_json(by_alias=True))
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(settings), str(tmp_path), *more], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_or_interrupted_process_is_continued_by_another(hub, tmp_path, signal_number):
    hub.fail("big.zip", "slow", delay=0.2)
    with start_process(tmp_path, params_for(hub)) as first:
        deadline = time.monotonic() + 30
        while not any(p.stat().st_size > 40_000 for p in parts(tmp_path)):
            assert time.monotonic() < deadline, "nothing arrived"
            time.sleep(0.02)
        first.send_signal(signal_number)
        assert first.wait(timeout=20) != 0
        assert first.stderr is not None
        first.stderr.read()
    have = parts(tmp_path)[0].stat().st_size
    assert 40_000 < have < len(BIG)
    fetch_into(tmp_path, params_for(hub))
    assert hub.gets("big.zip") == ["whole", f"bytes={have}-"]
    assert raw(tmp_path, "big.zip") == BIG


def test_a_full_disk_is_named_and_the_next_run_goes_on(hub, tmp_path):
    with start_process(tmp_path, params_for(hub), "120000") as process:
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(timeout=30) == 1
    assert "FetchError" in said.splitlines()[-1]
    assert "after 120000 bytes (the file size limit of this process is reached)" in said
    assert [p.stat().st_size for p in parts(tmp_path)] == [120_000]
    assert not (tmp_path / "data/raw/boxes").exists()
    fetch_into(tmp_path, params_for(hub))
    assert hub.gets("big.zip")[-1] == "bytes=120000-"
    assert raw(tmp_path, "big.zip") == BIG


def test_too_little_space_stops_before_the_first_byte(hub, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr("omnirl.io.download.shutil.disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"needs 300\.01 kB more and 100\.00 kB are free; make room"):
        fetch_into(tmp_path, params_for(hub))
    assert hub.gets("big.zip") == []


def test_a_flipped_bit_is_found_and_the_download_deleted(hub, tmp_path):
    hub.fail("big.zip", "flip")
    damaged = BIG[:-1] + bytes([BIG[-1] ^ 1])
    with pytest.raises(FetchError) as caught:
        fetch_into(tmp_path, params_for(hub))
    assert f"wrong checksum, expected sha256 {sha256(BIG)}, found {sha256(damaged)}" in str(caught.value)
    assert parts(tmp_path) == []
    assert not (tmp_path / "data/raw/boxes/big.zip").exists()
    fetch_into(tmp_path, params_for(hub))
    assert raw(tmp_path, "big.zip") == BIG


def test_a_flipped_bit_in_a_file_that_git_holds_is_found_by_its_object_id(hub, tmp_path):
    hub.fail("small.json", "flip")
    expected = "a635c1510dc26badc3ffbfb70d08934a84ea30b5"  # git hash-object --stdin
    with pytest.raises(FetchError, match=f"wrong checksum, expected Git object {expected}, found "):
        fetch_into(tmp_path, params_for(hub))


def test_another_digest_in_the_parameters_stops_before_the_download(hub, tmp_path):
    with pytest.raises(FetchError, match=f"wrong checksum, expected sha256 {'0' * 64} and the Hub lists {sha256(BIG)}"):
        fetch_into(tmp_path, params_for(hub, [("big.zip", "0" * 64)]))
    assert hub.gets("big.zip") == []


def test_a_digest_in_the_parameters_is_checked_where_the_hub_lists_none(hub, tmp_path):
    with pytest.raises(FetchError, match=f"wrong checksum, expected sha256 {'0' * 64}, found {sha256(SMALL)}"):
        fetch_into(tmp_path, params_for(hub, [("small.json", "0" * 64)]))


def test_a_file_that_moved_is_named_with_what_is_there(hub, tmp_path):
    with pytest.raises(FetchError, match=r"acme/boxes/lisa-test\.zip .*no such file \(moved or renamed\?\).*big\.zip"):
        fetch_into(tmp_path, params_for(hub, [("lisa-test.zip", None)]))


def test_a_file_that_vanished_after_the_listing_is_named(hub, tmp_path):
    hub.fail("resolve", "404")
    with pytest.raises(FetchError, match=r"big\.zip .*has no such file \(moved or renamed\?\)"):
        fetch_into(tmp_path, params_for(hub))


def test_an_unknown_revision_is_named(hub, tmp_path):
    with pytest.raises(FetchError, match=r"acme/tiny at revision f{40}: .*but not this revision"):
        fetch_into(tmp_path, params_for(hub, revision="f" * 40))


def test_an_unknown_repository_is_named(hub, tmp_path):
    with pytest.raises(FetchError, match=r"acme/gone .*no such repository"):
        fetch_into(tmp_path, params_for(hub, repo="acme/gone"))


def test_a_gated_repository_says_what_to_do(hub, tmp_path):
    hub.fail("big.zip", "gated")
    with pytest.raises(FetchError, match=r"gated; accept its terms .* `hf auth login`"):
        fetch_into(tmp_path, params_for(hub))


@pytest.mark.parametrize("status", ["429", "503"])
def test_a_busy_server_is_asked_again_when_it_says(hub, tmp_path, status):
    hub.fail("big.zip", status, retry_after=1)
    start = time.monotonic()
    fetch_into(tmp_path, params_for(hub))
    assert time.monotonic() - start >= 1.0
    assert raw(tmp_path, "big.zip") == BIG


def test_a_server_that_stays_busy_is_given_up_after_the_tries_allowed(hub, tmp_path):
    hub.fail("big.zip", "503", times=100)
    with pytest.raises(FetchError, match="in 3 tries"):
        fetch_into(tmp_path, params_for(hub, retries=2))
    assert len(hub.gets("big.zip")) == 3


def test_a_silent_server_counts_as_failed_after_the_time_limit(hub, tmp_path):
    hub.fail("big.zip", "hang", at=50_000, delay=3.0)
    start = time.monotonic()
    fetch_into(tmp_path, params_for(hub, timeout_s=0.3))
    assert time.monotonic() - start < 2.5
    assert hub.gets("big.zip") == ["whole", "bytes=50000-"]
    assert raw(tmp_path, "big.zip") == BIG


def test_a_server_without_ranges_is_read_from_the_start_again(hub, tmp_path):
    hub.fail("big.zip", "cut", at=100_000)
    hub.fail("big.zip", "no_range")
    fetch_into(tmp_path, params_for(hub))
    assert hub.gets("big.zip") == ["whole", "bytes=100000-"]
    assert raw(tmp_path, "big.zip") == BIG


def test_a_body_shorter_than_listed_is_completed_by_a_range(hub, tmp_path):
    hub.fail("big.zip", "short")
    fetch_into(tmp_path, params_for(hub))
    assert hub.gets("big.zip") == ["whole", f"bytes={len(BIG) - 1}-"]
    assert raw(tmp_path, "big.zip") == BIG


def test_a_body_longer_than_listed_is_refused(hub, tmp_path):
    hub.fail("big.zip", "long")
    with pytest.raises(FetchError, match="more bytes than its file list says"):
        fetch_into(tmp_path, params_for(hub))


def test_an_overlong_part_file_is_started_again(hub, tmp_path):
    store = tmp_path / DOWNLOADS / "datasets--acme--boxes" / hub.data
    store.mkdir(parents=True)
    (store / f"big.zip.{sha256(BIG)}.part").write_bytes(BIG + b"x")
    fetch_into(tmp_path, params_for(hub))
    assert hub.gets("big.zip") == ["whole"]
    assert raw(tmp_path, "big.zip") == BIG


def test_a_part_file_of_another_content_never_becomes_the_file(hub, tmp_path):
    store = tmp_path / DOWNLOADS / "datasets--acme--boxes" / hub.data
    store.mkdir(parents=True)
    (store / f"big.zip.{sha256(BIG)}.part").write_bytes(b"x" * 1000)
    with pytest.raises(FetchError, match="wrong checksum"):
        fetch_into(tmp_path, params_for(hub))
    fetch_into(tmp_path, params_for(hub))
    assert raw(tmp_path, "big.zip") == BIG


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_an_unreachable_mirror_is_named_and_so_is_where_to_put_files_by_hand(hub, tmp_path):
    port = free_port()
    params = params_for(hub, [("big.zip", sha256(BIG))], address=f"http://127.0.0.1:{port}", retries=1)
    with pytest.raises(FetchError) as caught:
        fetch_into(tmp_path, params)
    by_hand = tmp_path / DOWNLOADS / "datasets--acme--boxes" / hub.data / "big.zip"
    assert f"127.0.0.1:{port} gave no complete answer in 2 tries" in str(caught.value)
    assert str(by_hand) in str(caught.value)
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(BIG)
    with pytest.raises(FetchError, match="acme/tiny.*copy its"):
        fetch_into(tmp_path, params)
    assert raw(tmp_path, "big.zip") == BIG


def test_downloads_copied_from_another_machine_need_no_network(hub, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    params = params_for(hub)
    fetch_into(here, params)
    there.mkdir()
    (here / ".omnirl").rename(there / ".omnirl")
    offline = params_for(hub, address=f"http://127.0.0.1:{free_port()}", retries=0)
    fetch_into(there, offline)
    assert raw(there, "big.zip") == BIG
    assert (there / "models/base/model.safetensors").read_bytes() == b"weights"


def test_a_wrong_file_put_by_hand_is_fetched_instead(hub, tmp_path):
    by_hand = tmp_path / DOWNLOADS / "datasets--acme--boxes" / hub.data / "big.zip"
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(b"not it")
    fetch_into(tmp_path, params_for(hub))
    assert raw(tmp_path, "big.zip") == BIG


def test_pickled_weights_and_code_are_left_out(hub, tmp_path, caplog):
    revision = hub.publish("models", "acme/both", {**MODEL, "pytorch_model.bin": b"\x80", "modeling_x.py": b"boom()"})
    fetch_into(tmp_path, params_for(hub, repo="acme/both", revision=revision))
    there = {p.name for p in (tmp_path / "models/base").rglob("*") if p.is_file()}
    assert there == {"config.json", "model.safetensors", "chat_template.jinja"}
    assert hub.gets("pytorch_model.bin") == []
    assert "pytorch_model.bin is left out" in caplog.text


def test_a_model_of_pickles_alone_is_refused(hub, tmp_path):
    revision = hub.publish("models", "acme/old", {"config.json": b"{}", "pytorch_model.bin": b"\x80"})
    with pytest.raises(FetchError, match=r"no \.safetensors weights \(pytorch_model\.bin\)"):
        fetch_into(tmp_path, params_for(hub, repo="acme/old", revision=revision))
    assert not (tmp_path / "models/base").exists()


@pytest.mark.parametrize("name", ["../outside.zip", "/etc/outside.zip", "a\\b.zip", "c:x.zip"])
def test_a_name_that_leads_out_of_the_folder_is_refused(hub, tmp_path, name):
    with pytest.raises(FetchError, match="refused"):
        fetch_into(tmp_path, params_for(hub, [(name, None)]))


def test_the_manifest_explains_demo_revisions_and_digests(hub, tmp_path):
    params = params_for(hub, [("big.zip", "demo")], revision="demo")
    repo = params.fetch.datasets[0].model_copy(update={"revision": "demo"})
    params = params.model_copy(update={"fetch": params.fetch.model_copy(update={"datasets": (repo,)})})
    manifest = {
        "revisions": {"acme/boxes": hub.data, "acme/tiny": hub.model},
        "sha256": {"acme/boxes": {"big.zip": sha256(BIG)}, "acme/tiny": {"config.json": sha256(b"{}")}},
    }
    fetch.run(params, tmp_path, endpoint=hub.address, manifest=manifest, backoff_s=0.01)
    assert raw(tmp_path, "big.zip") == BIG
    hub.publish("models", "acme/tiny", {**MODEL, "config.json": b"{ }"}, revision="1" * 40)
    later = {
        "revisions": {**manifest["revisions"], "acme/tiny": "1" * 40},
        "sha256": {"acme/boxes": {"big.zip": sha256(BIG)}},
    }
    fetch.run(params, tmp_path, endpoint=hub.address, manifest=later, backoff_s=0.01)
    assert (tmp_path / "models/base/config.json").read_bytes() == b"{ }"
    kept = {p.name for p in (tmp_path / DOWNLOADS / "models--acme--tiny").iterdir()}
    assert kept == {"1" * 40, f"{'1' * 40}.json"}
    with pytest.raises(FetchError, match="params.yaml says `demo` for acme/boxes"):
        fetch.run(params, tmp_path / "other", endpoint=hub.address, manifest=None, backoff_s=0.01)


def test_the_users_token_never_goes_over_plain_http(hub, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    plain = hub.server.RequestHandlerClass.send_reply

    def spy(handler, request, reply):
        seen.append(request.headers.get("Authorization"))
        plain(handler, request, reply)

    monkeypatch.setattr(hub.server.RequestHandlerClass, "send_reply", spy)
    fetch_into(tmp_path, params_for(hub))
    assert seen
    assert set(seen) == {None}


def test_a_proxy_of_the_environment_does_not_stand_before_a_local_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    fetch_into(tmp_path, params_for(hub, retries=0))
    assert raw(tmp_path, "big.zip") == BIG


def test_two_fetches_at_once_are_kept_apart(hub, tmp_path):
    busy = pytest.raises(OmniRLError, match=f"already running there .process {os.getpid()}")
    with folder_lock(tmp_path / DOWNLOADS, purpose="a download"), busy:
        fetch_into(tmp_path, params_for(hub))


def test_an_address_that_is_no_hub_is_named(hub, tmp_path):
    (tmp_path / "hub/datasets/acme/boxes" / hub.data / "config.json").write_bytes(b"{}")
    with pytest.raises(FetchError, match="no such repository, revision or file"):
        fetch_into(tmp_path, params_for(hub, address=f"{hub.address}/wrong"))
