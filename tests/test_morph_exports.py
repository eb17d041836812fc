"""What the morph hands to other programs: texture sets, point clouds, and a run played live over OSC."""

from __future__ import annotations

import ast
import csv
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from morph_fixture import FIXTURE, contents
from PIL import Image
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.errors import InputError, SelectionError, UnknownWordError
from diffuscope.morph.field import Morph
from diffuscope.morph.live import parsed_address, stream
from diffuscope.morph.motion import moment
from diffuscope.morph.points import write_points
from diffuscope.morph.score import Score, linear
from diffuscope.morph.streams import Streams
from diffuscope.morph.textures import write_textures
from diffuscope.run import Run

STEPS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", steps=STEPS)


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return ds.open(folder)


def test_what_the_page_is_held_to_is_current() -> None:
    assert json.loads(FIXTURE.read_text(encoding="utf-8")) == json.loads(json.dumps(contents())), (
        "python tests/morph_fixture.py"
    )


def test_another_programs_loader_opens_the_point_clouds(run: Run, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    morph = Morph.of(run, ["circle"], particles=700)
    (path,) = write_points(morph, tmp_path, "ply", [3])
    opened, cloud = trimesh.load(path), morph.of_step(3)
    assert np.array_equal(opened.vertices.astype(np.float32), cloud.position)
    assert opened.colors.shape == (700, 4)
    assert np.abs(linear(opened.colors[:, :3]) - np.clip(cloud.colour, 0, 1)).max() < 0.005
    assert np.abs(opened.colors[:, 3] / 255 - cloud.weight).max() < 0.0025


def test_sixteen_bit_maps_hold_the_probabilities(run: Run, tmp_path: Path) -> None:
    written = write_textures(run, tmp_path, ["circle"])
    about = json.loads((tmp_path / "set.json").read_text(encoding="utf-8"))
    assert all(path.is_file() for path in written)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(written)
    (circle, depth) = about["maps"]
    expected = run.word("circle").steps().array
    stability = Score.of(run, ["circle"])
    for entry, values in ((circle, expected), (depth, None)):
        for position, step in enumerate(about["steps"]):
            with Image.open(tmp_path / (entry["files"] % step)) as picture:
                assert picture.mode == "I;16" and list(picture.size) == about["grid"][::-1]
                v = np.asarray(picture).astype(np.float64)
            read = entry["low"] + v / 65535 * (entry["high"] - entry["low"])
            if values is not None:
                np.testing.assert_allclose(
                    read, values[position], atol=(entry["high"] - entry["low"]) / 65535
                )
                np.testing.assert_allclose(v / 65535, stability.stability[0, position], atol=1e-4)
            else:
                np.testing.assert_allclose(v / 65535, stability.depth[position], atol=1e-4)
    with Image.open(tmp_path / (about["pictures"]["files"] % 2)) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(run.preview(2).convert("RGB")))


