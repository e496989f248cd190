"""The page: complete, self-contained, the same bytes every time, inert whatever the data says."""

import dataclasses
import itertools
import re
import shutil
from html.parser import HTMLParser

import pytest
import tree

from omnirl.errors import DataError, OmniRLError
from omnirl.io import files
from omnirl.report import page, run, summary
from omnirl.report.inputs import Evidence, read_evidence
from omnirl.schema import layout

VERDICTS = ("promote", "hold", "reject", "refuse")


class Reader(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


def page_of(root, **options) -> str:
    params = tree.build(root, **options)
    run.run(params, root)
    return (root / layout.PAGE).read_text()


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_has_its_page_with_the_reason_before_the_numbers(tmp_path, quick, verdict):
    text = read(page_of(tmp_path, verdict=verdict)).text
    assert f"Verdict: {verdict.capitalize()}" in text
    assert text.index(f"the reason for {verdict}") < text.index("Results, question by question")


def test_the_results_table_shows_the_gates_numbers(tmp_path, quick):
    text = " ".join(read(page_of(tmp_path)).text.split())
    row = (
        "one picture, boxes found, IoU > 0.5 decides 4 25.0 % 75.0 % +50.0 +41.0 … +58.0 3 1 "
        "3 × 10⁻⁴² Holm 2 × 10⁻⁴¹ 6.1 ▲ better"
    )
    assert row in text


def test_a_refused_comparison_shows_no_gain_and_no_gained_questions(tmp_path, quick):
    text = read(page_of(tmp_path, verdict="refuse")).text
    assert "points" not in text[: text.index("Results, question by question")]
    assert "+50.0" not in text
    assert "no question counts as gained" in text
    assert "no question counts as lost" in text


def test_no_lost_question_is_said_in_words(tmp_path, quick):
    params = tree.build(tmp_path)
    gate = files.read_json(tmp_path / layout.GATE_REPORT)
    for judged in gate["sets"].values():
        judged |= {"lost": 0, "lost_uids": []}
    files.write_json(tmp_path / layout.GATE_REPORT, gate)
    assert "No question was lost." in page.render(read_evidence(params, tmp_path))


def test_two_runs_on_equal_inputs_write_equal_bytes(tmp_path):
    assert page_of(tmp_path / "a") == page_of(tmp_path / "b")


def test_the_page_holds_no_path_time_run_id_or_host(tmp_path):
    params = tree.build(tmp_path, hostile=f"damaged: {tmp_path.resolve()}/data/raw/scenes.zip")
    run.run(params, tmp_path)
    text = (tmp_path / layout.PAGE).read_text()
    assert str(tmp_path) not in text
    assert "damaged: data/raw/scenes.zip" in text
    assert tree.RUN_ID not in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b|\b\d\d:\d\d(:\d\d)?\b", text)


def test_the_runs_page_adds_times_run_id_and_title(tmp_path, quick):
    params = tree.build(tmp_path)
    summary.write(params, tmp_path, champion="tiny-vl@v0.0.2", run_id=tree.RUN_ID)
    text = read((tmp_path / layout.RUNS / tree.RUN_ID / "page.html").read_text()).text
    for expected in (
        tree.RUN_ID,
        "41.5\u202fs",
        "58.8\u202fs of work",
        "tiny-vl@v0.0.2 now holds the title",
        "Python 3.",
    ):
        assert expected in text


def test_nothing_outside_the_page_is_referred_to(tmp_path):
    reader = read(page_of(tmp_path))
    policies = [a["content"] for t, a in reader.tags if t == "meta" and a.get("http-equiv")]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    for _, attributes in reader.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
        assert not [name for name in attributes if name.startswith("on")]
    assert not reader.names() & {"script", "iframe", "object", "embed", "form", "base"}


def test_every_picture_has_a_description_and_every_table_a_caption(tmp_path):
    reader = read(page_of(tmp_path))
    pictures = [a for t, a in reader.tags if t == "img"]
    assert len(pictures) >= 12
    assert all(a.get("alt") for a in pictures)
    names = [t for t, _ in reader.tags]
    assert names.count("table") == names.count("caption")
    levels = [int(t[1]) for t in names if re.fullmatch(r"h[1-6]", t)]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_ids_are_unique(tmp_path):
    ids = [a["id"] for _, a in read(page_of(tmp_path)).tags if a.get("id")]
    assert sorted(ids) == sorted(set(ids))


PAYLOADS = [
    *(
        f"{opening}<{tag} {attributes}>x"
        for opening in ("", '">', "'>", "</td></table>", "</style>", "</title>")
        for tag, attributes in (
            ("script", ""),
            ("img", "src=x onerror=alert(1)"),
            ("svg/onload=alert(1)", ""),
            ("iframe", "src=javascript:alert(1)"),
            ("a", "href=javascript:alert(1)"),
        )
    ),
    *(f'" {name}="alert(1)' for name in ("onclick", "onmouseover", "style", "autofocus onfocus", "href")),
    "<!-- ", "]]>", "<![CDATA[<script>]]>", "<?php ?>", "</textarea><script>alert(1)</script>", "<plaintext>",
    "{{ 7 * 7 }}", "{% raw %}", "${alert(1)}", "&lt;script&gt;alert(1)&lt;/script&gt;", "\x00<script>", "\u202e<b>",
    "<scr\x00ipt>", "\ud800<i>", "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
]  # fmt: skip


def test_there_are_fifty_payloads():
    assert len(PAYLOADS) >= 50


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Evidence:
    """Evidence in which every text that comes from data is the word `harmless`."""
    root = tmp_path_factory.mktemp("plain")
    return read_evidence(tree.build(root, hostile="harmless"), root)


def with_payload(plain: Evidence, payload: str) -> Evidence:
    """The same evidence with `payload` in place of each `harmless`."""

    def swap(value):
        if isinstance(value, dict):
            return {swap(k): swap(v) for k, v in value.items()}
        if isinstance(value, list):
            return [swap(v) for v in value]
        return value.replace("harmless", payload) if isinstance(value, str) else value

    reports = {
        f.name: swap(getattr(plain, f.name)) for f in dataclasses.fields(plain) if f.name not in ("params", "root")
    }
    hostile = Evidence(plain.params, plain.root, **reports)
    said = {"completion": payload, "parsed": payload}
    hostile.__dict__["answers"] = {
        name: tuple({uid: record.model_copy(update=said) for uid, record in side.items()} for side in both)
        for name, both in plain.answers.items()
    }
    asked = {"problem": payload, "answer": payload}
    hostile.__dict__["rows"] = {uid: row.model_copy(update=asked) for uid, row in plain.rows.items()}
    hostile.__dict__["quarantine"] = swap(plain.quarantine)
    return hostile


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_texts_are_inert(plain, quick, payload):
    """In questions, answers, completions, reasons, labels and quarantine, a payload adds no tag and no attribute."""
    expected = [(t, sorted(a)) for t, a in read(page.render(plain)).tags]
    reader = read(page.render(with_payload(plain, payload)))
    assert [(t, sorted(a)) for t, a in reader.tags] == expected
    assert reader.text.count(page.clean(payload)) >= 20


MISSING = (
    layout.EVAL_REPORT, layout.REGISTRATION, layout.CONVERT_REPORT, layout.VALIDATE_REPORT, layout.REDTEAM_REPORT,
    layout.SFT_REPORT, layout.TRAIN_REPORT, layout.SFT_CURVE, layout.TRAIN_CURVE, layout.EVAL_RECORDS,
    layout.VALID, layout.RAW, layout.QUARANTINE,
)  # fmt: skip


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("missing", MISSING)
def test_a_missing_input_leaves_a_page_without_it(tmp_path, quick, missing):
    params = tree.build(tmp_path)
    remove(tmp_path / missing)
    run.run(params, tmp_path)
    assert "Verdict: Promote" in (tmp_path / layout.PAGE).read_text()


def test_the_gates_report_alone_makes_a_page(tmp_path):
    params = tree.build(tmp_path)
    for missing in MISSING:
        remove(tmp_path / missing)
    run.run(params, tmp_path)
    text = read((tmp_path / layout.PAGE).read_text()).text
    for expected in ("Verdict: Promote", "No training curve is at hand", "No red-team report is at hand"):
        assert expected in text


def test_without_a_verdict_there_is_no_page_but_a_sentence(tmp_path):
    params = tree.build(tmp_path)
    (tmp_path / layout.GATE_REPORT).unlink()
    with pytest.raises(DataError, match=r"reports/gate\.json: no such file; run `dvc repro gate`"):
        run.run(params, tmp_path)
    assert not (tmp_path / layout.PAGE).exists()


def test_a_broken_record_is_named_by_file_and_number(tmp_path):
    params = tree.build(tmp_path)
    path = tmp_path / layout.EVAL_RECORDS / "champion" / "generative.jsonl"
    lines = files.read_jsonl(path)
    lines[2]["correct"] = "perhaps"
    files.write_jsonl(path, lines)
    with pytest.raises(OmniRLError, match=r"champion/generative\.jsonl, record 3: correct"):
        run.run(params, tmp_path)


def test_quarantine_is_counted_by_reason_with_a_picture_where_one_decodes(tmp_path, quick):
    text = page_of(tmp_path)
    part = text[text.index("What was quarantined") : text.index('id="redteam"')]
    assert [part.count(code) for code in ("box_outside_image", "image_unreadable", "empty_question")] == [1, 1, 1]
    assert part.count("<img") == 1
    assert part.count("none to show") == 2


def test_the_demo_says_what_it_shows_and_other_data_does_not(tmp_path, quick):
    params = tree.build(tmp_path)
    sentence = "weak labels repaired by verifiable rewards; GRPO adds no skill to a clean start"
    assert sentence in page.render(read_evidence(params, tmp_path))
    elsewhere = params.model_copy(update={"fetch": params.fetch.model_copy(update={"endpoint": "https://hub.test"})})
    assert sentence not in page.render(read_evidence(elsewhere, tmp_path))


def test_lineage_names_digests_revision_and_sha256_of_every_file(tmp_path, quick):
    text = read(page_of(tmp_path)).text
    for digest in ("b" * 64, "5" * 64, "6" * 64, "tiny-vl@v0.0.2", "omnirl-demo/tiny-vl at revision demo"):
        assert digest in text
    archive = files.sha256_file(tmp_path / layout.RAW / "scenes" / "train2014.zip")
    assert archive in text


def test_characters_that_mislead_or_cannot_be_encoded_are_replaced(tmp_path, quick):
    assert page.clean("a\x00\u202eb\ud800\x1b[2J\n\tc") == "a��b��[2J\n\tc"
    evidence = read_evidence(tree.build(tmp_path), tmp_path)
    evidence.gate["reasons"] = ["\ud800 and \u202e"]
    assert "� and �" in page.render(evidence).encode().decode()


def test_an_unknown_verdict_is_refused_not_dressed_up(tmp_path):
    params = tree.build(tmp_path, verdict="perhaps")
    with pytest.raises(DataError, match=r"reports/gate\.json: unknown verdict 'perhaps'"):
        run.run(params, tmp_path)
