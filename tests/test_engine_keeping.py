"""What is kept of a run's attention: limits, storage, masks, log-sum-exp, output projections, budget and estimate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from explicit_attention import explicit, watched_projections  # noqa: E402

from diffuscope import Lens  # noqa: E402
from diffuscope.errors import InputError, NotKeptError, RunFolderError, SelectionError, SizeError  # noqa: E402
from diffuscope.maps.self_attention import SelfAttention  # noqa: E402
from diffuscope.maps.token_attention import WordAttention  # noqa: E402
from diffuscope.recording import SCHEMA_VERSION, Recording  # noqa: E402
from diffuscope.run import Run  # noqa: E402
from diffuscope.testing import random_pipeline  # noqa: E402

PROMPT = "a red cat"
SIZE = {"width": 48, "height": 32}


@pytest.fixture(scope="module")
def lens():
    return Lens(random_pipeline())


def record(lens, out, **settings):
    return lens.record(PROMPT, **{"steps": 3, **SIZE, **settings}, out=out, previews=False)


@pytest.fixture(scope="module")
def full(lens, tmp_path_factory):
    """Everything kept, and an independent account of the same run."""
    with watched_projections(lens.pipe.unet) as seen:
        run = record(lens, tmp_path_factory.mktemp("full"), keep="qk", values=True)
    return run, seen


def agrees(ours, expected, absolute=1e-6):
    error = np.abs(np.asarray(ours, np.float64) - expected)
    return bool((error <= absolute).all() and (error <= 1e-4 * expected + 1e-12).all())


COLUMN = 1e-5
"""Columns rest on the kernel's own log-sum-exp, a float32."""


def of_kind(run, kind):
    return [site for site in run.sites if site.kind == kind]


# Self-attention in both directions.


def test_both_directions_of_self_attention_are_exact_at_every_site_head_and_call(full):
    run, seen = full
    attention = SelfAttention(run.recording)
    checked = 0
    for site in of_kind(run, "self"):
        for step in run.steps:
            call = seen[site.module][step.calls[0].index]
            row = step.calls[0].row
            truth = explicit(call["q"][row], call["k"][row], site.heads)
            cells = [0, 1, site.grid[0] * site.grid[1] - 1]
            for heads in (None, *([head] for head in range(site.heads))):
                mean = truth[slice(None) if heads is None else heads].mean(axis=0)
                assert agrees(attention.looks_at(site.name, step.index, cells, heads=heads), mean[cells])
                columns = attention.looked_at_by(site.name, step.index, cells, heads=heads)
                assert agrees(columns, mean[:, cells].T, COLUMN)
                checked += 1
    assert checked > 30


def test_the_kernels_log_sum_exp_is_kept_and_right(full):
    run, seen = full
    for site in of_kind(run, "self"):
        call = seen[site.module][1]
        dim = site.head_dim
        for head in range(site.heads):
            part = slice(head * dim, (head + 1) * dim)
            row = run.steps[1].calls[0].row
            scores = call["q"][row][:, part] @ call["k"][row][:, part].T / np.sqrt(dim)
            truth = np.log(np.exp(scores - scores.max()).sum(axis=1)) + scores.max()
            assert np.abs(run.recording.lse(site.name, 1)[head] - truth).max() < 1e-5


def test_without_a_recorded_log_sum_exp_it_is_computed_once(lens, full, tmp_path, monkeypatch):
    monkeypatch.setattr("diffuscope.engine.capture.session.lse_error", lambda attended, row: 1.0)
    run, recorded = record(lens, tmp_path, keep="qk"), full[0]
    site = of_kind(run, "self")[0].name
    with pytest.raises(NotKeptError):
        run.recording.lse(site, 0)
    attention = SelfAttention(run.recording)
    assert np.abs(attention.lse(site, 0) - recorded.recording.lse(site, 0)).max() < 1e-5
    monkeypatch.setattr("diffuscope.maps.self_attention.log_sum_exp", None)
    assert attention.lse(site, 0) is attention.lse(site, 0)


def test_a_kernel_whose_log_sum_exp_is_another_number_is_not_believed(lens, tmp_path, monkeypatch):
    from diffuscope.engine.capture import tap

    true = tap._with_lse

    def in_base_two(func, args, kwargs):
        output, lse = true(func, args, kwargs)
        return output, None if lse is None else lse / np.log(2)

    monkeypatch.setattr(tap, "_with_lse", in_base_two)
    run = record(lens, tmp_path, keep="qk", steps=1)
    with pytest.raises(NotKeptError):
        run.recording.lse(of_kind(run, "self")[0].name, 0)


