"""The morph: particles are functions of the moment, masks are what they are defined as, and films decode."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.errors import SelectionError, SizeError, UnknownWordError
from diffuscope.morph.camera import Camera
from diffuscope.morph.field import Cloud, Morph
from diffuscope.morph.film import Shot, frame, write_film, write_frames
from diffuscope.morph.motion import Moment, chance, homes, moment, wind
from diffuscope.morph.points import write_points
from diffuscope.morph.render import render, splat
from diffuscope.morph.score import Score, linear
from diffuscope.run import Run

STEPS = 6
SMALL = Shot(size=(64, 48), fps=5, seconds=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", steps=STEPS)


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return ds.open(folder)


@pytest.fixture(scope="module")
def morph(run: Run) -> Morph:
    return Morph.of(run, ["circle", "zeppelin"], particles=500, seed=3)


def same(one: Cloud, other: Cloud) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("position", "colour", "weight", "stability")
    )


def test_a_time_looks_the_same_however_it_is_reached(run: Run, morph: Morph) -> None:
    times = [0.1, 0.35, 0.5, 0.7, 0.95]
    forwards = [morph.at(time) for time in times]
    backwards = [morph.at(time) for time in reversed(times)][::-1]
    anew = [Morph.of(run, ["circle", "zeppelin"], particles=500, seed=3).at(time) for time in times]
    assert all(map(same, forwards, backwards))
    assert all(map(same, forwards, anew))
    assert not same(morph.at(0.1), Morph.of(run, ["circle", "zeppelin"], particles=500, seed=4).at(0.1))


def test_the_film_is_a_loop_without_a_seam_and_without_cuts(run: Run) -> None:
    few = Morph.of(run, ["circle"], particles=60)
    assert same(few.at(0.0), few.at(1.0))

    def furthest(count: int) -> float:
        places = np.stack([few.at(index / count).position for index in range(count + 1)])
        return float(np.linalg.norm(np.diff(places, axis=0), axis=2).max())

    # Four times the frames, a quarter of the way between two: a cut would stay as long as it is.
    assert furthest(1600) < 0.3 * furthest(400)


def test_fewer_particles_are_the_same_film_coarser(run: Run, morph: Morph) -> None:
    fewer = Morph.of(run, ["circle", "zeppelin"], particles=120, seed=3).at(0.45)
    assert np.array_equal(fewer.position, morph.at(0.45).position[:120])


def test_stability_is_the_words_map_scaled_over_all_steps(run: Run) -> None:
    maps = run.word("circle").steps().array.astype(np.float64)
    expected = (maps - maps.min()) / (maps.max() - maps.min())
    score = Score.of(run, ["circle"])
    np.testing.assert_allclose(score.stability[0], expected, atol=1e-6)
    np.testing.assert_allclose(score.at(2 / (STEPS - 1))[1][0], expected[2], atol=1e-5)
    half = (expected[2] + expected[3]) / 2
    np.testing.assert_allclose(score.at(2.5 / (STEPS - 1))[1][0], half, atol=1e-5)


def test_particles_take_the_value_of_their_home(run: Run) -> None:
    single = Morph.of(run, ["circle"], particles=300)
    home = homes(300).astype(np.float64)
    texture = single.score.at(1.0)[1][0].astype(np.float64)
    height, width = texture.shape
    for particle in range(0, 300, 37):
        x, y = home[particle, 0] * width - 0.5, home[particle, 1] * height - 0.5
        expected = 0.0
        for row in range(height):
            for column in range(width):
                # Cells beyond the edge hold the edge's value: the nearest inside counts for them.
                across = max(0.0, 1 - abs(min(max(x, 0), width - 1) - column))
                along = max(0.0, 1 - abs(min(max(y, 0), height - 1) - row))
                expected += texture[row, column] * across * along
        assert single.place(Moment(1.0, 1.0, 0.5)).stability[particle] == pytest.approx(expected, abs=1e-5)


def test_chaos_is_blown_and_stability_holds(run: Run) -> None:
    single = Morph.of(run, ["circle"], particles=2000)
    early = single.place(Moment(1.0, 1.0, 0.2))
    late = single.place(Moment(1.0, 1.0, 0.7))
    moved = np.linalg.norm(early.position - late.position, axis=1)
    stable = early.stability
    still, loose = moved[stable > 0.9], moved[stable < 0.1]
    assert len(still) and len(loose)
    assert still.max() < 0.02 * np.median(loose)
    assert early.position[stable > 0.9, 2].min() > early.position[stable < 0.1, 2].mean()


def test_the_finished_picture_is_at_rest(run: Run) -> None:
    whole = Morph.of(run, particles=400)
    cloud = whole.at(0.8)
    home = homes(400)
    aspect = whole.score.aspect
    assert np.abs(cloud.position[:, 0] - (2 * home[:, 0] - 1) * aspect).max() < 0.02
    assert np.abs(cloud.position[:, 1] - (1 - 2 * home[:, 1])).max() < 0.02


def test_words_have_winds_of_their_own() -> None:
    place, luck = np.zeros((1, 3), np.float32), np.full((1, 3), 0.5, np.float32)
    one, other = (wind(place, luck, 0.3, np.array([[angle, 1]], np.float32)) for angle in (2.4, 4.8))
    assert np.linalg.norm(one - other) > 0.1
    many = chance(np.arange(9000, dtype=np.uint32), 1, 0).reshape(3000, 3)
    blown = wind(many * 4 - 2, many, 0.4, np.tile(np.float32([1, 1.5]), (3000, 1)))
    assert np.abs(blown).max() <= 1.0 + 1e-6
    np.testing.assert_allclose(
        wind(place, luck, 0, luck[:, :2]), wind(place, luck, 1, luck[:, :2]), atol=1e-5
    )


def test_chance_and_homes_are_integers_that_any_language_makes() -> None:
    def lowbias32(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        return x ^ x >> 16

    ids = np.array([0, 1, 2, 77, 65535], np.uint32)
    start = lowbias32((5 * 0x9E3779B9 + 2 * 0x85EBCA6B) % 2**32)
    assert chance(ids, 5, 2).tolist() == [(lowbias32(int(each) ^ start) >> 8) / 2**24 for each in ids]
    assert homes(3)[2].tolist() == [
        ((2 * step + 2**31) % 2**32 >> 8) / 2**24 for step in (3242174889, 2447445414)
    ]
    counts = np.histogram2d(*homes(6400).T, bins=8, range=[[0, 1], [0, 1]])[0]
    assert np.abs(counts - 100).max() <= 5


def test_the_flow_goes_into_the_words_and_out_again() -> None:
    course = [moment(time, words=True) for time in np.linspace(0, 1, 101)]
    assert (course[0].progress, course[0].focus) == (0, 0)
    assert course[50].focus == 1
    assert (course[80].progress, course[80].focus) == (1, 0)
    assert all(moment(time, words=False).focus == 0 for time in np.linspace(0, 1, 51))


def test_a_disc_lies_where_the_camera_sees_it() -> None:
    one = np.ones(1, np.float32)
    place, colour = np.float32([[0.3, 0.2, 0.1]]), np.float32([[0.2, 0.6, 0.4]])
    cloud = Cloud(place, colour, one, one, Moment(0, 0, 0))
    camera = Camera(yaw=0.3, pitch=-0.2)
    # By rotations written out: around the vertical axis, then around the horizontal one.
    (x, y, z), a, b = place[0], 0.3, -0.2
    x, z = x * np.cos(a) - z * np.sin(a), x * np.sin(a) + z * np.cos(a)
    y, z = y * np.cos(b) - z * np.sin(b), y * np.sin(b) + z * np.cos(b)
    scale = 96 / (2 * np.tan(camera.view / 2)) / (camera.distance - z)
    sheet = splat(cloud, camera, (128, 96), grain=0.05)
    weight = sheet[..., 3]
    rows, columns = np.mgrid[:96, :128] + 0.5
    assert (columns * weight).sum() / weight.sum() == pytest.approx(64 + x * scale, abs=0.1)
    assert (rows * weight).sum() / weight.sum() == pytest.approx(48 - y * scale, abs=0.1)
    np.testing.assert_allclose(sheet[..., :3].sum((0, 1)) / weight.sum(), colour[0], atol=1e-4)


def test_the_ground_is_night_paper_or_nothing(morph: Morph) -> None:
    empty = Cloud(
        np.zeros((1, 3), np.float32),
        np.zeros((1, 3), np.float32),
        *[np.zeros(1, np.float32)] * 2,
        Moment(0, 0, 0),
    )
    camera = Camera()
    assert render(empty, camera, (32, 32), "night").max() < 30
    assert render(empty, camera, (32, 32), "paper").min() > 220
    assert render(empty, camera, (32, 32), "transparent")[..., 3].max() == 0
    with pytest.raises(SizeError):
        render(empty, camera, (8, 32))


@pytest.mark.parametrize(("suffix", "ground"), [(".mp4", "night"), (".gif", "paper"), (".mov", "night")])
def test_a_film_decodes_to_its_frames(morph: Morph, tmp_path: Path, suffix: str, ground: str) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    shot = Shot((64, 48), 5, 1, ground)  # type: ignore[arg-type]
    path = write_film(morph, tmp_path / f"film{suffix}", shot)
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    decoded = [np.frombuffer(each, np.uint8).reshape(48, 64, 3).astype(float) for each in reader]
    assert about["size"] == (64, 48) and about["fps"] == pytest.approx(5)
    assert len(decoded) == shot.count == 5
    for index, shown in enumerate(decoded):
        assert np.abs(shown - frame(morph, shot, index / 5)).mean() < 8
    assert [path.name for path in tmp_path.iterdir()] == [f"film{suffix}"]


@pytest.mark.parametrize(("suffix", "decoder"), [(".mov", "prores"), (".webm", "libvpx-vp9")])
def test_a_transparent_film_keeps_its_alpha(morph: Morph, tmp_path: Path, suffix: str, decoder: str) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    shot = Shot((64, 48), 5, 1, "transparent")
    path = write_film(morph, tmp_path / f"film{suffix}", shot)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-c:v", decoder, "-i", str(path)]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgba", "-"], capture_output=True, check=True
    ).stdout
    alpha = np.frombuffer(raw, np.uint8).reshape(-1, 48, 64, 4)[..., 3].astype(float)
    for index, shown in enumerate(alpha):
        assert np.abs(shown - frame(morph, shot, index / 5)[..., 3]).mean() < 8


def test_pictures_are_the_frames(morph: Morph, tmp_path: Path) -> None:
    written = write_frames(morph, tmp_path, SMALL)
    assert [path.name for path in written] == [f"frame-{index:05d}.png" for index in range(5)]
    with Image.open(written[2]) as picture:
        assert np.array_equal(np.asarray(picture), frame(morph, SMALL, 2 / 5))


def test_points_hold_the_particles(morph: Morph, tmp_path: Path) -> None:
    (path,) = write_points(morph, tmp_path, "ply", [4])
    data = path.read_bytes()
    header, body = data.split(b"end_header\n", 1)
    assert b"element vertex 500" in header and b"format binary_little_endian 1.0" in header
    names = [line.split()[1:] for line in header.decode().splitlines() if line.startswith("property")]
    kinds = {"float": "<f4", "uchar": "u1"}
    read = np.frombuffer(body, [(name, kinds[kind]) for kind, name in names])
    cloud = morph.of_step(4)
    assert np.array_equal(np.stack([read[axis] for axis in "xyz"], axis=1), cloud.position)
    red = linear(read["red"])
    assert np.abs(red - np.clip(cloud.colour[:, 0], 0, 1)).max() < 0.005
    (path,) = write_points(morph, tmp_path, "csv", [4])
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    np.testing.assert_allclose(table[:, 1:4], cloud.position, rtol=1e-5, atol=1e-6)
    (path,) = write_points(morph, tmp_path, "npz", [4])
    assert np.array_equal(np.load(path)["position"], cloud.position)
    assert len(write_points(morph, tmp_path / "all")) == STEPS
    with pytest.raises(SelectionError, match="no step 99"):
        write_points(morph, tmp_path, "ply", [99])


def test_runs_that_lack_previews_or_were_cut_short_play_too(tmp_path: Path) -> None:
    whole = ds.open(make_run(tmp_path / "a", steps=4, previews=False))
    assert len(Score.of(whole).colours) == 4
    assert len(Morph.of(ds.open(make_run(tmp_path / "b", steps=4, stop_after=3)), particles=10).at(0.5)) == 10


def test_wrong_wishes_are_named(run: Run, morph: Morph, tmp_path: Path) -> None:
    with pytest.raises(UnknownWordError):
        Morph.of(run, ["unicorn"])
    with pytest.raises(SelectionError, match="particles"):
        Morph.of(run, particles=0)
    with pytest.raises(SelectionError, match="palette"):
        Morph.of(run, colours="rainbow")
    with pytest.raises(SelectionError, match="phases"):
        Score.of(run, phases="moon")  # type: ignore[arg-type]
    with pytest.raises(SelectionError, match="alpha"):
        write_film(morph, tmp_path / "a.mp4", Shot(background="transparent"))
    with pytest.raises(SelectionError, match=r"\.avi"):
        write_film(morph, tmp_path / "a.avi", SMALL)
    with pytest.raises(SizeError, match="even"):
        write_film(morph, tmp_path / "a.mp4", Shot((63, 48)))
    assert not list(tmp_path.iterdir())


def test_the_command_writes_what_is_asked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = CommandLine(capsys)
    less = ("--size", "32x32", "--seconds", "1", "--fps", "2", "--particles", "50", "--json")
    asked = ("--frames", tmp_path / "f", "--points", tmp_path / "p", "--poster", tmp_path / "poster.png")
    said = cli("morph", folder, "--word", "circle", *asked, *less).json
    assert said["words"] == ["circle"] and said["frames_in_all"] == 2
    assert len(list((tmp_path / "f").iterdir())) == 2
    assert len(list((tmp_path / "p").iterdir())) == STEPS == len(said["written"]["points"])
    json.dumps(said)
    for wrong in (("--size", "32"), ("--fps", "0"), ("--at", "2"), ("--grain", "0"), ("--word", "unicorn")):
        assert cli("morph", folder, "--frames", tmp_path / "no", *wrong).status == 2, wrong
    assert cli("morph", folder).status == 2
    assert not (tmp_path / "no").exists()
