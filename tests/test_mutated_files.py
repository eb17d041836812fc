"""Nothing that happens to the files of a run gives a wrong array, a wrong map, or an error of another tree.

`test_recording_manifest` and `test_recording_tensors` mutate one file and read that file. Here a whole run is read,
through the faces that people use, after one of its files was damaged, exchanged, edited, or forged: what is read is
what was written, or a `DiffuscopeError` of the class that says so.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import mutated
from tiny_recording import CROSS, SELF, write_run

from diffuscope.errors import (
    CorruptRecordingError,
    DiffuscopeError,
    NotKeptError,
    RunNotFoundError,
    SchemaVersionError,
    SelectionError,
)
from diffuscope.recording import TensorFile
from diffuscope.recording.files import write_hashed
from diffuscope.recording.tensors import DTYPES, safetensors_parts
from diffuscope.recording.verify import verify
from diffuscope.run import Run

STEPS, CALLS = 2, 2
Read = Callable[[Run], Any]


def reads() -> dict[str, Read]:
    """Every question that a run of `tiny_recording` answers with an array, by name."""
    asked: dict[str, Read] = {
        "image": lambda run: np.asarray(run.recording.image()),
        "embedding": lambda run: run.recording.text("embedding"),
        "word": lambda run: run.word("red").map().array,
        "word of one head": lambda run: run.word("red").map(heads=1).array,
        "padding": lambda run: run.word("<padding>").map(size="image").array,
        "masses": lambda run: np.array(list(run.masses().values())),
    }
    for step in range(STEPS):
        asked |= of_step(step)
        for call in range(step * CALLS, (step + 1) * CALLS):
            asked |= of_call(step, call)
            for site in (CROSS, SELF):
                asked |= of_site(site, step, call)
    return asked


def of_step(step: int) -> dict[str, Read]:
    return {
        f"preview {step}": lambda run: np.asarray(run.preview(step)),
        f"pred_x0 {step}": lambda run: run.recording.pred_x0(step),
        f"step {step}": lambda run: np.array([run.recording.step(step).log_snr]),
        f"word at {step}": lambda run: run.word("red").map(steps=step).array,
    }


def of_call(step: int, call: int) -> dict[str, Read]:
    return {
        f"latent {call}": lambda run: run.recording.latent(step, call),
        f"output {call}": lambda run: run.recording.output(step, call),
        f"maps {call}": lambda run: run.recording.word_maps(CROSS, step, call),
        f"value {call}": lambda run: run.recording.values(CROSS, step, call),
    }


def of_site(site: str, step: int, call: int) -> dict[str, Read]:
    return {
        f"query {site} {call}": lambda run: run.recording.query(site, step, call),
        f"key {site} {call}": lambda run: run.recording.keys(site, step, call),
    }


READS = reads()
Answers = dict[str, bytes]


def content(array: np.ndarray) -> bytes:
    """All that an array says."""
    return f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes()


def answers(run: Run) -> Answers:
    return {name: content(read(run)) for name, read in READS.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run", steps=STEPS, calls=CALLS)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose last steps may be gone, as after a power failure."""
    return write_run(tmp_path_factory.mktemp("runs") / "run", steps=STEPS, calls=CALLS, stop="killed")


@contextmanager
def restored(folder: Path) -> Iterator[None]:
    """Whatever is done to the files of `folder` is undone."""
    before = {path: path.read_bytes() for path in files(folder)}
    try:
        yield
    finally:
        for path in [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]:
            if path not in before or path.is_symlink():
                path.unlink()
        for path, data in before.items():
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)