def test_exr_maps_are_exact(run: Run, tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    write_textures(run, tmp_path, ["a red circle"], "exr")
    with exr.File(str(tmp_path / "maps" / "1-a-red-circle" / "0002.exr")) as file:
        read = file.channels()["Y"].pixels
    assert np.array_equal(read, run.phrase("a red circle").steps().array[2])


def test_the_table_says_where_a_word_is(run: Run, tmp_path: Path) -> None:
    write_textures(run, tmp_path)
    with (tmp_path / "words.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["word"] == "circle"]
    timeline = run.timeline(["circle"]).words["circle"]
    sampling = run.manifest.sampling
    assert [int(row["step"]) for row in rows] == list(timeline.steps)
    np.testing.assert_allclose([float(row["mass"]) for row in rows], timeline.mass, rtol=1e-5)
    x, y = (np.array([float(row[axis]) for row in rows]) for axis in "xy")
    # The measure counts in pixels, from the middle of the first.
    np.testing.assert_allclose(y * sampling.height, timeline.centroid[:, 0] + 0.5, atol=0.51)
    np.testing.assert_allclose(x * sampling.width, timeline.centroid[:, 1] + 0.5, atol=0.51)
    assert (rows[0]["phase"], rows[-1]["phase"]) == ("noise", "detail")


def test_centroid_and_spread_are_moments_of_the_map(run: Run) -> None:
    streams = Streams.of(run, ["circle"])
    values = run.word("circle").steps().array[4].astype(np.float64)
    height, width = values.shape
    total, across, down = 0.0, 0.0, 0.0
    for row in range(height):
        for column in range(width):
            total += values[row, column]
            across += values[row, column] * (column + 0.5) / width
            down += values[row, column] * (row + 0.5) / height
    across, down = across / total, down / total
    square = sum(
        values[row, column]
        * ((((column + 0.5) / width - across) * width / height) ** 2 + ((row + 0.5) / height - down) ** 2)
        for row in range(height)
        for column in range(width)
    )
    mass, centroid, spread = streams.at(4 / (STEPS - 1))
    assert mass[0] == pytest.approx(values.mean())
    assert centroid[0] == pytest.approx([across, down])
    assert spread[0] == pytest.approx(np.sqrt(square / total))
    between = streams.at(3.5 / (STEPS - 1))[0][0]
    assert between == pytest.approx((streams.mass[0, 3] + streams.mass[0, 4]) / 2)


def test_recipes_are_programs_that_parse() -> None:
    recipes = resources.files("diffuscope.morph").joinpath("recipes")
    ast.parse(recipes.joinpath("blender.txt").read_text(encoding="utf-8"))
    text = recipes.joinpath("README.md").read_text(encoding="utf-8")
    assert all(f"## {name}" in text for name in ("TouchDesigner", "Blender", "p5", "three.js"))


class Listener:
    """A real OSC server on a free port, that is read between the frames."""

    def __init__(self) -> None:
        dispatcher = pytest.importorskip("pythonosc.dispatcher").Dispatcher()
        server = pytest.importorskip("pythonosc.osc_server").BlockingOSCUDPServer
        self.heard: list[tuple[str, tuple]] = []
        dispatcher.set_default_handler(lambda name, *values: self.heard.append((name, values)))
        self.server = server(("127.0.0.1", 0), dispatcher)
        self.server.timeout = 5
        self.port = self.server.server_address[1]

    def of(self, name: str) -> list[tuple]:
        return [values for each, values in self.heard if each == f"/diffuscope/{name}"]


def test_a_run_is_played_to_an_osc_server(run: Run) -> None:
    listener = Listener()
    score, streams = Score.of(run, ["circle"]), Streams.of(run, ["circle", "red"])
    now = [0.0]
    sent = stream(
        run,
        score,
        streams,
        "127.0.0.1",
        listener.port,
        fps=10,
        seconds=2,
        on_frame=lambda *_: listener.server.handle_request(),
        clock=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )
    listener.server.handle_request()
    listener.server.server_close()
    assert sent == 20 and now[0] == pytest.approx(2.0)
    assert listener.of("run") == [(run.id, run.prompt, STEPS, pytest.approx(score.aspect))]
    assert [values[0] for values in listener.of("time")] == pytest.approx([index / 20 for index in range(20)])
    assert listener.of("end") == [()]
    for index, (step, progress, phase) in enumerate(listener.of("step")):
        there = moment(index / 20, words=True)
        assert progress == pytest.approx(there.progress, abs=1e-6)
        assert step == score.steps[round(there.progress * (STEPS - 1))]
        assert phase in ("noise", "structure", "detail")
        mass, centroid, spread = streams.at(there.progress)
        for number, label in enumerate(("circle", "red")):
            heard = listener.of("word")[2 * index + number]
            assert heard[:2] == (number, label)
            assert heard[2:] == pytest.approx((mass[number], *centroid[number], spread[number]), abs=1e-6)


def test_a_late_machine_leaves_frames_out_and_keeps_the_time(run: Run) -> None:
    listener = Listener()
    now = [0.0]

    def late(*_: int) -> None:
        listener.server.handle_request()
        now[0] += 0.35

    sent = stream(
        run,
        Score.of(run),
        Streams.of(run, ["circle"]),
        "127.0.0.1",
        listener.port,
        fps=10,
        seconds=1,
        loops=2,
        on_frame=late,
        clock=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )
    listener.server.server_close()
    assert sent == 6
    times = [values[0] for values in listener.of("time")]
    assert times == pytest.approx([0.0, 0.3, 0.7, 0.0, 0.4, 0.7], abs=0.11)


@pytest.mark.parametrize("text", ["7000", "host", "host:", "host:0", "host:99999", "a:b:7"])
def test_addresses_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="HOST:PORT"):
        parsed_address(text)


def test_addresses_are_read() -> None:
    assert parsed_address("localhost:7000") == ("localhost", 7000)
    assert parsed_address(":7000") == ("127.0.0.1", 7000)
    assert parsed_address("[::1]:7000") == ("::1", 7000)


def test_wrong_wishes_are_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UnknownWordError):
        write_textures(run, tmp_path / "set", ["unicorn"])
    with pytest.raises(SelectionError, match="png or exr"):
        write_textures(run, tmp_path / "set", kind="bmp")  # type: ignore[arg-type]
    with pytest.raises(SelectionError, match="fps"):
        stream(run, Score.of(run), Streams.of(run, ["circle"]), "127.0.0.1", 9, fps=0)
    assert not (tmp_path / "set").exists()


def test_the_command_writes_textures_and_plays(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, listener = CommandLine(capsys), Listener()
    asked = ("--textures", tmp_path / "set", "--osc", f"127.0.0.1:{listener.port}")
    said = cli(
        "morph",
        folder,
        "--word",
        "circle",
        *asked,
        "--seconds",
        "0.1",
        "--fps",
        "20",
        "--particles",
        "9",
        "--json",
    ).json
    listener.server.handle_request()
    listener.server.server_close()
    assert listener.of("run") and len(listener.of("word")) == 1
    assert len(said["written"]["textures"]) == 3 * STEPS + 4
    assert cli("morph", folder, "--osc", "nowhere").status == 2
