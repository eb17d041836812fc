"""One file to share a run: bit for bit the same on the other side, and nothing else ever gets there."""

from __future__ import annotations

import os
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_recording as tiny
from damage import mutated
from test_runs_list import reseal
from tiny_recording import write_run

from diffuscope.errors import (
    CorruptRecordingError,
    DiffuscopeError,
    InputError,
    RunFolderError,
    RunNotFoundError,
    SchemaVersionError,
)
from diffuscope.recording import RunWriter, pack_run, unpack_run
from diffuscope.recording.archive import safe_name
from diffuscope.recording.shelf import file_sizes, look
from diffuscope.recording.verify import verify

Entries = list[tuple[zipfile.ZipInfo, bytes]]
MUTATIONS = 150


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the device is against power failures alone, and takes longer than all the rest."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "run", steps=2)


@pytest.fixture
def archive(run: Path, tmp_path: Path) -> Path:
    return pack_run(run, tmp_path / "shared.zip").file


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in file_sizes(folder)}


def entries(archive: Path) -> Entries:
    with zipfile.ZipFile(archive) as opened:
        return [(info, opened.read(info)) for info in opened.infolist()]


def written(path: Path, parts: Entries) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for info, content in parts:
            made.writestr(info, content)
    return path


def new(name: str, content: bytes = b"x", mode: int = stat.S_IFREG | 0o644) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info, content


def refuses(
    archive: Path, tmp_path: Path, kind: type[DiffuscopeError], said: str = "damaged|unpacked"
) -> None:
    """It is not unpacked, and nothing at all is left where it would have gone."""
    below = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=said) as raised:
        unpack_run(archive, tmp_path / "new" / "there")
    assert (
        str(archive) in str(raised.value)
        and "\n" not in str(raised.value)
        and ".trash" not in str(raised.value)
    )
    assert sorted(tmp_path.rglob("*")) == below


@pytest.mark.parametrize("stop", [None, "Ctrl-C"])
@pytest.mark.parametrize("level", ["maps", "qk"])
def test_what_was_packed_comes_out_bit_for_bit(tmp_path: Path, level: str, stop: str | None) -> None:
    run = write_run(tmp_path / "run", level=level, stop=stop, calls=2)
    packed = pack_run(run, tmp_path / "a.zip")
    assert (packed.id, packed.left_out) == ("run", ()) and packed.bytes == packed.file.stat().st_size
    unpacked = unpack_run(packed.file, tmp_path / "there")
    assert (unpacked.id, unpacked.path) == ("run", tmp_path / "there" / "run")
    assert contents(unpacked.path) == contents(run) and verify(unpacked.path).whole
    assert unpacked.files == packed.files == len(contents(run))
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["run"]


def test_an_archive_is_an_ordinary_zip_file_and_always_the_same(run: Path, tmp_path: Path) -> None:
    one = pack_run(run, tmp_path / "one.zip").file
    os.utime(run / "image.png", (0, 0))
    assert one.read_bytes() == pack_run(run, tmp_path / "two.zip").file.read_bytes()
    with zipfile.ZipFile(one) as opened:
        assert opened.testzip() is None
        assert {info.compress_type for info in opened.infolist()} == {zipfile.ZIP_STORED}
        opened.extractall(tmp_path / "by hand")
    assert contents(tmp_path / "by hand" / "run") == contents(run)