def files(folder: Path) -> list[Path]:
    """The files that count, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "events.jsonl")


def right_or_refused(folder: Path, expected: Answers, refusals: tuple[type[DiffuscopeError], ...]) -> int:
    """Number of questions that were refused. Fails on a wrong answer, and on any error that is no such refusal."""
    try:
        run = Run.open(folder)
    except (CorruptRecordingError, SchemaVersionError, RunNotFoundError) as error:
        assert "\n" not in str(error)
        return len(READS)
    refused = 0
    for name, read in READS.items():
        if name not in expected:
            continue
        try:
            assert content(read(run)) == expected[name], name
        except refusals as error:
            assert "\n" not in str(error)
            refused += 1
    try:
        verify(folder)
    except (CorruptRecordingError, SchemaVersionError) as error:
        assert "\n" not in str(error)
    return refused


def test_every_file_of_the_run_is_read_by_some_question(whole: Path) -> None:
    """Else damage to it could not show."""
    expected = answers(Run.open(whole))
    for path in files(whole):
        with restored(whole):
            path.unlink()
            assert right_or_refused(whole, expected, (CorruptRecordingError,)) > 0, path


# Damage: bytes changed, cut, put in, swapped within a file.


def test_damaged_files_give_what_was_written_or_an_error(whole: Path) -> None:
    rng, expected = random.Random(3), answers(Run.open(whole))
    refused = 0
    for number in range(500):
        path = files(whole)[number % len(files(whole))]
        data = path.read_bytes()
        path.write_bytes(mutated(data, rng))
        refused += right_or_refused(whole, expected, (CorruptRecordingError,)) > 0
        path.write_bytes(data)
    assert refused > 450, "hardly a mutation hit anything"


def test_damage_to_a_stopped_run_costs_its_last_steps_or_is_an_error(stopped: Path) -> None:
    rng = random.Random(4)
    # Maps over all steps are those of the steps that are left, so they are no fixed answers here.
    over_all = ("image", "word", "word of one head", "padding", "masses")
    expected = {
        name: content(read(Run.open(stopped))) for name, read in READS.items() if name not in over_all
    }
    for number in range(200):
        path = files(stopped)[number % len(files(stopped))]
        data = path.read_bytes()
        path.write_bytes(mutated(data, rng))
        right_or_refused(stopped, expected, (CorruptRecordingError, SelectionError))
        path.write_bytes(data)


# Exchange: whole files in other files' places.


def test_swapped_files_are_known_to_have_strayed(whole: Path, tmp_path: Path) -> None:
    rng, expected = random.Random(5), answers(Run.open(whole))
    other = write_run(tmp_path / "ruN", steps=STEPS, calls=CALLS)
    for _ in range(100):
        with restored(whole):
            one, two = rng.sample(files(whole), 2)
            kind = rng.randrange(4)
            if kind == 0:
                first, second = one.read_bytes(), two.read_bytes()
                one.write_bytes(second), two.write_bytes(first)
            elif kind == 1:
                shutil.copy(two, one)
            elif kind == 2:
                shutil.copy(other / one.relative_to(whole), one)
            else:
                # Of the right size by accident, so that the size alone does not give it away.
                size = one.stat().st_size
                one.write_bytes(two.read_bytes()[:size].ljust(size, b"\0"))
            # A picture of the other run is the same to the bit, and the other run's manifest names its own files.
            refused = right_or_refused(whole, expected, (CorruptRecordingError,))
            assert refused > 0 or kind == 2


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_out_of_the_folder_are_not_followed(whole: Path, tmp_path: Path) -> None:
    expected = answers(Run.open(whole))
    for path in files(whole):
        if path.name == "manifest.json":
            continue
        with restored(whole):
            shutil.copy(path, tmp_path / "outside")
            path.unlink()
            path.symlink_to(tmp_path / "outside")
            assert right_or_refused(whole, expected, (CorruptRecordingError,)) > 0, path


# Edits: a manifest that was changed by hand.


def edits(plain: Any, rng: random.Random) -> Any:
    """The manifest with one value replaced, removed or added, anywhere in it: still JSON, no longer sealed."""
    copy = json.loads(json.dumps(plain))
    places = list(_places(copy))
    owner, key = rng.choice(places)
    odd: list[Any] = [
        None, True, -1, 0, 1, 2, 3, 7, 1.5, -0.0, 1e308, 2**31, 2**53, 2**63, 2**64, 10**30, "", "x", "0", "true", [],
        [1], {}, {"a": 1}, [[]], "cross:mid", "../../etc/passwd", "/etc/passwd", "cond", "maps",
    ]  # fmt: skip
    what = rng.randrange(6)
    if what == 0:
        del owner[key]
    elif what == 1 and isinstance(owner, list):
        owner.insert(key, rng.choice([owner[key], rng.choice(odd)]))
    elif what == 2 and isinstance(owner, dict):
        owner[rng.choice(["x", "files", "scale", "__class__"])] = rng.choice(odd)
    elif what == 3:
        other, at = rng.choice(places)
        if at in other if isinstance(other, dict) else at < len(other):
            owner[key], other[at] = other[at], owner[key]
            try:
                json.dumps(copy)
            except ValueError:  # One held the other, and now itself.
                return edits(plain, rng)
    elif type(owner[key]) in (int, float):
        owner[key] = rng.choice(
            [owner[key] + 1, owner[key] - 1, owner[key] * 2, -owner[key], rng.choice(odd)]
        )
    else:
        owner[key] = rng.choice(odd)
    return copy


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(pairs):
        yield value, key
        yield from _places(item)


def sealed(plain: dict[str, Any]) -> bytes:
    """A manifest file of any content at all, with a seal that holds."""
    lines = ",\n".join(
        f"{json.dumps(key)}: {json.dumps(value)}" for key, value in plain.items() if key != "sha256"
    )
    body = ("{\n" + lines).encode()
    return body + b',\n"sha256": "%s"\n}\n' % hashlib.sha256(body).hexdigest().encode()


def test_an_edited_manifest_whose_seal_was_left_is_refused(whole: Path) -> None:
    rng, path = random.Random(6), whole / "manifest.json"
    plain = json.loads(path.read_bytes())
    expected = answers(Run.open(whole))
    seal = plain.pop("sha256")
    with restored(whole):
        for _ in range(100):
            changed = edits(plain, rng)
            lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in changed.items())
            path.write_text("{\n" + lines + ',\n"sha256": "' + seal + '"\n}\n', encoding="utf-8")
            with pytest.raises((CorruptRecordingError, SchemaVersionError)):
                Run.open(whole)
    assert answers(Run.open(whole)) == expected


# Forgery: a manifest of hostile content whose seal was made anew. What a file says for itself (which run, file, call,
# shape it is of) still holds; what only the manifest knows (the scale, which token is a word's) its forger may choose.

FORGED_REFUSALS = (CorruptRecordingError, NotKeptError, SelectionError)
BYTES_OF_FILES = tuple(
    name
    for name in READS
    if name.split()[0] in ("latent", "output", "maps", "value", "query", "key", "pred_x0")
)


@contextmanager
def bounded_memory(room: int = 2**28) -> Iterator[None]:
    """A forged number must not make this process reach for all the memory that there is."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_forged_manifest_never_leads_to_another_array(whole: Path) -> None:
    rng, path = random.Random(7), whole / "manifest.json"
    plain = json.loads(path.read_bytes())
    expected = {name: data for name, data in answers(Run.open(whole)).items() if name in BYTES_OF_FILES}
    opened = 0
    with restored(whole), bounded_memory():
        for _ in range(400):
            path.write_bytes(sealed(edits(plain, rng)))
            opened += right_or_refused(whole, expected, FORGED_REFUSALS) < len(READS)
    assert 50 < opened < 350, "the forgeries were all too gross, or all too fine"


