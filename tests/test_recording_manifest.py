"""The manifest: its schema, what it refuses, and that a changed one never passes for the one that was written."""

import hashlib
import json
import random
from importlib import resources

import pytest
from damage import mutated
from pydantic import ValidationError
from tiny_recording import manifest, step

from diffuscope.errors import CorruptRecordingError, DiffuscopeError, RunNotFoundError, SchemaVersionError
from diffuscope.recording import SCHEMA_VERSION, FileHash, Manifest, json_schema, read_manifest
from diffuscope.recording.manifest_file import ManifestFile

SHA = "0" * 64


def written(path, steps=3):
    file = ManifestFile(path, manifest())
    for index in range(steps):
        files = [FileHash(path=f"steps/{index:04d}.safetensors", sha256=SHA, bytes=9)]
        file.add_step(step(index).model_copy(update={"files": files}))
    file.write()
    return file.manifest


def resealed(plain):
    """A manifest file of any content at all, with a seal that holds."""
    lines = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in plain.items() if key != "sha256")
    body = ("{\n" + lines).encode()
    return body + b',\n"sha256": "%s"\n}\n' % hashlib.sha256(body).hexdigest().encode()


def test_the_shipped_schema_is_that_of_the_code():
    shipped = resources.files("diffuscope.recording") / "schema" / f"manifest-{SCHEMA_VERSION}.json"
    made = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    assert shipped.read_text(encoding="utf-8") == made, (
        "the manifest changed: if an older reader would misread it, raise SCHEMA_VERSION; then write the schema anew"
    )


def test_the_schema_names_every_field_of_the_file(tmp_path):
    written(tmp_path / "m")
    plain = json.loads((tmp_path / "m").read_text(encoding="utf-8"))
    schema = json_schema()
    assert set(plain) == set(schema["properties"]) == set(schema["required"])
    assert schema["additionalProperties"] is False
    assert set(plain["steps"][0]) == set(schema["$defs"]["Step"]["properties"])


def test_what_is_written_is_read(tmp_path):
    expected = written(tmp_path / "m")
    assert read_manifest(tmp_path / "m") == expected
    assert expected.schema_version == SCHEMA_VERSION


def test_the_file_is_json_that_people_can_read(tmp_path):
    written(tmp_path / "m")
    lines = (tmp_path / "m").read_text(encoding="utf-8").splitlines()
    assert lines[1] == f'"schema_version": {SCHEMA_VERSION},'
    assert sum(line.startswith('  {"index":') for line in lines) == 3, "one step a line"
    assert "réd <b>" in "\n".join(lines)


def test_infinities_of_a_scheduler_are_kept_as_text(tmp_path):
    written(tmp_path / "m")
    config = read_manifest(tmp_path / "m").sampling.scheduler.config
    assert config == {"lambda_min_clipped": "-Infinity"}
    assert float(config["lambda_min_clipped"]) == float("-inf")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../image.png",
        "steps/../../x",
        "steps//x",
        "./x",
        "steps/.",
        "",
        "C:/x",
        "C:x",
        "steps\\x",
        "\\\\host\\x",
        "a\0b",
        "a\nb",
    ],
)
def test_no_path_leads_out_of_the_folder(path):
    with pytest.raises(ValidationError):
        FileHash(path=path, sha256=SHA, bytes=0)


def test_plain_paths_are_taken():
    assert FileHash(path="steps/0007.safetensors", sha256=SHA, bytes=0).path == "steps/0007.safetensors"


def site(**changes):
    plain = {"name": "cross:mid", "module": "m", "kind": "cross", "grid": [2, 3], "heads": 2, "head_dim": 3}
    return plain | {"scale": 0.5, "keys": 4} | changes


def token(index, kind="content"):
    return {"index": index, "id": 0, "text": "x", "kind": kind}


def word(label, tokens):
    return {"label": label, "text": label, "tokens": tokens, "start": 0, "end": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"unknown": 1},
        {"id": ""},
        {"sites": [site(), site()]},
        {"sites": [site(kind="self")]},
        {"sites": [site(name="mid")]},
        {"sites": [site(name="cross:a@b")]},
        {"sites": [site(name="cross:../b")]},
        {"sites": [site(grid=[6])]},
        {"sites": [site(grid=[0, 3])]},
        {"sites": [site(scale=float("nan"))]},
        {"sites": [site(more=1)]},
        {"keep": {"level": "all", "dtype": "float32", "sites": []}},
        {"keep": {"level": "qk", "dtype": "float32", "sites": ["cross:elsewhere"]}},
        {"text": {"tokens": [token(1)], "words": [], "length": 4}},
        {"text": {"tokens": [token(0)], "words": [word("a", [1])], "length": 4}},
        {"text": {"tokens": [token(0)], "words": [word("a", [0]), word("a", [0])], "length": 4}},
        {"text": {"tokens": [token(0, "odd")], "words": [], "length": 4}},
        {"steps": [step(1).model_dump(), step(0).model_dump()]},
        {"steps": [step(1).model_dump(), step(1).model_dump()]},
        {"steps": [step(0, calls=2).model_dump(), step(1).model_dump()]},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(changes):
    with pytest.raises(ValidationError):
        manifest(**changes)


