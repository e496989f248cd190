"""The local Hub speaks the protocol: judged by the real client and by plain HTTP."""

import hashlib

import httpx
import huggingface_hub as hub
import pytest
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from tests.hub_faults import FaultyHub

ARCHIVE = bytes(range(256)) * 40
FILES = {"a.zip": ARCHIVE, "sub/b.json": b'{"b": 1}'}


@pytest.fixture
def served(tmp_path):
    faulty = FaultyHub(tmp_path / "hub")
    revision = faulty.publish("datasets", "acme/boxes", FILES)
    faulty.publish("models", "acme/tiny", {"config.json": b"{}"})
    with faulty:
        yield faulty, revision


def url(served, name="a.zip", revision=None):
    return f"{served[0].address}/datasets/acme/boxes/resolve/{revision or served[1]}/{name}"


def test_the_real_client_downloads_a_pinned_snapshot(served, tmp_path):
    folder = hub.snapshot_download(
        "acme/boxes", repo_type="dataset", revision=served[1], endpoint=served[0].address, local_dir=tmp_path / "to"
    )
    assert {n: (tmp_path / "to" / n).read_bytes() for n in FILES} == FILES
    assert folder == str(tmp_path / "to")


def test_the_real_client_reads_size_and_sha256_from_the_listing(served):
    api = hub.HfApi(endpoint=served[0].address)
    entries = {
        e.path: e for e in api.list_repo_tree("acme/boxes", recursive=True, revision=served[1], repo_type="dataset")
    }
    assert entries["a.zip"].lfs.sha256 == hashlib.sha256(ARCHIVE).hexdigest()
    assert entries["a.zip"].size == len(ARCHIVE)
    assert entries["sub/b.json"].lfs is None
    # oracle: `printf '{"b": 1}' | git hash-object --stdin`
    assert entries["sub/b.json"].blob_id == "df6333d793c066327e395259cde8c4586ae26407"
    flat = {e.path for e in api.list_repo_tree("acme/boxes", revision=served[1], repo_type="dataset")}
    assert flat == {"a.zip", "sub"}


def test_models_and_datasets_are_different_shelves(served):
    api = hub.HfApi(endpoint=served[0].address)
    assert api.model_info("acme/tiny").siblings[0].rfilename == "config.json"
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("acme/boxes")


@pytest.mark.parametrize(
    ("repo", "revision", "name", "error"),
    [
        ("acme/none", None, "a.zip", RepositoryNotFoundError),
        ("acme/boxes", "0" * 40, "a.zip", RevisionNotFoundError),
        ("acme/boxes", None, "c.zip", EntryNotFoundError),
    ],
)
def test_each_404_says_which_part_is_wrong(served, tmp_path, repo, revision, name, error):
    with pytest.raises(error):
        hub.hf_hub_download(
            repo,
            name,
            repo_type="dataset",
            revision=revision or served[1],
            endpoint=served[0].address,
            cache_dir=tmp_path,
        )


@pytest.mark.parametrize(
    ("span", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9),
        ("bytes=10-", 206, 10, 10239),
        ("bytes=-5", 206, 10235, 10239),
        ("bytes=9-99999", 206, 9, 10239),
    ],
)
def test_ranges_give_the_asked_bytes(served, span, status, first, last):
    reply = httpx.get(url(served), headers={"Range": span})
    assert reply.status_code == status
    assert reply.content == ARCHIVE[first : last + 1]
    assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{len(ARCHIVE)}"


def test_a_range_past_the_end_is_refused_with_the_size(served):
    reply = httpx.get(url(served), headers={"Range": f"bytes={len(ARCHIVE)}-"})
    assert (reply.status_code, reply.headers["Content-Range"]) == (416, f"bytes */{len(ARCHIVE)}")


def test_a_range_of_another_version_gives_the_whole_file(served):
    reply = httpx.get(url(served), headers={"Range": "bytes=10-", "If-Range": '"other"'})
    assert (reply.status_code, reply.content) == (200, ARCHIVE)


def test_head_tells_size_etag_and_commit_without_a_body(served):
    reply = httpx.head(url(served))
    assert reply.headers["ETag"] == f'"{hashlib.sha256(ARCHIVE).hexdigest()}"'
    assert (reply.headers["Content-Length"], reply.headers["X-Repo-Commit"]) == (str(len(ARCHIVE)), served[1])


@pytest.mark.parametrize("name", ["../../../acme/tiny/x", "%2e%2e/%2e%2e/secret", "..%2f..%2fsecret"])
def test_no_address_leaves_the_repository(served, name):
    (served[0].root / "datasets" / "acme" / "secret").write_bytes(b"secret")
    with httpx.Client() as client:
        request = client.build_request("GET", served[0].address)
        request.url = request.url.copy_with(raw_path=f"/datasets/acme/boxes/resolve/{served[1]}/{name}".encode())
        reply = client.send(request)
    assert reply.status_code == 404


def test_nobody_else_on_the_network_is_answered(served):
    assert served[0].server.server_address[0] == "127.0.0.1"


def test_the_port_is_closed_afterwards(tmp_path):
    with FaultyHub(tmp_path) as faulty:
        address = faulty.address
        assert httpx.get(address).status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


class TestFaults:
    """The failing Hub fails in the way it was told, so that tests of downloads mean what they say."""

    def test_a_cut_ends_the_body_early(self, served):
        served[0].fail("a.zip", "cut", at=100)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url(served))
        assert httpx.get(url(served), headers={"Range": "bytes=100-"}).content == ARCHIVE[100:]
        assert served[0].gets("a.zip") == ["whole", "bytes=100-"]

    def test_a_flip_keeps_the_length(self, served):
        served[0].fail("a.zip", "flip")
        damaged = httpx.get(url(served)).content
        assert len(damaged) == len(ARCHIVE)
        assert damaged != ARCHIVE

    @pytest.mark.parametrize("kind", ["404", "429", "503", "500"])
    def test_a_status_lasts_as_often_as_ordered(self, served, kind):
        served[0].fail("a.zip", kind, times=2, retry_after=3)
        statuses = [httpx.get(url(served)).status_code for _ in range(3)]
        assert statuses == [int(kind), int(kind), 200]

    @pytest.mark.parametrize(("kind", "extra"), [("long", 1), ("short", -1)])
    def test_wrong_lengths(self, served, kind, extra):
        served[0].fail("a.zip", kind)
        assert len(httpx.get(url(served)).content) == len(ARCHIVE) + extra

    def test_a_server_without_ranges_sends_everything(self, served):
        served[0].fail("a.zip", "no_range")
        reply = httpx.get(url(served), headers={"Range": "bytes=100-"})
        assert (reply.status_code, reply.content) == (200, ARCHIVE)