LIES: dict[str, tuple[str, Any]] = {
    "file above the folder": ("steps.0.files.0.path", "../outside/secret.safetensors"),
    "absolute file": ("steps.0.files.0.path", "/etc/passwd"),
    "file of another system": ("steps.0.files.0.path", "C:\\secret"),
    "null in a name": ("steps.0.files.0.path", "steps/0000\0.safetensors"),
    "text of another file": ("files.0.path", "steps/0000.safetensors"),
    "huge file": ("steps.0.files.0.bytes", 2**70),
    "empty file": ("steps.0.files.0.bytes", 0),
    "negative size": ("steps.0.files.0.bytes", -1),
    "no hash": ("steps.0.files.0.sha256", ""),
    "site out of the folder": ("sites.0.name", "cross:../../etc"),
    "site of another kind": ("sites.0.kind", "self"),
    "site of no kind": ("sites.0.name", "mid"),
    "site with a call in its name": ("sites.0.name", "cross:mid@1"),
    "site twice": ("sites", lambda plain: plain["sites"] * 2),
    "more heads": ("sites.0.heads", 3),
    "fewer heads": ("sites.0.heads", 1),
    "no heads": ("sites.0.heads", 0),
    "many heads": ("sites.0.heads", 2**31),
    "huge heads": ("sites.0.heads", 2**62),
    "heads beyond all integers": ("sites.0.heads", 10**40),
    "larger grid": ("sites.0.grid", [3, 3]),
    "huge grid": ("sites.0.grid", [2**40, 2**40]),
    "negative grid": ("sites.0.grid", [-2, -3]),
    "grid of three sides": ("sites.0.grid", [1, 2, 3]),
    "larger head": ("sites.0.head_dim", 6),
    "huge head": ("sites.0.head_dim", 2**62),
    "more keys": ("sites.0.keys", 5),
    "huge keys": ("sites.0.keys", 2**62),
    "scale that is text": ("sites.0.scale", "0.5"),
    "infinite scale": ("sites.0.scale", float("inf")),
    "huge sites": (
        "sites",
        lambda plain: [
            each | {"heads": 2**62, "head_dim": 2**62, "keys": 2**62, "grid": [2**62, 2**62]}
            for each in plain["sites"]
        ],
    ),
    "huge step": ("steps.1.index", 2**62),
    "negative step": ("steps.0.index", -1),
    "step twice": ("steps", lambda plain: plain["steps"] + plain["steps"][-1:]),
    "steps reversed": ("steps", lambda plain: plain["steps"][::-1]),
    "calls of another step": ("steps.0.calls", lambda plain: plain["steps"][1]["calls"]),
    "unconditional row for the conditional": ("steps.0.calls.0.row", 0),
    "row that is not there": ("steps.0.calls.0.row", 2**40),
    "no calls": ("steps.0.calls", []),
    "no files": ("steps.0.files", []),
    "files of another step": ("steps.0.files", lambda plain: plain["steps"][1]["files"]),
    "another run": ("id", "another"),
    "huge picture": ("sampling", lambda plain: plain["sampling"] | {"width": 2**62, "height": 2**62}),
    "huge side": ("sampling.height", 2**62),
    "token that is not there": ("text.words.0.tokens", [2**40]),
    "token beyond the keys": (
        "text",
        lambda plain: (
            plain["text"]
            | {
                "tokens": [*plain["text"]["tokens"], {"index": 4, "id": 4, "text": "x", "kind": "content"}],
                "words": [plain["text"]["words"][0] | {"tokens": [4]}],
            }
        ),
    ),
    "no tokens": ("text", {"tokens": [], "words": [], "cut": None, "length": 4}),
    "later version": ("schema_version", 2**31),
    "version 0": ("schema_version", 0),
}
"""What is changed in a manifest before it is sealed anew: where, and to what (or how that is made from the rest)."""


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_in_a_sealed_manifest_is_refused_or_harmless(whole: Path, lie: str) -> None:
    path = whole / "manifest.json"
    plain = json.loads(path.read_bytes())
    expected = {name: data for name, data in answers(Run.open(whole)).items() if name in BYTES_OF_FILES}
    where, value = LIES[lie]
    *owners, last = (int(part) if part.isdecimal() else part for part in where.split("."))
    owner: Any = plain
    for part in owners:
        owner = owner[part]
    owner[last] = value(plain) if callable(value) else value
    with restored(whole), bounded_memory():
        path.write_bytes(sealed(plain))
        right_or_refused(whole, expected, FORGED_REFUSALS)
        asks_everything(whole)


