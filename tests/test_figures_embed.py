"""Maps and pictures as they travel in a page."""

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from diffuscope.figures import embed


def stack(words=3, slots=4, height=6, width=5, seed=0):
    values = np.random.default_rng(seed).gamma(0.5, 0.05, size=(words, slots, height, width))
    return np.minimum(values, 1).astype(np.float32)


def test_small_maps_travel_as_float16_in_their_order():
    values = stack()
    made = embed.embed_maps(values)
    assert made.data["encoding"] == "float16" and "float16" in made.precision
    read = np.frombuffer(b64decode(made.data["data"]), "<f2").reshape(made.data["shape"])
    np.testing.assert_allclose(read.astype(np.float32), values, rtol=2**-11, atol=2**-25)


def test_large_maps_travel_as_a_byte_a_patch_with_their_own_range(monkeypatch):
    monkeypatch.setattr(embed, "FLOAT16_BYTES", 0)
    values = stack()
    values[1, 2] = 0.25  # a flat map has no range to divide by
    made = embed.embed_maps(values)
    assert made.data["encoding"] == "uint8" and "256" in made.precision
    levels = np.frombuffer(b64decode(made.data["data"]), np.uint8).reshape(len(made.data["ranges"]), -1)
    low, high = np.array(made.data["ranges"]).T[..., None]
    read = (low + levels / 255 * (high - low)).reshape(values.shape)
    extent = values.max(axis=(2, 3), keepdims=True) - values.min(axis=(2, 3), keepdims=True)
    assert np.all(np.abs(read - values) <= extent / 510 + 1e-6)


def test_grids_are_halved_until_all_maps_fit():
    assert embed.coarser((16, 16), 400) == (16, 16)
    assert embed.coarser((64, 64), 800) == (64, 64)
    assert embed.coarser((128, 96), 2000) == (64, 48)
    height, width = embed.coarser((33, 65), 100_000)
    assert height * width <= 33 * 65 / 4


def test_a_small_picture_stays_exact_and_a_large_one_says_that_it_does_not():
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    address, how = embed.picture_address(small)
    assert address.startswith("data:image/png;base64,") and how == ""
    read = Image.open(io.BytesIO(b64decode(address.partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(read), np.asarray(small))
    address, how = embed.picture_address(small.resize((512, 512), Image.Resampling.BICUBIC))
    assert "image/png" not in address and "compressed" in how


def test_previews_are_small():
    address = embed.preview_address(Image.new("RGB", (1024, 512), (200, 30, 30)))
    read = Image.open(io.BytesIO(b64decode(address.partition(",")[2])))
    assert read.size == (256, 128)


@pytest.mark.parametrize(("value", "short"), [(0.123456789, 0.123457), (0.0, 0.0), (1.5e-9, 1.5e-9)])
def test_numbers_are_rounded_to_significant_digits(value, short):
    assert embed.significant(value, 6) == short
