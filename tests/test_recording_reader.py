"""Opening a run folder: every tensor where it belongs, and every kind of damage said aloud."""

import contextlib
import pickle
import shutil
import sys

import ml_dtypes
import numpy as np
import pytest
import tiny_recording as tiny
from tiny_recording import CROSS, SELF, step, values, write_run

from diffuscope.errors import CorruptRecordingError, NotKeptError, RunNotFoundError, SelectionError
from diffuscope.recording import Recording, RunWriter
from diffuscope.recording.files import write_hashed
from diffuscope.recording.manifest_file import ManifestFile
from diffuscope.recording.tensors import safetensors_parts

HEADS, QUERIES, DIM, KEYS, TOKENS = tiny.HEADS, tiny.QUERIES, tiny.DIM, tiny.KEYS, tiny.TOKENS


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", calls=2)


def expect(array, what, call, *shape):
    np.testing.assert_array_equal(array, values(what, call, *shape))


def test_every_tensor_is_read_from_its_own_step_and_call(run):
    recording = Recording.open(run)
    for index in range(4):
        for call in (2 * index, 2 * index + 1):
            expect(recording.query(CROSS, index, call), f"q/{CROSS}", call, HEADS, QUERIES, DIM)
            expect(recording.query(SELF, index, call), f"q/{SELF}", call, HEADS, QUERIES, DIM)
            expect(recording.keys(SELF, index, call), f"k/{SELF}", call, HEADS, QUERIES, DIM)
            expect(recording.latent(index, call), "latent_in", call, 2, 4, 2, 3)
            expect(recording.output(index, call), "output", call, 2, 4, 2, 3)
            np.testing.assert_array_equal(
                recording.word_maps(CROSS, index, call), abs(values("map", call, TOKENS, QUERIES))
            )
        expect(recording.pred_x0(index), "pred_x0", index, 4, 2, 3)
        expect(recording.keys(CROSS, index), "k", 0, HEADS, KEYS, DIM)
        expect(recording.values(CROSS, index), "v", 0, HEADS, KEYS, DIM)


def test_without_a_call_the_steps_last_is_meant(run):
    recording = Recording.open(run)
    expect(recording.query(CROSS, 3), f"q/{CROSS}", 7, HEADS, QUERIES, DIM)
    expect(recording.latent(0), "latent_in", 1, 2, 4, 2, 3)
    assert recording.call(2).index == 5


def test_pictures_and_facts_are_read(run):
    recording = Recording.open(run)
    assert recording.complete
    assert recording.image().getpixel((0, 0)) == (200, 255, 40)
    assert recording.preview(2).getpixel((0, 0)) == (200, 2, 40)
    assert recording.manifest.id == "run"
    assert recording.path == run
    assert Recording.open(run / "manifest.json").path == run
    assert repr(recording) == "<Recording run: 4 steps, keep='qk'>"


def test_bfloat16_is_read_to_the_bit_and_mapped(tmp_path):
    recording = Recording.open(write_run(tmp_path / "run", dtype=ml_dtypes.bfloat16))
    q = recording.query(CROSS, 1)
    expected = values(f"q/{CROSS}", 1, HEADS, QUERIES, DIM, dtype=ml_dtypes.bfloat16)
    assert q.dtype == ml_dtypes.bfloat16
    assert q.tobytes() == expected.tobytes()
    assert np.shares_memory(q, recording.query(CROSS, 1))
    assert not q.flags.writeable


