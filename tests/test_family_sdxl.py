"""SDXL: two text encoders side by side in each key, a pooled embedding, several transformer blocks at one place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ways import PROMPT, proved, size, tiny

from diffuscope.engine import Lens
from diffuscope.engine.models.stable_diffusion_xl import joined
from diffuscope.engine.models.tokens import read_prompt
from diffuscope.errors import InputError
from diffuscope.testing.tokenizers import byte_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore")


def test_several_blocks_at_one_place_have_names_of_their_own() -> None:
    lens = Lens(tiny("sdxl"))
    names = [site.name for site in lens.sites]
    assert lens.family.name == "stable-diffusion-xl" and len(set(names)) == len(names) == 22
    assert {"cross:down.0.0", "cross:down.1.0.0", "cross:down.1.0.1", "self:mid.1"} <= set(names)


def test_words_are_those_of_both_tokenizers(tmp_path: Path) -> None:
    """They pad differently, and padding of one that is text of the other would be lost or shown wrongly."""
    pipe = tiny("sdxl")
    assert pipe.tokenizer.pad_token != pipe.tokenizer_2.pad_token
    (run,) = proved(pipe, tmp_path, prompt=PROMPT, **size("sdxl"))
    assert [(word.label, word.tokens) for word in run.words] == [("a", [1]), ("red", [2]), ("cat", [3])]
    kinds = [token.kind for token in run.tokens]
    assert kinds[:6] == ["start", "content", "content", "content", "end", "padding"]
    # The keys are as wide as both encoders together.
    assert run.recording.text("embedding").shape == (20, 16 + 32)


def test_a_word_that_the_tokenizers_cut_differently_has_the_keys_of_both() -> None:
    prompt = "a cattle"
    first = read_prompt(byte_tokenizer(12), prompt, 12)
    coarse = first.model_copy(
        update={
            "words": [
                word.model_copy(update={"tokens": [word.tokens[0]]}) if word.label == "cattle" else word
                for word in first.words
            ]
        }
    )
    assert len(first.words[1].tokens) > 1
    assert joined(coarse, first).words == joined(first, coarse).words == first.words


def test_a_second_prompt_that_differs_is_refused(tmp_path: Path) -> None:
    lens = Lens(tiny("sdxl"))
    with pytest.raises(InputError, match="prompt_2 differs"):
        lens.record(PROMPT, prompt_2="a dog", out=tmp_path)
    run = lens.record(PROMPT, prompt_2=PROMPT, steps=1, width=32, height=16, out=tmp_path)
    assert run.manifest.sampling.options == {"prompt_2": PROMPT}


def test_sizes_as_conditions_reach_the_model(tmp_path: Path) -> None:
    lens = Lens(tiny("sdxl"))
    small: dict[str, int] = {"steps": 1, "width": 32, "height": 16}
    plain = lens.record(PROMPT, out=tmp_path, **small)
    other = lens.record(PROMPT, original_size=(512, 64), crops_coords_top_left=(8, 0), out=tmp_path, **small)
    assert not np.array_equal(plain.recording.output(0), other.recording.output(0))
    assert other.manifest.sampling.options["original_size"] == [512, 64]


def test_turbo_draws_in_one_step_without_guidance(tmp_path: Path) -> None:
    call = {**size("sdxl"), "num_inference_steps": 1, "guidance_scale": 0.0}
    (run,) = proved(tiny("sdxl"), tmp_path, prompt=PROMPT, **call)
    assert run.steps[0].calls[0].rows == ["cond"]
