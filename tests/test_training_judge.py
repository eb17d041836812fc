"""The judge's stage: pictures with their truth, faults on the way, one network in torch and in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffuscope.scenes import judge_network  # noqa: E402
from diffuscope.scenes.judge_network import CELL, CHANNELS, CLASSES, MIDDLING, REACH, forward  # noqa: E402
from diffuscope.scenes.layout import SIDE  # noqa: E402
from training import judge, judge_data, judge_degrade  # noqa: E402
from training.judge_data import FIELDS, GRID, IGNORED, Files  # noqa: E402

COUNT = 72


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training pictures, drawn in two goes."""
    where = tmp_path_factory.mktemp("judge-data")
    judge_data.draw(where, COUNT, seed=5)
    return where


def test_drawing_goes_on_where_it_was_stopped(folder: Path, tmp_path: Path) -> None:
    assert judge_data.finished(folder) == COUNT
    half = Files.open(tmp_path, COUNT, "r+")
    for index in range(judge_data.CHUNK):
        judge_data.put(half, index, judge_data.picture(5, index))
    judge_data._tell(tmp_path, "drawn", judge_data.CHUNK)
    judge_data.draw(tmp_path, COUNT, seed=5)
    whole, resumed = Files.open(folder, COUNT), Files.open(tmp_path, COUNT)
    for name in ("images", "owners", "covers", "details", "things", "settings"):
        assert np.array_equal(getattr(whole, name), getattr(resumed, name)), name


def test_files_of_another_number_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="remove"):
        Files.open(folder, COUNT + 1)


def test_cells_belong_to_what_covers_them() -> None:
    for index in range(30):
        made = judge_data.picture(9, index)
        total = np.sum(made.shares, axis=0) if made.shares else np.zeros((SIDE, SIDE))
        assert total.max(initial=0) <= 1.001
        assert len(made.rows) == len(made.shares)
        for row, share in zip(made.rows, made.shares, strict=True):
            rows, columns = np.nonzero(share > 0.5)
            if len(rows):
                # What is seen of a thing lies within its unit box.
                assert abs(columns + 0.5 - row[3]).max() <= row[5] + 1.5
                assert abs(rows + 0.5 - row[4]).max() <= row[5] + 1.5


def test_batches_follow_from_seed_and_step_alone(folder: Path) -> None:
    files = Files.open(folder, COUNT)
    one, same, other = (judge.Batch(files, COUNT, 1, step) for step in (3, 3, 4))
    for name in ("images", "cells", "weights", "details", "covers", "settings"):
        assert np.array_equal(getattr(one, name), getattr(same, name)), name
    assert not np.array_equal(one.images, other.images)
    assert np.allclose([batch.settings.sum(axis=1) for batch in (one, other)], 3)


def test_mirrored_pictures_keep_their_truth(folder: Path) -> None:
    files = Files.open(folder, COUNT)
    batch = judge.Batch(files, COUNT, 1, 0)
    before = {name: getattr(batch, name).copy() for name in ("images", "cells", "covers")}
    batch._mirror(np.array([2]))
    assert np.array_equal(batch.images[2], before["images"][2][:, ::-1])
    assert np.array_equal(batch.covers[2], before["covers"][2][:, ::-1])
    x = FIELDS.index("x")
    assert np.allclose(batch.cells[2, :, ::-1, x], SIDE - before["cells"][2, :, :, x])
    assert np.array_equal(batch.cells[3], before["cells"][3])