def test_a_version_of_text_holds_from_its_call_until_the_next(tmp_path):
    folder = tmp_path / "run"
    with RunWriter(folder, tiny.manifest()) as writer:
        writer.write_text(tiny.text(0))
        for index in range(4):
            if index == 2:
                writer.write_text({f"k/{CROSS}@5": values("k", 5, HEADS, KEYS, DIM)})
            each = step(index, calls=2)
            writer.write_step(each, tiny.tensors(each), {})
        writer.finish(tiny.picture())
    recording = Recording.open(folder)
    for call, holds in ((0, 0), (3, 0), (4, 0), (5, 5), (7, 5)):
        expect(recording.keys(CROSS, call // 2, call), "k", holds, HEADS, KEYS, DIM)
        expect(recording.text(f"k/{CROSS}", call=call), "k", holds, HEADS, KEYS, DIM)
        expect(recording.values(CROSS, call // 2, call), "v", 0, HEADS, KEYS, DIM)
    expect(recording.text(f"k/{CROSS}"), "k", 0, HEADS, KEYS, DIM)
    expect(recording.text(f"k/{CROSS}", 3), "k", 5, HEADS, KEYS, DIM)
    expect(recording.text("embedding"), "embedding", 0, KEYS, 8)


def test_a_call_without_a_conditional_row_keeps_no_attention_but_its_latents(tmp_path):
    folder = tmp_path / "run"
    each = step(0, calls=2)
    bare = each.calls[1].model_copy(update={"rows": ["uncond"], "row": -1})
    each = each.model_copy(update={"calls": [each.calls[0], bare]})
    with RunWriter(folder, tiny.manifest()) as writer:
        writer.write_step(each, tiny.tensors(each), tiny.maps(each))
        writer.finish(tiny.picture())
    recording = Recording.open(folder)
    expect(recording.query(CROSS, 0), f"q/{CROSS}", 0, HEADS, QUERIES, DIM)
    expect(recording.latent(0, 1), "latent_in", 1, 2, 4, 2, 3)
    with pytest.raises(NotKeptError, match="call 1 of step 0 had no conditional row"):
        recording.query(CROSS, 0, 1)


@pytest.mark.parametrize(
    ("level", "ask", "needs"),
    [
        ("maps", lambda r: r.query(CROSS, 0), "cross"),
        ("maps", lambda r: r.keys(CROSS, 0), "cross"),
        ("maps", lambda r: r.values(CROSS, 0), "cross"),
        ("maps", lambda r: r.query(SELF, 0), "qk"),
        ("cross", lambda r: r.query(SELF, 0), "qk"),
        ("cross", lambda r: r.keys(SELF, 0), "qk"),
        ("cross", lambda r: r.lse(SELF, 0), "qk"),
    ],
)
def test_what_a_level_did_not_keep_names_the_level_that_does(tmp_path, level, ask, needs):
    recording = Recording.open(write_run(tmp_path / "run", level=level))
    with pytest.raises(NotKeptError, match=f"keep='{level}'; record again with keep='{needs}'"):
        ask(recording)


def test_every_level_keeps_maps_and_latents(tmp_path):
    recording = Recording.open(write_run(tmp_path / "run", level="maps"))
    assert recording.word_maps(CROSS, 0).shape == (TOKENS, QUERIES)
    assert recording.latent(0).shape == (2, 4, 2, 3)


def test_a_site_that_was_not_kept_says_which_were(tmp_path):
    folder = tmp_path / "run"
    keep = {"level": "qk", "dtype": "float32", "sites": [SELF]}
    with RunWriter(folder, tiny.manifest(keep=keep)) as writer:
        writer.write_step(step(0), {f"q/{SELF}@0": values("q", 0, HEADS, QUERIES, DIM)}, {})
        writer.finish(tiny.picture())
    with pytest.raises(NotKeptError, match="cross:mid was not kept in this run, which kept self:mid"):
        Recording.open(folder).query(CROSS, 0)


def test_what_is_not_there_says_what_is(run):
    recording = Recording.open(run)
    for ask, says in (
        (lambda: recording.query("cross:mdi", 0), "there are: cross:mid, self:mid"),
        (lambda: recording.query(CROSS, 4), "steps 0 to 3"),
        (lambda: recording.query(CROSS, -1), "steps 0 to 3"),
        (lambda: recording.query(CROSS, 1, 4), "its calls are: 2, 3"),
        (lambda: recording.preview(9), "steps 0 to 3"),
    ):
        with pytest.raises(SelectionError, match=says):
            ask()
    with pytest.raises(NotKeptError, match="does not hold text tensor 'pooled'"):
        recording.text("pooled")
    with pytest.raises(NotKeptError, match="lse"):
        recording.lse(CROSS, 0)


def test_no_run_says_what_is_near(tmp_path):
    write_run(tmp_path / "circle-7")
    with pytest.raises(RunNotFoundError, match="circle-7"):
        Recording.open(tmp_path / "circle-8")
    with pytest.raises(RunNotFoundError, match=r"has no manifest\.json"):
        Recording.open(tmp_path)
    with pytest.raises(RunNotFoundError):
        Recording.open(tmp_path / "no" / "where")
    for name in ("long" * 200, "null\0"):
        with pytest.raises(RunNotFoundError):
            Recording.open(tmp_path / name)


def test_previews_that_were_not_made_are_said_so(tmp_path):
    recording = Recording.open(write_run(tmp_path / "run", previews=False))
    with pytest.raises(NotKeptError, match="previews=True"):
        recording.preview(0)


def test_a_stopped_run_opens_with_its_steps_and_without_a_picture(tmp_path):
    recording = Recording.open(write_run(tmp_path / "run", stop="KeyboardInterrupt"))
    assert not recording.complete
    assert recording.manifest.stopped == "KeyboardInterrupt"
    expect(recording.query(CROSS, 3), f"q/{CROSS}", 3, HEADS, QUERIES, DIM)
    with pytest.raises(NotKeptError, match="stopped before its picture"):
        recording.image()


def test_a_stopped_run_opens_up_to_the_last_step_that_a_power_failure_left(tmp_path):
    folder = write_run(tmp_path / "run", stop="killed")
    (folder / "steps/0003.safetensors").unlink()
    (folder / "maps/0002.safetensors").write_bytes(b"")
    assert [each.index for each in Recording.open(folder).manifest.steps] == [0, 1]


def test_a_hole_in_a_stopped_run_is_damage_and_not_its_end(tmp_path):
    folder = write_run(tmp_path / "run", stop="killed")
    (folder / "steps/0001.safetensors").unlink()
    recording = Recording.open(folder)
    assert len(recording.manifest.steps) == 4
    with pytest.raises(CorruptRecordingError, match=r"0001\.safetensors"):
        recording.query(CROSS, 1)


READS = {
    "steps/0001.safetensors": lambda r: r.query(CROSS, 1),
    "maps/0001.safetensors": lambda r: r.word_maps(CROSS, 1),
    "text.safetensors": lambda r: r.keys(CROSS, 1),
    "previews/0001.png": lambda r: r.preview(1),
    "image.png": lambda r: r.image(),
}
DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "noise": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", READS)
def test_a_damaged_file_is_an_error_where_it_is_read_and_not_before(run, name, damage):
    damage(run / name)
    recording = Recording.open(run)
    with pytest.raises(CorruptRecordingError, match=name.split("/")[-1].replace(".", r"\.")):
        READS[name](recording)
    for other, read in READS.items():
        if other != name:
            read(recording)


def test_no_flipped_bit_of_a_tensor_or_picture_passes(run):
    """Every seventh byte of each file, one at a time: the same values or an error."""
    for name, read in READS.items():
        content = (run / name).read_bytes()
        expected = np.asarray(read(Recording.open(run))).tobytes()
        for at in range(0, len(content), 7):
            (run / name).write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
            with contextlib.suppress(CorruptRecordingError):
                assert np.asarray(read(Recording.open(run))).tobytes() == expected
        (run / name).write_bytes(content)


def test_a_file_from_another_step_or_run_is_an_error(run, tmp_path):
    other = write_run(tmp_path / "ruN", calls=2)
    for source in (run / "steps/0002.safetensors", other / "steps/0001.safetensors"):
        copy = write_run(tmp_path / f"copy-{source.parent.parent.name}-{source.stem}", calls=2)
        manifest = Recording.open(run).manifest
        shutil.copytree(run, copy, dirs_exist_ok=True)
        assert source.stat().st_size == manifest.steps[1].files[0].bytes, "else its size gives it away"
        shutil.copy(source, copy / "steps/0001.safetensors")
        with pytest.raises(CorruptRecordingError, match="strayed"):
            Recording.open(copy).query(CROSS, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_that_leads_out_of_the_folder_is_an_error(run, tmp_path):
    for name, read in READS.items():
        outside = tmp_path / "outside"
        shutil.copy(run / name, outside)
        (run / name).unlink()
        (run / name).symlink_to(outside)
        with pytest.raises(CorruptRecordingError, match="leads out"):
            read(Recording.open(run))


def test_a_tensor_of_another_shape_than_its_site_is_an_error(tmp_path):
    """What no writer of ours makes: a whole, sealed file whose tensor does not fit the manifest."""
    folder = write_run(tmp_path / "run", steps=1)
    name = "steps/0000.safetensors"
    wrong = {f"q/{CROSS}@0": np.zeros((HEADS, DIM, QUERIES), np.float32), "pred_x0": np.zeros(3, np.float32)}
    written = write_hashed(folder, name, safetensors_parts(wrong, {"run": "run", "file": name}))
    file = ManifestFile(folder / "manifest.json", tiny.manifest("run"))
    file.add_step(step(0).model_copy(update={"files": [written]}))
    file.write()
    recording = Recording.open(folder)
    with pytest.raises(CorruptRecordingError, match=r"shape \[2, 3, 6\] where \[2, 6, 3\] is due"):
        recording.query(CROSS, 0)
    with pytest.raises(CorruptRecordingError, match="shape"):
        recording.pred_x0(0)


def test_a_recording_travels_between_processes(run):
    copy = pickle.loads(pickle.dumps(Recording.open(run)))
    expect(copy.query(CROSS, 1), f"q/{CROSS}", 3, HEADS, QUERIES, DIM)


def test_arrays_outlive_the_recording(run):
    array = Recording.open(run).query(CROSS, 0)
    shutil.rmtree(run)
    expect(array, f"q/{CROSS}", 1, HEADS, QUERIES, DIM)
