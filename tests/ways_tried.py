"""The ways of running that are tried, each on the families named with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from ways import FAMILIES, JOINT, PROMPT, UNETS, picture, proved, refused, size, tiny

import diffuscope as ds
from diffuscope.engine import Lens
from diffuscope.errors import CoverageError, UnsupportedAttentionError, UnsupportedModelError

Proof = Callable[[str, Path], str | None]


@dataclass(frozen=True)
class Way:
    """A way of running: what it is called, `proof(family, folder)`, which returns "refused" where it is refused, and
    the families that it is tried on. `none` are families whose pipelines do not have it."""

    name: str
    proof: Proof
    families: tuple[str, ...]
    none: tuple[str, ...] = ()


# What is drawn.


def guided(family: str, folder: Path) -> None:
    proved(tiny(family), folder, prompt=PROMPT, **size(family))


def unguided(family: str, folder: Path) -> None:
    (run,) = proved(tiny(family), folder, prompt=PROMPT, guidance_scale=1.0, **size(family))
    assert run.steps[0].calls[0].rows == ["cond"]


def several(family: str, folder: Path) -> None:
    prompts = [PROMPT, "a cattle dog"]
    runs = proved(tiny(family), folder, pictures=4, prompt=prompts, num_images_per_prompt=2, **size(family))
    assert [run.prompt for run in runs] == [PROMPT, PROMPT, "a cattle dog", "a cattle dog"]
    assert [run.words[-1].label for run in runs] == ["cat", "cat", "dog", "dog"]
    assert [run.manifest.sampling.seed for run in runs] == [5, 6, 7, 8]


def negative(family: str, folder: Path) -> None:
    call = size(family)
    if family == "flux":
        # Guidance by two forwards a step: the second has no conditional row.
        (run,) = proved(
            tiny(family),
            folder,
            row=lambda rows, number, picture: None if number % 2 else picture,
            prompt=PROMPT,
            negative_prompt="a dog",
            true_cfg_scale=3.0,
            **call,
        )
    else:
        (run,) = proved(tiny(family), folder, prompt=PROMPT, negative_prompt="a dog", **call)
    assert run.manifest.sampling.negative_prompt == "a dog"


def read_negative(family: str, folder: Path) -> None:
    """Attention of the row that reads the negative prompt: its words have maps."""
    given: dict[str, Any] = {"prompt": PROMPT, "negative_prompt": "a cattle dog", **size(family)}
    if family == "flux":
        given["true_cfg_scale"] = 3.0

    def first_half(rows: int, number: int, picture: int) -> int | None:
        return picture if rows > 1 or number % 2 else None

    (run,) = proved(tiny(family), folder, row=first_half, branch="uncond", **given)
    assert [word.label for word in run.words] == ["a", "cattle", "dog"]
    assert run.negative_word("dog").map().array.max() > 0


def shapes(family: str, folder: Path) -> None:
    tall, wide = (
        proved(tiny(family), folder / f"{height}", prompt=PROMPT, **size(family, height, width))[0]
        for height, width in ((48, 16), (16, 48))
    )
    for run, (height, width) in ((tall, (48, 16)), (wide, (16, 48))):
        assert (run.manifest.sampling.height, run.manifest.sampling.width) == (height, width)
        assert all(site.grid[0] * width == site.grid[1] * height for site in run.sites)


def half(dtype: torch.dtype) -> Proof:
    def proof(family: str, folder: Path) -> None:
        (run,) = proved(tiny(family, dtype=dtype), folder, prompt=PROMPT, **size(family))
        name = str(dtype).removeprefix("torch.")
        assert (run.manifest.model.dtype, run.manifest.keep.dtype) == (name, name)

    return proof


def from_picture(family: str, folder: Path) -> None:
    kinds = {
        "sdxl": "StableDiffusionXLImg2ImgPipeline",
        "sd3": "StableDiffusion3Img2ImgPipeline",
        "sd35": "StableDiffusion3Img2ImgPipeline",
        "flux": "FluxImg2ImgPipeline",
    }
    pipe = of_kind(kinds.get(family, "StableDiffusionImg2ImgPipeline"), family)
    call = {**size(family), "num_inference_steps": 4, "strength": 0.5}
    if family not in ("sd3", "sd35", "flux"):
        del call["height"], call["width"]
    (run,) = proved(pipe, folder, prompt=PROMPT, image=picture(), **call)
    # It enters the timetable in the middle.
    assert len(run.steps) == 2 and run.manifest.sampling.steps == 4
    assert run.manifest.sampling.options["image"]["kind"] == "picture"
    assert (run.manifest.sampling.height, run.manifest.sampling.width) == (16, 32)


def inpainted(family: str, folder: Path) -> None:
    kind = "StableDiffusionXLInpaintPipeline" if family == "sdxl" else "StableDiffusionInpaintPipeline"
    call = {"image": picture(), "mask_image": picture(mode="L"), **size(family), "strength": 1.0}
    proved(of_kind(kind, family), folder, prompt=PROMPT, **call)


def inpainted_by_nine(family: str, folder: Path) -> None:
    """A UNet that is given the mask and the masked picture beside the latent: nine channels."""
    pipe = of_kind("StableDiffusionInpaintPipeline", family)
    unet = diffusers.UNet2DConditionModel.from_config(pipe.unet.config, in_channels=9)
    pipe.unet = unet.eval().requires_grad_(False)
    (run,) = proved(
        pipe,
        folder,
        prompt=PROMPT,
        image=picture(),
        mask_image=picture(mode="L"),
        strength=1.0,
        **size(family),
    )
    assert run.recording.latent(0).shape[1] == 9 and run.recording.pred_x0(0).shape[0] == 4


def controlled(family: str, folder: Path) -> None:
    pipe = tiny(family)
    control = diffusers.ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(8, 16))
    # One that says something: fresh ones end in zeros.
    torch.manual_seed(1)
    for block in (*control.controlnet_down_blocks, control.controlnet_mid_block):
        torch.nn.init.normal_(block.weight, std=0.1)
    kind = "StableDiffusionXLControlNetPipeline" if family == "sdxl" else "StableDiffusionControlNetPipeline"
    made = of_kind(kind, family, pipe, controlnet=control.eval().requires_grad_(False))
    (run,) = proved(made, folder, prompt=PROMPT, image=picture(), **size(family))
    # The control network has attention of its own, which is no site of the denoiser's.
    assert [site.name for site in run.sites] == [site.name for site in Lens(pipe).sites]


def of_kind(kind: str, family: str, pipe: Any = None, **parts: Any) -> Any:
    """Another pipeline of the same model."""
    made = getattr(diffusers, kind).from_pipe(pipe or tiny(family), **parts)
    made.set_progress_bar_config(disable=True)
    return made


def without_words(family: str, folder: Path) -> None:
    """Embeddings in place of the prompt: text keys have numbers, or words where the text is told."""
    pipe = tiny(family)
    call = size(family)
    given = embeddings(pipe, family)
    (run,) = proved(pipe, folder / "numbers", **given, **call)
    assert run.words == () or list(run.words) == []
    with ds.capture(pipe, prompt=PROMPT, out=folder / "words", previews=False) as session:
        pipe(**given, **call)
    assert [word.label for word in session.run.words] == ["a", "red", "cat"]


def embeddings(pipe: Any, family: str) -> dict[str, Any]:
    """What the pipeline's call takes in place of the prompt."""
    if family in ("sd15", "sd21"):
        made = pipe.encode_prompt(PROMPT, "cpu", 1, True)
        return dict(zip(("prompt_embeds", "negative_prompt_embeds"), made, strict=True))
    if family == "sdxl":
        names = (
            "prompt_embeds",
            "negative_prompt_embeds",
            "pooled_prompt_embeds",
            "negative_pooled_prompt_embeds",
        )
        return dict(zip(names, pipe.encode_prompt(PROMPT, device="cpu"), strict=True))
    if family == "pixart":
        names = (
            "prompt_embeds",
            "prompt_attention_mask",
            "negative_prompt_embeds",
            "negative_prompt_attention_mask",
        )
        made = pipe.encode_prompt(PROMPT, device="cpu", negative_prompt="", max_sequence_length=24)
        return {**dict(zip(names, made, strict=True)), "negative_prompt": None}
    if family == "flux":
        made = pipe.encode_prompt(PROMPT, None, device="cpu", max_sequence_length=24)
        return {"prompt_embeds": made[0], "pooled_prompt_embeds": made[1]}
    made = pipe.encode_prompt(PROMPT, None, None, device="cpu", max_sequence_length=24)
    names = (
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    )
    return dict(zip(names, made, strict=True))