def perfect(batch: judge.Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The outputs that say what is true, and are sure of it."""
    cells = batch.cells
    sure = 30.0

    def one_hot(numbers: np.ndarray, size: int) -> np.ndarray:
        return sure * np.eye(size)[np.clip(numbers, 0, size - 1).astype(int)]

    middles = CELL * (np.arange(GRID) + 0.5)
    votes = np.stack(
        [
            (cells[..., 3] - middles) / REACH,
            (cells[..., 4] - middles[:, None]) / REACH,
            np.log(np.maximum(cells[..., 5], 1) / MIDDLING),
        ],
        axis=-1,
    )
    bits = batch.details[..., None] >> np.arange(CHANNELS["detail"]) & 1
    covers = (
        batch.covers.reshape(-1, GRID, CELL, GRID, CELL)
        .transpose(0, 1, 3, 2, 4)
        .reshape(-1, GRID, GRID, CELL**2)
    )
    parts = [
        one_hot(np.maximum(cells[..., 0], -1) + 1, CHANNELS["noun"]),
        one_hot(cells[..., 1], CHANNELS["paint"]),
        one_hot(cells[..., 2], CHANNELS["pattern"]),
        (2.0 * bits - 1) * sure,
        votes,
        (2.0 * covers - 1) * sure,
    ]
    grid = torch.from_numpy(np.concatenate(parts, axis=-1)).float().permute(0, 3, 1, 2)
    return grid, torch.from_numpy(np.log(np.maximum(batch.settings, 1e-9)))


def test_losses_are_zero_for_the_truth_and_grow_with_what_is_wrong(folder: Path) -> None:
    batch = judge.Batch(Files.open(folder, COUNT), COUNT, 1, 1)
    grid, settings = perfect(batch)
    shares = torch.from_numpy(batch.settings)
    entropy = -(shares * shares.clamp(min=1e-9).log()).sum(dim=1).mean() * 0.7
    right = judge.losses(grid, settings, batch)
    assert sum(float(right[part]) for part in right if part not in ("place", "light", "style")) < 1e-4
    assert float(right["place"] + right["light"] + right["style"]) == pytest.approx(float(entropy), abs=1e-4)
    start = 0
    for name, size in CHANNELS.items():
        spoilt = grid.clone()
        spoilt[:, start : start + size] = spoilt[:, start : start + size].flip(1) + 0.3
        assert float(judge.losses(spoilt, settings, batch)[name]) > 0.05, name
        start += size


def test_the_folded_network_in_numpy_is_the_trained_one(tmp_path: Path) -> None:
    torch.manual_seed(4)
    reader = judge.Reader()
    # Statistics and factors that are not those of a fresh network.
    reader(torch.randn(4, 3, SIDE, SIDE))
    for module in reader.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.2)
    reader.eval()
    picture = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        grid, settings = reader(picture)
    layers = {name: value.float().numpy() for name, value in judge.folded(reader.state_dict()).items()}
    seen, around = forward(layers, picture[0].permute(1, 2, 0).numpy().copy())
    scale = float(grid.abs().max())
    assert np.abs(seen - grid[0].permute(1, 2, 0).numpy()).max() < 0.01 * scale  # half precision
    assert np.abs(around - settings[0].numpy()).max() < 0.01 * float(settings.abs().max())
    size = judge.write(reader.state_dict(), tmp_path)
    assert size < 8_000_000
    assert {file.name for file in tmp_path.iterdir()} == {
        "judge.safetensors",
        "judge.json",
        "README.md",
        "SHA256SUMS",
    }


def test_written_weights_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(6)
    reader = judge.Reader()
    judge.write(reader.state_dict(), tmp_path)
    monkeypatch.setattr(judge_network, "FOLDER", tmp_path)
    judge_network.weights.cache_clear()
    evidence = judge_network.look(np.full((SIDE, SIDE, 3), 90, np.uint8))
    judge_network.weights.cache_clear()
    assert evidence.noun.shape == (GRID, GRID, len(CLASSES["noun"]) + 2)
    assert np.allclose(evidence.noun.sum(axis=-1), 1, atol=1e-5)
    assert evidence.cover.shape == (SIDE, SIDE)


def test_both_halves_of_a_step_come_from_one_lesson(folder: Path) -> None:
    lesson = judge.Lesson(folder, COUNT, 1, "cpu", decoded=False)
    gradients = []
    for _ in range(2):
        torch.manual_seed(2)
        reader = judge.Reader()
        figures = [lesson.learn(reader, number) for number in (6, 7)]
        assert figures[0] != figures[1]
        gradients.append(torch.cat([weight.grad.flatten() for weight in reader.parameters()]))
    assert torch.equal(*gradients)
    assert float(gradients[0].norm()) > 0


def test_faults_are_of_their_kind() -> None:
    torch.manual_seed(1)
    images = torch.rand(4, 3, SIDE, SIDE) * 2 - 1
    assert torch.allclose(judge_degrade.blocky(images, 1e-6), images, atol=1e-4)
    assert float((judge_degrade.blocky(images, 0.05) - images).abs().mean()) > 0.01
    flat = torch.full((4, 3, SIDE, SIDE), 0.3)
    for fault in (
        judge_degrade.blurred(flat, 1.2),
        judge_degrade.shrunk(flat, 48),
        judge_degrade.wobbling(flat, 1.0),
    ):
        assert torch.allclose(fault, flat, atol=1e-4)
    out = judge_degrade.degraded(images)
    assert out.shape == images.shape
    assert float(out.abs().max()) <= 1
    assert not torch.equal(judge_degrade.shifted(flat), flat)


def test_cells_that_say_nothing_are_not_asked(folder: Path) -> None:
    files = Files.open(folder, COUNT)
    assert (np.asarray(files.owners) == IGNORED).any()
    batch = judge.Batch(files, COUNT, 1, 2)
    grid, settings = perfect(batch)
    noise = torch.where(torch.from_numpy(batch.cells[..., 0] == -2)[:, None], 5.0, 0.0)
    start = CHANNELS["noun"] + CHANNELS["paint"] + CHANNELS["pattern"] + CHANNELS["detail"] + CHANNELS["vote"]
    spoilt = grid.clone()
    spoilt[:, :start] += noise * torch.randn(1, start, 1, 1)
    parts = ("empty", "noun", "paint", "pattern", "vote", "detail")
    right, still = (judge.losses(one, settings, batch) for one in (grid, spoilt))
    assert [float(still[part]) for part in parts] == pytest.approx(
        [float(right[part]) for part in parts], abs=1e-4
    )