def test_values_are_those_of_the_kernel_and_only_on_request(lens, full, tmp_path):
    run = full[0]
    site = of_kind(run, "self")[0]
    values = run.recording.values(site.name, 0)
    assert values.shape == (site.heads, site.keys, site.head_dim)
    with pytest.raises(NotKeptError):
        record(lens, tmp_path, keep="qk", steps=1).recording.values(site.name, 0)


def test_cells_and_sites_that_have_no_self_attention_are_refused(full):
    attention = SelfAttention(full[0].recording)
    site = of_kind(full[0], "self")[0]
    with pytest.raises(SelectionError, match="there is no cell 9999"):
        attention.looks_at(site.name, 0, [9999])
    with pytest.raises(SelectionError, match="no cell was named"):
        attention.looked_at_by(site.name, 0, [])
    with pytest.raises(SelectionError, match="are text"):
        attention.looks_at(of_kind(full[0], "cross")[0].name, 0, [0])


# Head contributions.


def test_gram_matrices_give_the_norm_of_what_a_head_adds(lens, full):
    run = full[0]
    modules = dict(lens.pipe.unet.named_modules())
    for site in run.sites:
        linear = modules[site.module].to_out[0]
        output = np.random.default_rng(0).normal(size=site.head_dim)
        gram = run.recording.gram(site.name)
        for head in range(site.heads):
            # What the head alone sends through the projection: its own columns of the weight.
            whole = np.zeros(site.heads * site.head_dim)
            whole[head * site.head_dim : (head + 1) * site.head_dim] = output
            added = linear.weight.detach().double().numpy() @ whole
            assert np.isclose(np.sqrt(output @ gram[head] @ output), np.linalg.norm(added), rtol=1e-4)


# Limits.


def test_limits_keep_what_they_name_and_the_rest_is_refused(lens, full, tmp_path):
    run = record(lens, tmp_path, keep="qk", keep_steps="1:3", keep_heads="1:", grids="16x24")
    whole, reader = full[0].recording, run.recording
    cross, self_ = (
        next(site for site in of_kind(run, kind) if site.grid == [16, 24]) for kind in ("cross", "self")
    )
    assert reader.attended_steps == (1, 2)
    assert reader.heads(cross.name) == tuple(range(1, cross.heads))
    for name in (cross.name, self_.name):
        assert np.array_equal(reader.query(name, 2), whole.query(name, 2)[1:])
        assert np.array_equal(reader.keys(name, 2), whole.keys(name, 2)[1:])
    assert np.array_equal(reader.latent(0), whole.latent(0)), "latents are kept of every step"
    assert np.array_equal(
        run.word("cat").map(sites=cross.name).array, full[0].word("cat").map("1:3", cross.name).array
    )
    ours, theirs = (each.word("cat").map("2", cross.name, heads=1).array for each in (run, full[0]))
    assert np.array_equal(ours, theirs)
    with pytest.raises(NotKeptError, match="attention of"):
        run.word("cat").map(steps=0)
    with pytest.raises(NotKeptError, match="attention of step 0 was not kept"):
        reader.query(cross.name, 0)
    with pytest.raises(NotKeptError, match="heads were not kept: 0"):
        run.word("cat").map(steps=2, sites=cross.name, heads=0)
    with pytest.raises(NotKeptError, match="was not kept"):
        reader.query(next(site.name for site in run.sites if site.grid != [16, 24]), 2)