@pytest.mark.parametrize(
    ("rows", "row"), [(["uncond", "cond"], 0), (["uncond", "cond"], 2), ([], 0), (["cond"], -2)]
)
def test_the_kept_row_of_a_call_is_a_conditional_one(rows, row):
    with pytest.raises(ValidationError):
        manifest(
            steps=[
                {
                    "index": 0,
                    "timestep": 1.0,
                    "calls": [{"index": 0, "timestep": 1.0, "rows": rows, "row": row}],
                }
            ]
        )


def test_a_call_without_a_conditional_row_is_taken():
    call = {"index": 0, "timestep": 1.0, "rows": ["uncond"], "row": -1}
    assert manifest(steps=[{"index": 0, "timestep": 1.0, "calls": [call]}]).steps[0].calls[0].row == -1


def test_a_missing_manifest_is_a_run_that_is_not_there(tmp_path):
    with pytest.raises(RunNotFoundError):
        read_manifest(tmp_path / "m")


def test_a_later_version_says_so_before_anything_else(tmp_path):
    (tmp_path / "m").write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1, "all": "different"}))
    with pytest.raises(SchemaVersionError, match="upgrade"):
        read_manifest(tmp_path / "m")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"3",
        b"null",
        b"{}",
        b'{"schema_version": "1"}',
        b'{"schema_version": true}',
        b'{"schema_version": 0}',
        b"[" * 100_000,
        b'{"schema_version": 1}',
        b'{"schema_version": 1e400}',
    ],
)
def test_what_is_no_manifest_is_corrupt(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(CorruptRecordingError):
        read_manifest(tmp_path / "m")


@pytest.mark.parametrize(
    "changes",
    [
        {"complete": "true"},
        {"stopped": 3},
        {"files": [{"path": "../x", "sha256": SHA, "bytes": 1}]},
        {"files": [{"path": "x", "sha256": SHA, "bytes": "1"}]},
        {"files": [{"path": "x", "sha256": "abc", "bytes": 1}]},
        {"extra": 1},
    ],
)
def test_a_sealed_manifest_of_wrong_content_is_corrupt_too(tmp_path, changes):
    written(tmp_path / "m")
    plain = json.loads((tmp_path / "m").read_text(encoding="utf-8"))
    (tmp_path / "m").write_bytes(resealed(plain))
    assert read_manifest(tmp_path / "m").id == "tiny"
    (tmp_path / "m").write_bytes(resealed(plain | changes))
    with pytest.raises(CorruptRecordingError, match=next(iter(changes))):
        read_manifest(tmp_path / "m")


def test_a_flipped_digit_is_found_though_it_is_valid(tmp_path):
    written(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    assert content.count(b'"tokens": [1]') == 1
    changed = content.replace(b'"tokens": [1]', b'"tokens": [2]')
    assert Manifest.model_validate({k: v for k, v in json.loads(changed).items() if k != "sha256"})
    (tmp_path / "m").write_bytes(changed)
    with pytest.raises(CorruptRecordingError, match="checksum"):
        read_manifest(tmp_path / "m")


def test_a_thousand_mutations_are_errors(tmp_path):
    rng = random.Random(11)
    expected = written(tmp_path / "m", steps=1)
    content = (tmp_path / "m").read_bytes()
    for _ in range(1000):
        change = mutated(content, rng)
        (tmp_path / "m").write_bytes(change)
        try:
            assert read_manifest(tmp_path / "m") == expected
            assert change.strip() == content.strip()
        except DiffuscopeError as error:
            assert "\n" not in str(error)


def test_rewriting_costs_the_same_whatever_was_written_before(tmp_path):
    file = ManifestFile(tmp_path / "m", manifest())
    for index in range(1000):
        file.add_step(step(index))
    one = file.text()
    assert file.text() == one
    assert len(one) < 1000 * 300
    assert file.whole_steps == 0
    file.write()
    assert file.whole_steps == 1000


def test_a_file_named_again_replaces_what_was_said_of_it(tmp_path):
    file = ManifestFile(tmp_path / "m", manifest())
    file.add_file(FileHash(path="image.png", sha256=SHA, bytes=1))
    file.add_file(FileHash(path="image.png", sha256=SHA, bytes=2))
    assert [each.bytes for each in file.manifest.files] == [2]