def long_prompt(family: str, folder: Path) -> None:
    """A prompt longer than the text encoder, encoded in pieces that are put one after the other."""
    pipe = tiny(family)
    pieces = [pipe.encode_prompt(text, "cpu", 1, True) for text in ("a red cat", "a cattle dog")]
    (run,) = proved(
        pipe,
        folder,
        prompt_embeds=torch.cat([each[0] for each in pieces], dim=1),
        negative_prompt_embeds=torch.cat([each[1] for each in pieces], dim=1),
        **size(family),
    )
    assert run.manifest.text.length == 2 * pipe.tokenizer.model_max_length


def weighted(family: str, folder: Path) -> None:
    """A word's embedding made stronger keeps its place, so the word keeps its map."""
    pipe = tiny(family)
    cond, uncond = pipe.encode_prompt(PROMPT, "cpu", 1, True)
    cond = cond.clone()
    cond[:, 3] *= 1.4
    call = {"prompt_embeds": cond, "negative_prompt_embeds": uncond, **size(family)}
    proved(pipe, folder / "numbers", **call)
    with ds.capture(pipe, prompt=PROMPT, out=folder / "words", previews=False) as session:
        pipe(**call)
    assert session.run.word("cat").tokens == (3,)


# What is added to the model.


def with_lora(family: str, folder: Path) -> None:
    lora_of(family, folder, fused=False)