def test_heads_that_only_some_sites_have_are_kept_where_they_are(lens, tmp_path):
    run = record(lens, tmp_path, keep="cross", keep_heads="3", steps=1)
    heads = {site.heads for site in of_kind(run, "cross")}
    assert heads == {2, 4}
    for site in of_kind(run, "cross"):
        assert run.recording.heads(site.name) == ((3,) if site.heads == 4 else ())
        assert len(run.recording.query(site.name, 0)) == (1 if site.heads == 4 else 0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"keep_steps": "5:9"}, SelectionError, "out of range"),
        ({"keep_heads": "x"}, SelectionError, "bad keep_heads"),
        ({"grids": "16"}, SelectionError, "height x width"),
        ({"grids": "7x7"}, SelectionError, "there are: 16x24, 8x12"),
        ({"width": 36}, SizeError, "multiple of 8; 32"),
        ({"store": "float8"}, InputError, "kernel, float16"),
        ({"budget": "much"}, InputError, "500MB"),
        ({"budget": 0}, InputError, "room"),
        ({"keep": "all"}, InputError, "maps, cross, qk"),
    ],
)
def test_bad_limits_are_refused_and_leave_nothing(lens, tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        record(lens, tmp_path / "runs", **settings)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# Storage in float16.


def test_float16_storage_states_the_error_it_makes(lens, full, tmp_path):
    run, exact = record(lens, tmp_path, keep="qk", store="float16"), full[0]
    assert run.manifest.keep.dtype == "float16"
    worst = 0.0
    for site in of_kind(run, "cross"):
        for step in run.steps:
            assert run.recording.query(site.name, step.index).dtype == np.float16
            for head in range(site.heads):
                ours, theirs = (
                    each.word("cat").map(step.index, site.name, head, size=None) for each in (run, exact)
                )
                worst = max(worst, float(np.abs(ours.array - theirs.array).max()))
    stated = max(step.rounding for step in run.steps)
    assert 0 < worst <= stated * 1.01 + 1e-7, "no word of one token can be off by more than any token's worst"
    assert all(step.rounding is None for step in exact.steps)
    assert np.array_equal(run.word("cat").map().array, exact.word("cat").map().array), (
        "word maps are not rounded"
    )


def test_queries_beyond_float16_are_refused(tmp_path):
    pipe = random_pipeline()
    lens = Lens(pipe)
    with torch.no_grad():
        site = lens.sites[1].module
        site.to_q.weight.mul_(1e7)
    from diffuscope.errors import CaptureError

    with pytest.raises(CaptureError, match="beyond float16's range"):
        record(lens, tmp_path, keep="qk", store="float16")


# Masks.


def masked_processor(mask):
    """A processor that hands its mask to the kernel, as models with padded text do."""
    from diffusers.models.attention_processor import AttnProcessor2_0

    class Masked(AttnProcessor2_0):
        def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
            from torch.nn import functional

            text = hidden_states if encoder_hidden_states is None else encoder_hidden_states

            def heads(states):
                return states.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

            output = functional.scaled_dot_product_attention(
                heads(attn.to_q(hidden_states)), heads(attn.to_k(text)), heads(attn.to_v(text)), **mask(text)
            )
            return attn.to_out[0](output.transpose(1, 2).flatten(2))

    return Masked()


def leave_out(text):
    keep = torch.ones(len(text), 1, 1, text.shape[1], dtype=torch.bool)
    keep[..., 2] = False
    return {"attn_mask": keep}


def push_down(text):
    bias = torch.zeros(len(text), 1, 1, text.shape[1])
    bias[..., 1] = -1.5
    bias[..., 3] = 2.0
    return {"attn_mask": bias}


def in_order(text):
    return {"is_causal": True}


@pytest.mark.parametrize(
    ("mask", "kind", "causal"),
    [(leave_out, "boolean", False), (push_down, "additive", False), (in_order, "none", True)],
)
@pytest.mark.parametrize("what", ["cross", "self"])
def test_masks_are_recorded_and_taken_into_every_map(tmp_path, mask, kind, causal, what):
    pipe = random_pipeline()
    attribute = "attn2" if what == "cross" else "attn1"
    processors = {
        name: masked_processor(mask) if f".{attribute}." in name else processor
        for name, processor in pipe.unet.attn_processors.items()
    }
    pipe.unet.set_attn_processor(processors)
    plain = pipe(PROMPT, num_inference_steps=2, **SIZE, generator=torch.Generator().manual_seed(0)).images[0]
    lens = Lens(pipe)
    with watched_projections(pipe.unet) as seen:
        run = lens.record(PROMPT, steps=2, **SIZE, keep="qk", out=tmp_path, previews=False)
    assert np.array_equal(np.asarray(run.image), np.asarray(plain))
    attention = SelfAttention(run.recording)
    for site in of_kind(run, what):
        assert (site.mask, site.causal) == (kind, causal)
        queries = site.grid[0] * site.grid[1]
        step = run.steps[1]
        call = seen[site.module][1]
        row = step.calls[0].row
        bias = np.zeros((queries, site.keys))
        if mask is leave_out:
            bias[:, 2] = -np.inf
        elif mask is push_down:
            bias[:, 1], bias[:, 3] = -1.5, 2.0
        else:
            bias[~np.tri(queries, site.keys, dtype=bool)] = -np.inf
        truth = explicit(call["q"][row], call["k"][row], site.heads, bias).mean(axis=0)
        if what == "cross":
            token = next(word.tokens[0] for word in run.words if word.label == "cat")
            assert agrees(run.recording.word_maps(site.name, 1)[token], truth[:, token])
            first = explicit(call["q"][row], call["k"][row], site.heads, bias)[0]
            own = WordAttention(run.recording).at(site.name, [1], {token: 1.0}, [0])[0]
            assert agrees(own, first[:, token])
        else:
            cells = [0, 3, queries - 1]
            assert agrees(attention.looks_at(site.name, 1, cells), truth[cells])
            assert agrees(attention.looked_at_by(site.name, 1, cells), truth[:, cells].T, COLUMN)


# Bringing tensors to the disk's side.


def test_a_tensor_that_is_changed_before_it_is_written_is_never_written_as_if_it_were_not():
    from diffuscope.engine.capture.carry import Carrier
    from diffuscope.errors import CaptureError

    whole = torch.arange(12.0).reshape(3, 4)
    kept = Carrier()(whole[1])
    assert kept.nbytes == whole.numel() * 4, "a row keeps its whole batch from being freed"
    assert np.array_equal(kept(), [4, 5, 6, 7])
    whole.mul_(2)
    with pytest.raises(CaptureError, match="changed a tensor in place"):
        kept()
    with torch.inference_mode():
        made = torch.ones(3)
        kept = Carrier()(made)
        made.mul_(2)
    assert np.array_equal(kept, [1, 1, 1]), "tensors without a count of changes are copied at once"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_tensors_keep_their_type_and_numbers_whatever_their_layout(dtype):
    from diffuscope.engine.capture.carry import Carrier

    tensor = torch.arange(24).reshape(2, 3, 4).to(dtype).transpose(0, 2)
    kept = Carrier()(tensor)()
    assert kept.shape == (4, 3, 2)
    assert np.array_equal(kept.astype(np.float64), tensor.double().numpy())


def test_text_is_the_same_to_the_bit_or_is_not_the_same():
    from diffuscope.engine.capture.carry import SameText

    same, text = SameText(), [torch.zeros(2, 3, 4).transpose(0, 1), torch.ones(5, dtype=torch.bfloat16)]
    assert not same(text)
    assert same(text) and same([each.clone() for each in text])
    text[0][1, 1, 1] = -0.0
    assert not same(text), "changed in place, and equal as a number"
    assert same(text)
    assert not same(text[:1])
    assert not same([text[0].reshape(3, 8)])
    text[0][0, 0, 0] = torch.nan
    assert not same(text[:1])
    assert same(text[:1])


def test_what_a_call_keeps_is_gathered_in_the_order_of_its_file():
    from diffuscope.engine.capture.carry import Carrier
    from diffuscope.engine.capture.packing import Packer
    from diffuscope.recording.tensors import safetensors_parts

    tensors = {
        "q/self:mid": torch.arange(24.0).reshape(2, 3, 4).transpose(0, 1),
        "lse/self:mid": torch.tensor(2.5),
        "k/self:mid": torch.arange(6).to(torch.bfloat16),
        "empty": torch.zeros(0, 4),
        "a": torch.arange(3, dtype=torch.float64)[::2],
    }
    pack = Packer(Carrier())
    given = pack(tensors, 7)
    expected = {f"{name}@7": tensor.double().numpy().copy() for name, tensor in tensors.items()}
    for tensor in tensors.values():
        tensor.add_(1)  # They belong to the model again.
    arrays = {name: each() for name, each in given.items()}
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert (
            np.array_equal(array.astype(np.float64), expected[name]) and array.shape == expected[name].shape
        )
    assert sum(each.nbytes for each in given.values()) == sum(array.nbytes for array in arrays.values())
    _, *pieces = safetensors_parts(arrays)
    assert len(pieces) == 1, "the file takes them as they lie"
    assert np.shares_memory(np.frombuffer(pieces[0], np.uint8), arrays["q/self:mid@7"].view(np.uint8))


@pytest.mark.parametrize("inference", [False, True])
def test_memory_is_used_again_when_nobody_has_it_any_more(inference):
    from diffuscope.engine.capture.carry import Carrier
    from diffuscope.engine.capture.packing import Packer

    pack = Packer(Carrier())
    with torch.inference_mode(inference):
        one, two = (pack({"a": torch.full((4,), value), "b": torch.zeros(2)}, 0) for value in (1.0, 2.0))
        first = one["a@0"]()
        assert list(first) == [1.0] * 4, "the second has memory of its own"
        del one
        three = pack({"a": torch.full((4,), 3.0), "b": torch.zeros(2)}, 1)
        other = pack({"a": torch.full((4,), 4.0), "b": torch.zeros(3)}, 1)
    assert np.shares_memory(three["a@1"](), first)
    assert not np.shares_memory(other["a@1"](), first)
    assert list(two["a@0"]()) == [2.0] * 4 and list(three["a@1"]()) == [3.0] * 4


def test_timesteps_are_read_without_asking_the_tensor_where_they_are_pieces_of_the_timetable():
    from diffuscope.engine.capture.carry import Timetable

    table = torch.tensor([999.0, 666.0, 666.0, 0.0])
    timetable = Timetable(table)
    assert timetable.values == [999.0, 666.0, 666.0, 0.0]
    for index, piece in enumerate(table):
        assert timetable.value(piece) == timetable.values[index]
        assert timetable.value(piece.expand(2)) == timetable.values[index]
    table[1] = 5.0
    assert timetable.value(table[1]) == 666.0, "it was not read again"
    assert timetable.value(torch.tensor([7.0, 7.0])) == 7.0
    assert timetable.value(3) == 3.0
    assert timetable.value(table.long()[3]) == 0.0


# Budget and estimate.


def size_on_disk(run):
    return sum(path.stat().st_size for path in Path(run.path).rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "settings",
    [
        {"keep": "qk"},
        {"keep": "cross"},
        {"keep": "maps"},
        {"keep": "qk", "values": True, "store": "float16"},
        {"keep": "qk", "grids": "16x24", "keep_steps": "2:6", "keep_heads": "0:2", "images_per_prompt": 2},
    ],
)
def test_the_estimate_is_within_five_percent_of_what_is_written(lens, tmp_path, settings):
    settings = {"steps": 8, "width": 96, "height": 64, **settings}
    estimated = lens.estimate(PROMPT, previews=False, **settings)
    runs = record(lens, tmp_path, **settings)
    runs = runs if isinstance(runs, list) else [runs]
    truth = sum(size_on_disk(run) for run in runs)
    assert abs(estimated.total - truth) < 0.05 * truth
    assert estimated.level == settings["keep"]
    assert runs[0].manifest.keep.estimate == estimated.bytes[estimated.level]
    assert json.loads(json.dumps(estimated.to_json()))["total"] == estimated.total


def test_the_level_is_the_highest_that_fits_the_budget(lens, tmp_path):
    sizes = lens.estimate(PROMPT, steps=3, **SIZE, previews=False).bytes
    assert sizes["maps"] < sizes["cross"] < sizes["qk"]
    for level, budget in (("qk", sizes["qk"]), ("cross", sizes["qk"] - 1), ("maps", sizes["cross"] - 1)):
        assert record(lens, tmp_path, budget=budget).manifest.keep.level == level
    heard = []
    run = record(lens, tmp_path, budget="1kB", on_estimate=heard.append)
    assert run.manifest.keep.level == "maps" and not heard[0].fits
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert next(event for event in events if event["event"] == "estimate")["budget"] == 1000


def test_an_estimate_writes_nothing_and_leaves_nothing_behind(lens, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {name: module.forward for name, module in lens.pipe.unet.named_modules()}
    lens.estimate(PROMPT, steps=3, **SIZE)
    assert not list(tmp_path.iterdir())
    assert all(module.forward == before[name] for name, module in lens.pipe.unet.named_modules())
    with pytest.raises(TypeError, match="'stepz'"):
        lens.estimate(PROMPT, stepz=3)


def test_a_disk_without_room_is_refused_before_anything_is_written(lens, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(RunFolderError, match="1 byte"):
        record(lens, tmp_path)
    assert not list(tmp_path.iterdir())


# Older versions.


def test_a_run_of_every_older_version_is_read():
    fixtures = Path(__file__).with_name("fixtures")
    versions = range(1, SCHEMA_VERSION + 1)
    assert [path.name for path in sorted(fixtures.glob("run-schema-*"))] == [
        f"run-schema-{n}" for n in versions
    ]
    maps = []
    for version in versions:
        run = Run.open(fixtures / f"run-schema-{version}")
        assert run.manifest.schema_version == version
        assert Recording.open(run.path).attended_steps == (0, 1)
        maps.append(run.word("circle").map(heads="0:2").array)
        assert SelfAttention(run.recording).looked_at_by("self:mid", 1, [0]).shape == (1, 6)
    assert all(np.array_equal(each, maps[0]) for each in maps)