def test_where_an_archive_goes(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pack_run(run).file == Path("run.diffuscope.zip")
    (tmp_path / "shared").mkdir()
    assert pack_run(run, "shared").file == Path("shared/run.diffuscope.zip")
    assert pack_run(run, "deep/name").file == Path("deep/name.diffuscope.zip")
    assert pack_run(run, "name.zip").file == Path("name.zip")
    before = Path("name.zip").read_bytes()
    with pytest.raises(RunFolderError, match="exists already"):
        pack_run(run, "name.zip")
    assert Path("name.zip").read_bytes() == before
    with pytest.raises(RunFolderError, match="cannot write"):
        pack_run(run, "name.zip/below.zip")


def test_what_is_no_part_of_the_recording_stays_at_home(run: Path, tmp_path: Path) -> None:
    (run / "report.html").write_text("mine")
    packed = pack_run(run, tmp_path / "a.zip")
    assert packed.left_out == ("report.html",)
    assert not (unpack_run(packed.file, tmp_path / "there").path / "report.html").exists()


def test_a_run_that_lost_its_last_steps_is_packed_up_to_the_last_whole_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", stop="power")
    (run / "steps" / "0003.safetensors").unlink()
    unpacked = unpack_run(pack_run(run, tmp_path / "a.zip").file, tmp_path / "there")
    state = look(unpacked.path)
    assert state.state == "stopped" and state.manifest is not None and len(state.manifest.steps) == 3


def test_a_killed_run_does_not_look_as_if_it_ran_when_it_is_unpacked(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", stop="soon")
    reseal(run, stopped=None)
    for name in ("manifest.json", "events.jsonl"):
        os.utime(run / name, (0, 0))
    assert look(unpack_run(pack_run(run, tmp_path / "a.zip").file, tmp_path / "there").path).state == "killed"


def test_a_run_that_is_being_written_is_not_packed(tmp_path: Path) -> None:
    with (
        RunWriter(tmp_path / "run", tiny.manifest("run")),
        pytest.raises(RunFolderError, match="being recorded"),
    ):
        pack_run(tmp_path / "run", tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["image.png", "steps/0001.safetensors", "text.safetensors", "manifest.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "lose", "link"])
def test_a_damaged_run_is_not_packed(run: Path, tmp_path: Path, name: str, how: str) -> None:
    path, content = run / name, (run / name).read_bytes()
    path.unlink()
    if how == "flip":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif how == "cut":
        path.write_bytes(content[:-5])
    elif how == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises((CorruptRecordingError, RunNotFoundError)):
        pack_run(run, tmp_path / "packed" / "a.zip")
    assert not list(tmp_path.rglob("*.zip")) and not list(tmp_path.rglob("*.part"))


def test_two_of_one_id(archive: Path, run: Path, tmp_path: Path) -> None:
    before = contents(run)
    with pytest.raises(RunFolderError, match="exists already"):
        unpack_run(archive, run.parent)
    assert contents(run) == before and [path.name for path in run.parent.iterdir()] == ["run"]


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a zip file")
    refuses(tmp_path / "text", tmp_path, InputError, "no archive")
    refuses(written(tmp_path / "other.zip", [new("notes.txt")]), tmp_path, InputError, "0 manifests")
    refuses(tmp_path / "nothing.zip", tmp_path, RunNotFoundError, "not there")
    refuses(tmp_path, tmp_path, RunNotFoundError, "folder")


HOSTILE = [
    "../evil",
    "run/../../evil",
    "run/steps/../../../evil",
    "/tmp/evil",
    "//host/share/evil",
    "C:/evil",
    "C:evil",
    "run\\..\\..\\evil",
    "run/./evil",
    "run//evil",
    "run/a:stream",
    "run/evil\x1b[2J",
    "",
]
ODD = [
    "run/steps/con",
    "run/NUL.safetensors",
    "run/com1/x",
    "run/ends.",
    "run/ends /x",
    "evil",
    "other/evil",
    "run/evil",
]


@pytest.mark.parametrize("name", HOSTILE + ODD)
def test_no_name_leads_anywhere_else(archive: Path, tmp_path: Path, name: str) -> None:
    hostile = written(tmp_path / "hostile.zip", [*entries(archive), new(name)])
    refuses(hostile, tmp_path, InputError, "not unpacked")


@pytest.mark.parametrize("name", HOSTILE)
def test_not_even_if_a_sealed_manifest_names_it(run: Path, tmp_path: Path, name: str) -> None:
    sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    parts = entries(pack_run(run, tmp_path / "a.zip").file)
    reseal(run, files=[{"path": name.removeprefix("run/"), "sha256": sha256, "bytes": 1}])
    parts[0] = (parts[0][0], (run / "manifest.json").read_bytes())
    hostile = written(tmp_path / "hostile.zip", [*parts, new(name)])
    refuses(hostile, tmp_path, InputError, "not unpacked")


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFDIR | 0o755])
def test_links_and_other_things_that_are_no_files(archive: Path, tmp_path: Path, mode: int) -> None:
    parts = [
        new(info.filename, content, mode) if "image" in info.filename else (info, content)
        for info, content in entries(archive)
    ]
    refuses(written(tmp_path / "hostile.zip", parts), tmp_path, InputError, "a link")
    to = tmp_path / "link.zip"
    refuses(
        written(to, [*entries(archive), new("run/steps/link", b"/etc/passwd", mode)]), tmp_path, InputError
    )


def test_two_files_of_one_name(archive: Path, tmp_path: Path) -> None:
    for name in ("run/image.png", "run/IMAGE.PNG"):
        with pytest.warns(UserWarning) if name == "run/image.png" else pytest.MonkeyPatch.context():
            hostile = written(tmp_path / "hostile.zip", [*entries(archive), new(name)])
        refuses(hostile, tmp_path, InputError, "two files")


def test_bombs(archive: Path, tmp_path: Path) -> None:
    parts = entries(archive)
    for info, _ in parts:
        info.compress_type = zipfile.ZIP_DEFLATED
    refuses(written(tmp_path / "deflated.zip", parts), tmp_path, InputError, "compressed")

    def claiming(size: bytes, fields: tuple[int, ...]) -> Path:
        """The archive, where the directory says another size of the picture."""
        data = bytearray(archive.read_bytes())
        at = data.rindex(b"run/image.png") - 46
        assert data[at : at + 4] == b"PK\x01\x02"
        for field in fields:
            data[at + field : at + field + 4] = size
        path = tmp_path / "claims.zip"
        path.write_bytes(data)
        return path

    huge = (2**32 - 2).to_bytes(4, "little")
    refuses(claiming(huge, (24,)), tmp_path, InputError, "claims to have 4294967294 bytes")
    refuses(claiming(huge, (20, 24)), tmp_path, InputError, "larger than the archive")
    refuses(
        claiming((5).to_bytes(4, "little"), (20, 24)),
        tmp_path,
        CorruptRecordingError,
        "image.png has 5 bytes",
    )


def test_overlapping_files_do_not_multiply(archive: Path, tmp_path: Path) -> None:
    """Many entries of the directory that share one file's bytes, as the worst zip bombs do."""
    data = archive.read_bytes()
    begin, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    first = data[begin : data.index(b"PK\x01\x02", begin + 4)]
    directory = data[begin:end] + first * 300
    count = (directory.count(b"PK\x01\x02")).to_bytes(2, "little")
    tail = bytearray(data[end:])
    tail[8:12] = count + count
    tail[12:16] = len(directory).to_bytes(4, "little")
    (tmp_path / "overlapping.zip").write_bytes(data[:begin] + directory + tail)
    refuses(tmp_path / "overlapping.zip", tmp_path, InputError, "larger than the archive")


def test_a_manifest_that_claims_more_than_there_is(run: Path, tmp_path: Path) -> None:
    parts = entries(pack_run(run, tmp_path / "a.zip").file)
    reseal(run, files=[{"path": "image.png", "sha256": "0" * 64, "bytes": 2**50}])
    parts[0] = (parts[0][0], (run / "manifest.json").read_bytes())
    named = [part for part in parts if "previews" not in part[0].filename and "text" not in part[0].filename]
    refuses(written(tmp_path / "b.zip", named), tmp_path, CorruptRecordingError, "1125899906842624")


def test_what_is_damaged_inside(run: Path, tmp_path: Path) -> None:
    parts = entries(pack_run(run, tmp_path / "a.zip").file)
    for at, (info, content) in enumerate(parts):
        if info.filename.endswith("events.jsonl"):
            continue
        flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        changed = written(tmp_path / "b.zip", [*parts[:at], (info, flipped), *parts[at + 1 :]])
        refuses(changed, tmp_path, CorruptRecordingError)
        lacking = written(tmp_path / "b.zip", [*parts[:at], *parts[at + 1 :]])
        kind = InputError if at == 0 else CorruptRecordingError
        refuses(lacking, tmp_path, kind, "manifests" if at == 0 else f"lacks {info.filename[4:]}")
    reseal(run, schema_version=99)
    parts[0] = (parts[0][0], (run / "manifest.json").read_bytes())
    refuses(written(tmp_path / "b.zip", parts), tmp_path, SchemaVersionError, "99")


def test_random_damage_never_gives_another_run(archive: Path, run: Path, tmp_path: Path) -> None:
    content, expected = archive.read_bytes(), contents(run)
    rng = random.Random(7)
    changed = tmp_path / "changed.zip"
    refused = 0
    for number in range(MUTATIONS):
        changed.write_bytes(mutated(content, rng))
        there = tmp_path / f"there {number}"
        try:
            unpacked = unpack_run(changed, there)
        except DiffuscopeError as error:
            refused += 1
            assert str(changed) in str(error) and "\n" not in str(error), number
            assert not there.exists(), number
        else:  # It hit something that says nothing: a date, say.
            assert contents(unpacked.path) == expected, number
            assert sorted(path.name for path in there.iterdir()) == ["run"], number
    assert refused > MUTATIONS / 2


def test_every_single_byte_of_the_directory_counts_or_says_nothing(
    archive: Path, run: Path, tmp_path: Path
) -> None:
    content, expected = archive.read_bytes(), contents(run)
    begin, rng = content.index(b"PK\x01\x02"), random.Random(3)
    changed = tmp_path / "changed.zip"
    for at in rng.sample(range(begin, len(content)), 150):
        data = bytearray(content)
        data[at] ^= 1 << rng.randrange(8)
        changed.write_bytes(data)
        there = tmp_path / f"there {at}"
        try:
            unpacked = unpack_run(changed, there)
        except DiffuscopeError:
            assert not there.exists(), at
        else:
            assert contents(unpacked.path) == expected, at


@pytest.mark.parametrize(
    ("id_", "name"),
    [
        ("20260101-a-red-circle-7-3f2a", "20260101-a-red-circle-7-3f2a"),
        ("../../etc/passwd", "etc-passwd"),
        ("/", "run"),
        ("..", "run"),
        (".trash", "trash"),
        ("C:\\evil", "C-evil"),
        ("con", "run-con"),
        ("NUL.txt", "run-NUL.txt"),
        ("ends. ", "ends"),
        ("a\x00b\nc\x1b[2J", "a-b-c-[2J"),
        ("Krähe 鳥", "Krähe-鳥"),
        ("x" * 500, "x" * 120),
        ("\u202egpj", "gpj"),
    ],
)
def test_a_folder_is_named_after_the_id_as_every_system_can(tmp_path: Path, id_: str, name: str) -> None:
    assert safe_name(id_) == name == safe_name(name)
    run = write_run(tmp_path / "run", steps=1)
    reseal(run, id=id_)
    unpacked = unpack_run(pack_run(run, tmp_path / "a.zip").file, tmp_path / "there")
    assert unpacked.path == tmp_path / "there" / name and unpacked.id == id_
    assert [path.name for path in (tmp_path / "there").iterdir()] == [name]


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(RunFolderError, match="MB left"):
        unpack_run(archive, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("act", [lambda run, to: pack_run(run, to / "a.zip"), None])
def test_a_full_disk_leaves_nothing(
    archive: Path,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Path, Path], object] | None,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFolderError, match="No space left"):
        act(run, tmp_path / "there") if act else unpack_run(archive, tmp_path / "there")
    assert not list(tmp_path.rglob("*.part")) and not list((tmp_path / "there").glob("*"))