def test_a_manifest_nested_beyond_all_measure_is_refused(whole: Path) -> None:
    path = whole / "manifest.json"
    body = path.read_bytes().partition(b',\n"sha256"')[0]
    assert body.count(b'"edits": []') == 1
    body = body.replace(b'"edits": []', b'"edits": ' + b"[" * 50_000 + b"]" * 50_000)
    with restored(whole):
        path.write_bytes(body + b',\n"sha256": "%s"\n}\n' % hashlib.sha256(body).hexdigest().encode())
        with pytest.raises(CorruptRecordingError):
            Run.open(whole)


def test_forged_tensors_end_in_an_array_or_an_error(whole: Path) -> None:
    """Whole, sealed files, named by a sealed manifest, whose tensors are not those of its sites."""
    rng, path = random.Random(8), whole / "manifest.json"
    written = json.loads(path.read_bytes())
    named = [*written["files"], *(file for step in written["steps"] for file in step["files"])]
    names = [file["path"] for file in named if file["path"].endswith(".safetensors")]
    with restored(whole), bounded_memory():
        for number in range(100):
            name = names[number % len(names)]
            before = (whole / name).read_bytes()
            file = TensorFile(whole / name)
            tensors = hostile({key: file.read(key).copy() for key in file.keys()}, rng)  # noqa: SIM118
            file_hash = write_hashed(whole, name, safetensors_parts(tensors, {"run": "run", "file": name}))
            plain = json.loads(json.dumps(written))
            for each in [*plain["files"], *(file for step in plain["steps"] for file in step["files"])]:
                if each["path"] == name:
                    each.update(file_hash.model_dump())
            path.write_bytes(sealed(plain))
            with np.errstate(all="ignore"):
                asks_everything(whole)
            (whole / name).write_bytes(before)


def hostile(tensors: dict[str, np.ndarray], rng: random.Random) -> dict[str, np.ndarray]:
    """The tensors with one of them of another shape, type, value or name, or gone."""
    key = rng.choice(sorted(tensors))
    array = tensors.pop(key)
    match rng.randrange(8):
        case 0:
            tensors[key] = array.T
        case 1:
            tensors[key] = array.reshape(-1)
        case 2:
            tensors[key] = array[..., :0]
        case 3:
            tensors[key] = np.resize(array, [size + 1 for size in array.shape])
        case 4:
            with np.errstate(all="ignore"):
                tensors[key] = array.astype(rng.choice(list(DTYPES.values())))
        case 5:
            tensors[key] = np.full_like(array, rng.choice([np.nan, np.inf, -np.inf, 3e38]))
        case 6:
            tensors[rng.choice(["", "@", "x", "q/cross:mid@", f"{key}@0", "k/cross:mid@999999999999"])] = (
                array
            )
    return tensors


def asks_everything(folder: Path) -> None:
    """Every question at all ends in an array, or in an error of this package."""
    try:
        run = Run.open(folder)
    except DiffuscopeError:
        return
    for read in READS.values():
        try:
            assert isinstance(read(run), np.ndarray)
        except DiffuscopeError as error:
            assert "\n" not in str(error)