def with_fused_lora(family: str, folder: Path) -> None:
    lora_of(family, folder, fused=True)


def lora_of(family: str, folder: Path, *, fused: bool) -> None:
    peft = pytest.importorskip("peft")
    pipe, plain = tiny(family), tiny(family)
    kind = type(pipe)
    part = "unet" if hasattr(pipe, "unet") else "transformer"
    model = getattr(pipe, part)
    torch.manual_seed(2)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    model.add_adapter(peft.LoraConfig(r=2, init_lora_weights=False, target_modules=targets))
    from peft.utils import get_peft_model_state_dict

    kind.save_lora_weights(folder, **{f"{part}_lora_layers": get_peft_model_state_dict(model)})
    plain.load_lora_weights(folder)
    if fused:
        plain.fuse_lora()
    (run,) = proved(plain, folder / "runs", prompt=PROMPT, **size(family))
    (without,) = proved(tiny(family), folder / "without", prompt=PROMPT, **size(family))
    assert not np.array_equal(run.recording.output(0), without.recording.output(0)), "it changed nothing"


def image_prompted(family: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    """A pipeline with an image prompt (IP-Adapter), and the argument of its call that gives one."""
    from safetensors.torch import save_file

    pipe = tiny(family)
    width = pipe.unet.config.cross_attention_dim
    torch.manual_seed(3)
    state = {
        "image_proj.proj.weight": torch.randn(4 * width, 12),
        "image_proj.proj.bias": torch.zeros(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    crossing = [site for site in pipe.unet.attn_processors if "attn2" in site]
    modules = dict(pipe.unet.named_modules())
    for index, name in enumerate(crossing):
        channels = modules[name.removesuffix(".processor")].to_q.out_features
        for key in ("to_k_ip", "to_v_ip"):
            state[f"ip_adapter.{2 * index + 1}.{key}.weight"] = torch.randn(channels, width)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "adapter.safetensors")
    pipe.load_ip_adapter(
        str(folder), subfolder="", weight_name="adapter.safetensors", image_encoder_folder=None
    )
    return pipe, {"ip_adapter_image_embeds": [torch.randn(2, 1, 12)]}


def with_image_prompt(family: str, folder: Path) -> None:
    """IP-Adapter: a site's second kernel call is for the picture's keys, and is not recorded; the text's is."""
    pipe, call = image_prompted(family, folder)
    (run,) = proved(pipe, folder / "runs", prompt=PROMPT, **call, **size(family))
    assert all(site.keys == run.manifest.text.length for site in run.sites if site.kind == "cross")


def with_learned_token(family: str, folder: Path) -> None:
    """Textual inversion with two vectors: the learned token is one word of two tokens."""
    pipe = tiny(family)
    width = pipe.text_encoder.config.hidden_size
    torch.manual_seed(4)
    pipe.load_textual_inversion({"<toy>": torch.randn(2, width)}, token="<toy>")
    (run,) = proved(pipe, folder, prompt="a red <toy> and a cat", **size(family))
    assert [word.label for word in run.words] == ["a", "red", "<toy>", "and", "a#2", "cat"]
    assert [len(word.tokens) for word in run.words][2] == 2
    ids = pipe.tokenizer(pipe.maybe_convert_prompt(run.prompt, pipe.tokenizer)).input_ids
    assert [token.id for token in run.tokens][: len(ids)] == ids


def fused_projections(family: str, folder: Path) -> None:
    pipe = tiny(family)
    (pipe if hasattr(pipe, "fuse_qkv_projections") else pipe.transformer).fuse_qkv_projections()
    proved(pipe, folder, prompt=PROMPT, **size(family))


# How it is run.


def sliced(family: str, folder: Path) -> str:
    pipe = tiny(family)
    pipe.enable_attention_slicing("max")
    return refused(
        CoverageError,
        "attention slicing",
        lambda: Lens(pipe).record(PROMPT, steps=1, out=folder, **sides(family)),
    )


def sides(family: str) -> dict[str, Any]:
    return {name: value for name, value in size(family).items() if name != "num_inference_steps"}


def tiled(family: str, folder: Path) -> None:
    pipe = tiny(family)
    # Tiles smaller than the picture, so that there are several.
    pipe.vae.tile_sample_min_size, pipe.vae.tile_latent_min_size = 16, 8
    pipe.vae.enable_tiling()
    pipe.vae.enable_slicing()
    proved(pipe, folder, prompt=PROMPT, **size(family, 24, 40))


def offloaded(family: str, folder: Path) -> None:
    """Weights stay elsewhere until a part runs: here by accelerate's hooks onto the processor itself."""
    from accelerate import cpu_offload

    pipe = tiny(family)
    denoiser = Lens(pipe).family.denoiser(pipe)
    cpu_offload(denoiser, torch.device("cpu"))
    assert next(denoiser.parameters()).is_meta
    proved(pipe, folder / "plain", prompt=PROMPT, **size(family))
    run = Lens(pipe).record(PROMPT, steps=1, keep="qk", out=folder / "previews", **sides(family))
    assert run.complete and run.preview(0) is not None


def offloaded_whole(family: str, folder: Path) -> None:
    pipe = tiny(family)
    pipe.enable_model_cpu_offload(device="cpu")
    proved(pipe, folder / "plain", prompt=PROMPT, **size(family))
    run = Lens(pipe).record(PROMPT, steps=1, keep="qk", out=folder / "previews", **sides(family))
    assert run.complete and run.preview(0) is not None


def offloaded_in_groups(family: str, folder: Path) -> None:
    pipe = tiny(family)
    part = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    part.enable_group_offload(
        onload_device=torch.device("cpu"), offload_device=torch.device("cpu"), offload_type="leaf_level"
    )
    proved(pipe, folder, prompt=PROMPT, **size(family))


def compiled(family: str, folder: Path) -> str:
    pipe = tiny(family)
    part = "unet" if hasattr(pipe, "unet") else "transformer"
    lens = Lens(pipe)
    original = getattr(pipe, part)
    setattr(pipe, part, torch.compile(original))
    refused(UnsupportedModelError, "_orig_mod", lambda: Lens(pipe))
    refused(UnsupportedModelError, "compiled", lambda: lens.record(PROMPT, out=folder))
    setattr(pipe, part, getattr(pipe, part)._orig_mod)
    original.compile()
    return refused(UnsupportedModelError, "compiled", lambda: lens.record(PROMPT, out=folder))


def small_storage(family: str, folder: Path) -> None:
    """Weights kept in 8 bits and brought to the type of the computation layer by layer."""
    pipe = tiny(family)
    part = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    part.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    (run,) = proved(pipe, folder, prompt=PROMPT, **size(family))
    assert run.manifest.model.dtype == "float32"


def quantised(family: str, folder: Path) -> None:
    """Weights in 8-bit integers, with activations quantised as they come (torchao)."""
    pytest.importorskip("torchao")
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    pipe = tiny(family)
    quantize_(pipe.unet if hasattr(pipe, "unet") else pipe.transformer, Int8WeightOnlyConfig())
    proved(pipe, folder, prompt=PROMPT, **size(family))


def in_bits(bits: int) -> Callable[[str, Path], None]:
    """Weights in 8-bit integers or 4-bit floats, in the layers of bitsandbytes. Its loader in diffusers asks for a GPU;
    the layers do not, so they are put in by hand."""

    def layer(linear: torch.nn.Linear) -> torch.nn.Module:
        bnb = pytest.importorskip("bitsandbytes")
        form = (linear.in_features, linear.out_features, linear.bias is not None)
        if bits == 4:
            made = bnb.nn.Linear4bit(*form, compute_dtype=torch.float32, quant_type="nf4")
            made.weight = bnb.nn.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
        else:
            made = bnb.nn.Linear8bitLt(*form, has_fp16_weights=False)
            made.weight = bnb.nn.Int8Params(linear.weight.data, requires_grad=False, has_fp16_weights=False)
        made.bias = linear.bias
        small: torch.nn.Module = made.to("cpu")  # Weights are made small on their way to a device.
        return small

    def proof(family: str, folder: Path) -> None:
        pytest.importorskip("bitsandbytes")
        pipe = tiny(family)
        part = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
        linear = [name for name, each in part.named_modules() if type(each) is torch.nn.Linear]
        for name in linear:
            parent, _, leaf = name.rpartition(".")
            setattr(part.get_submodule(parent), leaf, layer(part.get_submodule(name)))
        kept = {4: torch.uint8, 8: torch.int8}[bits]
        assert {part.get_submodule(name).weight.dtype for name in linear} == {kept}
        proved(pipe, folder, prompt=PROMPT, **size(family))

    return proof


def from_gguf(family: str, folder: Path) -> None:
    """Weights of 8-bit blocks (Q8_0) from a GGUF file, written and opened as users do."""
    gguf = pytest.importorskip("gguf")
    pipe = tiny(family)
    folder.mkdir(exist_ok=True)
    # Blocks of 32: only layers of such a width are quantised, as by those who publish such files.
    writer = gguf.GGUFWriter(folder / "weights.gguf", arch=family)
    linear = {
        f"{name}.weight" for name, part in pipe.transformer.named_modules() if type(part) is torch.nn.Linear
    }
    small = 0
    for name, tensor in pipe.transformer.state_dict().items():
        weight = tensor.numpy()
        if name in linear and weight.shape[1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
            small += 1
        else:
            writer.add_tensor(name, weight)
    assert small
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    pipe.transformer.save_pretrained(folder / "transformer")
    pipe.transformer = type(pipe.transformer).from_single_file(
        str(folder / "weights.gguf"),
        quantization_config=diffusers.GGUFQuantizationConfig(compute_dtype=torch.float32),
        torch_dtype=torch.float32,
        config=str(folder),
        subfolder="transformer",
    )
    assert any(type(part).__name__ == "GGUFLinear" for part in pipe.transformer.modules())
    proved(pipe, folder, prompt=PROMPT, **size(family))


def cached(family: str, folder: Path) -> str:
    pipe = tiny(family)
    pipe.transformer.enable_cache(diffusers.FirstBlockCacheConfig(threshold=0.2))
    return refused(
        UnsupportedAttentionError,
        "disable_cache",
        lambda: Lens(pipe).record(PROMPT, steps=1, out=folder, **sides(family)),
    )


def other_backend(family: str, folder: Path) -> str:
    pipe = tiny(family)
    for module in pipe.transformer.modules():
        if hasattr(module, "processor"):
            module.processor._attention_backend = (
                diffusers.models.attention_dispatch.AttentionBackendName.SAGE
            )
    return refused(
        UnsupportedAttentionError,
        "'sage'.*reset_attention_backend",
        lambda: Lens(pipe).record(PROMPT, steps=1, out=folder, **sides(family)),
    )


def native_backend(family: str, folder: Path) -> None:
    pipe = tiny(family)
    pipe.transformer.set_attention_backend("native")
    proved(pipe, folder, prompt=PROMPT, **size(family))


def with_callback(family: str, folder: Path) -> None:
    """A callback that changes latents between steps, and latents as output."""
    pipe = tiny(family)

    def double(_pipe: Any, _step: int, _timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        return {"latents": given["latents"] * 1.1}

    (run,) = proved(pipe, folder, prompt=PROMPT, callback_on_step_end=double, **size(family))
    assert run.manifest.sampling.options["callback_on_step_end"] == {"kind": "function"}


def own_latents(family: str, folder: Path) -> None:
    pipe = tiny(family)
    shape = (1, 8 * 4, 16) if family == "flux" else (1, pipe.vae.config.latent_channels, 8, 16)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(9))
    (run,) = proved(pipe, folder, prompt=PROMPT, latents=latents, **size(family))
    assert run.manifest.sampling.options["latents"]["kind"] == "tensor"


# In the order of the page, in three parts: each is a test file of its own.

DRAWN: tuple[Way, ...] = (
    Way("guidance", guided, FAMILIES),
    Way("guidance off", unguided, ("sd15", "sdxl", "pixart", "sd3", "flux")),
    Way("several prompts, several pictures of each", several, ("sd15", "sdxl", "pixart", "sd3", "flux")),
    Way("negative prompt", negative, ("sd15", "sdxl", "pixart", "sd3", "flux")),
    Way("negative prompt, maps of its words", read_negative, ("sd15", "sdxl", "pixart", "sd3", "flux")),
    Way("tall and wide pictures", shapes, ("sd15", "sdxl", "pixart", "sd3", "flux")),
    Way("bfloat16", half(torch.bfloat16), FAMILIES),
    Way("float16", half(torch.float16), FAMILIES),
    Way("image to image", from_picture, ("sd15", "sdxl", "sd3", "flux"), ("pixart",)),
    Way("inpainting", inpainted, ("sd15", "sdxl"), ("pixart",)),
    Way("inpainting with 9 channels", inpainted_by_nine, ("sd15",), ("pixart", *JOINT)),
)
ADDED: tuple[Way, ...] = (
    Way("ControlNet", controlled, ("sd15", "sdxl")),
    Way("LoRA, loaded", with_lora, ("sd15", "sdxl", "sd3", "flux"), ("pixart",)),
    Way("LoRA, fused", with_fused_lora, ("sd15", "sdxl", "sd3", "flux"), ("pixart",)),
    Way("IP-Adapter", with_image_prompt, ("sd15", "sdxl"), ("pixart",)),
    Way("textual inversion, several vectors", with_learned_token, ("sd15", "sd21"), ("pixart",)),
    Way("prompt embeddings", without_words, ("sd15", "sdxl", "pixart", "sd3", "flux")),
    Way("weighted embeddings", weighted, ("sd15",)),
    Way("long prompt in pieces", long_prompt, ("sd15",), ("pixart", *JOINT)),
    Way("own latents", own_latents, ("sd15", "sdxl", "pixart", "sd3")),
    Way("callback between steps", with_callback, ("sd15", "sdxl", "sd3", "flux"), ("pixart",)),
)
RUN: tuple[Way, ...] = (
    Way("fused projections", fused_projections, ("sd15", "sdxl", "pixart", "sd3", "flux")),
    Way("VAE tiling and slicing", tiled, ("sd15", "sdxl")),
    Way("offloading, whole parts", offloaded_whole, ("sd15", "flux")),
    Way("offloading, layer by layer", offloaded, ("sd15", "sdxl", "sd3")),
    Way("offloading in groups", offloaded_in_groups, ("sd15", "flux")),
    Way("8-bit storage (layerwise casting)", small_storage, ("sd15", "pixart", "flux")),
    Way("quantised weights (torchao, int8)", quantised, ("sd15", "flux")),
    Way("quantised weights (bitsandbytes, 8 bits)", in_bits(8), ("sd15", "flux")),
    Way("quantised weights (bitsandbytes, 4 bits)", in_bits(4), ("sd15", "flux")),
    Way("quantised weights (GGUF, Q8_0)", from_gguf, ("sd3", "flux"), ("sd15", "sd21", "sdxl", "pixart")),
    Way("attention backend: native", native_backend, ("flux",)),
    Way("attention slicing", sliced, ("sd15", "sd21", "sdxl"), ("pixart", *JOINT)),
    Way("torch.compile", compiled, ("sd15", "sdxl", "pixart", "sd3", "flux")),
    Way("caching hooks", cached, ("flux",), UNETS),
    Way("attention backends other than native", other_backend, ("flux",)),
)
WAYS: tuple[Way, ...] = (*DRAWN, *ADDED, *RUN)
