"""safetensors files: what is written is read to the bit, without a copy, and a damaged file is an error."""

import gc
import json
import random
import struct

import ml_dtypes
import numpy as np
import pytest
from damage import mutated
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from diffuscope.errors import CorruptRecordingError
from diffuscope.recording import TensorFile, write_safetensors
from diffuscope.recording.tensors import DTYPES, file_order, safetensors_parts

RNG = np.random.default_rng(0)
BITS = RNG.integers(0, 256, size=3 * 5 * 8, dtype=np.uint8)


def sample(name: str) -> np.ndarray:
    """Random bits of a type: NaNs, subnormals and infinities among them."""
    dtype = DTYPES[name]
    if name == "BOOL":
        return BITS[:15].reshape(3, 5) % 2 == 1
    return BITS[: 15 * dtype.itemsize].view(dtype).reshape(3, 5)


def tiny(path):
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(4, dtype=np.float16)}
    write_safetensors(path, tensors, {"run": "r"})
    return tensors


def raw(path, header, data=b"", length=None):
    """A file with any header at all."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


@pytest.mark.parametrize("name", DTYPES)
def test_every_type_comes_back_to_the_bit(tmp_path, name):
    array = sample(name)
    write_safetensors(tmp_path / "f", {"x": array})
    back = TensorFile(tmp_path / "f", sealed=True).read("x")
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.float32(3.5),
        np.zeros((0, 4), np.float32),
        np.zeros((2, 0), ml_dtypes.bfloat16),
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::2, ::-1],
        np.arange(5, dtype=">f4"),
        np.broadcast_to(np.float16(2), (3, 4)),
    ],
    ids=["scalar", "empty", "empty-bfloat16", "transposed", "strided", "big-endian", "broadcast"],
)
def test_any_layout_of_memory_is_stored_row_major_and_little_endian(tmp_path, array):
    write_safetensors(tmp_path / "f", {"x": array})
    back = TensorFile(tmp_path / "f").read("x")
    np.testing.assert_array_equal(back, array)
    assert back.dtype.byteorder != ">"


def test_the_formats_own_library_reads_what_is_written_here(tmp_path):
    tensors = {name: sample(name) for name in DTYPES if name != "BF16"} | {"q/cross:mid@3": sample("F32")}
    write_safetensors(tmp_path / "f", tensors, {"run": "é"})
    for name, array in load_file(tmp_path / "f").items():
        assert array.tobytes() == tensors[name].tobytes()


def test_files_of_the_formats_own_library_are_read_here(tmp_path):
    tensors = {"a": sample("F32"), "b": sample("I8"), "c": sample("F64")}
    save_file(tensors, tmp_path / "f", {"format": "np"})
    file = TensorFile(tmp_path / "f")
    assert file.metadata == {"format": "np"}
    assert {key: file.read(key).tobytes() for key in file.keys()} == {  # noqa: SIM118
        key: array.tobytes() for key, array in tensors.items()
    }
    with pytest.raises(CorruptRecordingError, match="checksums"):
        TensorFile(tmp_path / "f", sealed=True)


@pytest.mark.parametrize("name", ["F32", "BF16"])
def test_reading_copies_nothing(tmp_path, name):
    write_safetensors(tmp_path / "f", {"x": sample(name), "y": sample("I8")})
    file = TensorFile(tmp_path / "f")
    one, again = file.read("x"), file.read("x")
    assert np.shares_memory(one, again)
    assert not one.flags.owndata
    assert not one.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        one[0, 0] = 1


def test_tensors_of_mixed_sizes_stay_aligned_to_their_items(tmp_path):
    names = ["I8", "F64", "F16", "F32", "BF16", "BOOL"]
    write_safetensors(tmp_path / "f", {name: sample(name) for name in names})
    file = TensorFile(tmp_path / "f")
    assert all(file.read(name).flags.aligned for name in names)


def test_arrays_outlive_the_file_object_and_the_files_name(tmp_path):
    expected = tiny(tmp_path / "f")["a"]
    array = TensorFile(tmp_path / "f").read("a")
    gc.collect()
    tiny(tmp_path / "g").clear()
    (tmp_path / "g").replace(tmp_path / "f")
    np.testing.assert_array_equal(array, expected)


def test_shapes_and_types_are_known_without_reading(tmp_path):
    tiny(tmp_path / "f")
    file = TensorFile(tmp_path / "f")
    assert set(file.keys()) == {"a", "b"}
    assert (file.shape("a"), file.dtype("b")) == ((2, 3), np.float16)
    assert "a" in file and "c" not in file
    with pytest.raises(KeyError):
        file.read("c")


def test_the_same_tensors_make_the_same_file(tmp_path):
    one, other = {"a": sample("F32"), "b": sample("I8")}, {"b": sample("I8"), "a": sample("F32")}
    assert b"".join(safetensors_parts(one)) == b"".join(safetensors_parts(other))


def test_tensors_that_lie_in_one_piece_are_written_from_where_they_are():
    room = np.zeros(100, np.uint8)
    tensors = {
        name: room[begin:end].view(dtype)
        for name, begin, end, dtype in (("a", 0, 40, "<f4"), ("b", 40, 60, "<f4"), ("c", 60, 64, "<f2"))
    }
    tensors["b"][:] = 7
    assert file_order({name: array.itemsize for name, array in tensors.items()}) == ["a", "b", "c"]
    header, *pieces = safetensors_parts(tensors)
    (piece,) = pieces
    assert np.shares_memory(np.frombuffer(piece, np.uint8), room) and len(piece) == 64
    apart = {name: array.copy() for name, array in tensors.items()}
    assert b"".join(safetensors_parts(apart)) == header + piece


def test_pieces_in_another_order_than_the_files_are_put_in_order(tmp_path):
    room = np.arange(48, dtype=np.uint8)
    tensors = {
        "a": room[24:32].view("<f4"),
        "b": room[0:8].view("<f4"),
        "c": room[::2],
        "d": room[32:40].view("<f8"),
        "large": np.arange(2**18, dtype=np.uint8),
        "e": np.float32(1),
    }
    write_safetensors(tmp_path / "f", tensors)
    file = TensorFile(tmp_path / "f", sealed=True)
    for name, array in tensors.items():
        assert file.read(name).tobytes() == np.asarray(array).tobytes()


@pytest.mark.parametrize("array", [np.zeros(2, complex), np.array(["a"]), np.array([object()])])
def test_types_that_the_format_does_not_hold_are_refused(tmp_path, array):
    with pytest.raises(TypeError, match="safetensors does not hold"):
        write_safetensors(tmp_path / "f", {"x": array})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch):
    expected = tiny(tmp_path / "f")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_safetensors(tmp_path / "f", {"a": np.zeros(1000)})
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    np.testing.assert_array_equal(TensorFile(tmp_path / "f").read("a"), expected["a"])


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
BAD_HEADERS = {
    "no object": [],
    "no json": b"{",
    "no text": b"\xff\xfe",
    "deep": b"[" * 200_000,
    "long number": b'{"a":' + b"9" * 10_000 + b"}",
    "metadata no object": {"__metadata__": 3},
    "metadata no text": {"__metadata__": {"a": 3}},
    "entry no object": {"a": 3},
    "entry incomplete": {"a": {"dtype": "F32", "shape": [2]}},
    "entry with more": {"a": {**ENTRY, "more": 1}},
    "unknown type": {"a": {**ENTRY, "dtype": "F8_E4M3"}},
    "type no text": {"a": {**ENTRY, "dtype": ["F32"]}},
    "negative shape": {"a": {**ENTRY, "shape": [-2]}},
    "negative shapes": {"a": {**ENTRY, "shape": [-1, -2]}},
    "fraction": {"a": {**ENTRY, "shape": [2.0]}},
    "true": {"a": {**ENTRY, "shape": [True, 2]}},
    "shape no list": {"a": {**ENTRY, "shape": 2}},
    "huge shape": {"a": {**ENTRY, "shape": [2**62, 2**62]}},
    "shape of other size": {"a": {**ENTRY, "shape": [3]}},
    "many axes": {"a": {**ENTRY, "shape": [2] + [1] * 64}},
    "negative offset": {"a": {**ENTRY, "data_offsets": [-8, 0]}},
    "offsets reversed": {"a": {**ENTRY, "data_offsets": [8, 0]}},
    "offsets beyond": {"a": {**ENTRY, "data_offsets": [8, 16]}},
    "three offsets": {"a": {**ENTRY, "data_offsets": [0, 8, 8]}},
    "overlap": {"a": ENTRY, "b": ENTRY},
    "gap": {"a": {**ENTRY, "shape": [1], "data_offsets": [0, 4]}},
    "name twice": b'{"a":' + json.dumps(ENTRY).encode() + b',"a":' + json.dumps(ENTRY).encode() + b"}",
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_that_claims_what_cannot_be_is_an_error(tmp_path, header):
    with pytest.raises(CorruptRecordingError, match="bad"):
        TensorFile(raw(tmp_path / "bad", header, bytes(8)))


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_length_that_cannot_be_is_an_error(tmp_path, length):
    with pytest.raises(CorruptRecordingError):
        TensorFile(raw(tmp_path / "bad", {"a": ENTRY}, bytes(8), length))


@pytest.mark.parametrize("content", [b"", b"1234567", bytes(8)])
def test_a_file_too_short_is_an_error(tmp_path, content):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(CorruptRecordingError):
        TensorFile(tmp_path / "bad")


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(CorruptRecordingError, match="missing"):
        TensorFile(tmp_path / "nothing")
    with pytest.raises(CorruptRecordingError):
        TensorFile(tmp_path)


def test_bytes_that_are_no_booleans_are_an_error(tmp_path):
    header = {"a": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}
    with pytest.raises(CorruptRecordingError, match="booleans"):
        TensorFile(raw(tmp_path / "bad", header, b"\x01\x07")).read("a")


def test_a_changed_byte_of_a_tensor_is_an_error_for_that_tensor_alone(tmp_path):
    expected = tiny(tmp_path / "f")
    content = bytearray((tmp_path / "f").read_bytes())
    content[-1] ^= 1  # The last byte is of "b", the smaller items.
    (tmp_path / "f").write_bytes(content)
    file = TensorFile(tmp_path / "f", sealed=True)
    np.testing.assert_array_equal(file.read("a"), expected["a"])
    with pytest.raises(CorruptRecordingError, match="'b' is damaged"):
        file.read("b")


def test_the_same_bytes_under_another_shape_are_an_error(tmp_path):
    tiny(tmp_path / "f")
    content = (tmp_path / "f").read_bytes()
    assert content.count(b'"shape":[2,3]') == 1
    (tmp_path / "f").write_bytes(content.replace(b'"shape":[2,3]', b'"shape":[3,2]'))
    with pytest.raises(CorruptRecordingError, match="'a' is damaged"):
        TensorFile(tmp_path / "f", sealed=True).read("a")


def test_a_thousand_mutations_give_the_right_values_or_an_error(tmp_path):
    rng = random.Random(7)
    expected = tiny(tmp_path / "f")
    content = (tmp_path / "f").read_bytes()
    refused = 0
    for _ in range(1000):
        (tmp_path / "m").write_bytes(mutated(content, rng))
        try:
            file = TensorFile(tmp_path / "m", sealed=True)
            for key in file.keys():  # noqa: SIM118 - a file, not a mapping
                assert file.read(key).tobytes() == expected[key].tobytes()
        except CorruptRecordingError as error:
            assert "\n" not in str(error)
            refused += 1
    # Most hit what matters; what passes hit padding of the header, or nothing (a byte changed into itself).
    assert refused > 900


@given(st.binary(max_size=300))
def test_any_bytes_are_a_file_or_an_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "f"
    path.write_bytes(content)
    try:
        file = TensorFile(path)
        for key in file.keys():  # noqa: SIM118 - a file, not a mapping
            file.read(key)
    except CorruptRecordingError:
        pass
