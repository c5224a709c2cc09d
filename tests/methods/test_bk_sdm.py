from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from aptp_bench.budget import TOLERANCE, Budget
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.errors import BudgetError, ConfigError, PruningError
from aptp_bench.methods.bk_sdm import BKSDM, Member, Offer, build, dense, family, fixed, nearest, path, priced
from aptp_bench.models.checkpoint import load_unet, save_unet
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.stable_diffusion import MINI_GEOMETRY, SD15, Geometry
from aptp_bench.plugins import Job
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.macs import count, example_inputs, parameters
from aptp_bench.pruning.surgery import cut, meta_clone
from aptp_bench.training import finetune as finetuning
from aptp_bench.training.finetune import finetune
from aptp_bench.training.latents import Pairs

CPU = torch.device("cpu")
BASE, SMALL, TINY = Member((1, 1, 1, 1), True), Member((1, 1, 1, 1), False), Member((1, 1, 1), False)
WHOLE = Member((2, 2, 2, 2), True)

TABLE = """
2222 1384.2 1074.6 865.9 1370.9 1061.1 768.2
2221 1373.1 1063.5 785.6 1359.8 1050.0 687.9
2212 1298.6 990.1 714.8 1285.3 976.6 617.1
2211 1287.5 979.0 634.5 1274.2 965.5 536.8
2122 1274.6 978.2 826.0 1261.3 964.7 728.3
2121 1263.5 967.1 745.7 1250.2 953.6 648.0
2112 1189.1 893.8 674.8 1175.7 880.3 577.2
2111 1178.0 882.7 594.5 1164.6 869.2 496.9
1222 1082.8 882.7 854.9 1069.5 869.2 757.2
1221 1071.7 871.6 774.6 1058.4 858.1 676.9
1212 997.3 798.3 703.7 983.9 784.8 606.0
1211 986.2 787.2 623.4 972.8 773.7 525.7
1122 973.3 786.4 814.9 959.9 772.9 717.2
1121 962.2 775.3 734.6 948.8 761.8 636.9
1112 887.7 701.9 663.8 874.4 688.4 566.1
1111 876.6 690.8 583.5 863.3 677.4 485.8
222 1385.8 1075.4 626.7 1331.2 1021.4 529.0
221 1300.2 991.0 475.5 1245.6 937.0 377.8
212 1276.2 979.1 586.7 1221.6 925.1 489.0
211 1190.7 894.6 435.6 1136.1 840.6 337.9
122 1084.4 883.6 615.6 1029.8 829.6 517.9
121 998.8 799.2 464.5 944.3 745.1 366.8
112 974.9 787.3 575.7 920.3 733.2 478.0
111 889.3 702.8 424.5 834.7 648.8 326.8
"""  # SD 2.1 at 96x96: layers; with mid block aptp G, exact G, parameters M; the same without. Rounded twice, so to 0.055
ROUNDED = 0.0551

PUBLISHED = [(579.4, 223.7, 261.5), (482.3, 217.7, 255.5), (323.4, 205.0, 242.8)]
# Base, Small, Tiny of SD 1.5 at 64x64: parameters M, modules G, exact G


@pytest.fixture(scope="module")
def offers(sd21: UNet2DConditionModel) -> dict[str, dict[Member, Offer]]:
    """SD 2.1's family, priced in two conventions."""
    return {name: priced(sd21, WHOLE, example_inputs(sd21), name) for name in ("aptp", "exact")}


@pytest.fixture(scope="module")
def small() -> StableDiffusionPipeline:
    """The mini world's topology, a few thousand parameters."""
    sizes = {"block_out_channels": (8, 8, 16, 16), "attention_head_dim": [2, 2, 4, 4], "norm_num_groups": 4}
    sizes |= {"cross_attention_dim": 16, "addition_embed_type_num_heads": 4}
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"projection_dim": 16, "vocab_size": 514, "max_position_embeddings": 12}
    vae = {"block_out_channels": (8, 8, 8)}
    geometry = Geometry(MINI_GEOMETRY.unet | sizes, MINI_GEOMETRY.vae | vae, MINI_GEOMETRY.text | text)
    return geometry.build()


@pytest.fixture(scope="module")
def choice(small: StableDiffusionPipeline) -> dict[Member, Offer]:
    """The family of `small`, priced as pruning does."""
    return priced(small.unet, WHOLE, example_inputs(small.unet, tokens=12), "exact")


def job(teacher: Any, ratio: float, folder: Path, convention: str = "exact") -> Job:
    none = Pairs([], torch.empty(0, 4, 8, 8), torch.empty(0, 32, 128))
    return Job(teacher, none, Budget.of(ratio, convention), 0, CPU, folder, SilentProgress(), "mini")


def inputs(unet: Any, batch: int = 2, size: tuple[int, int] = (8, 8)) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(batch, 5, unet.config.cross_attention_dim, generator=generator)
    return torch.randn(batch, 4, *size, generator=generator), torch.arange(batch) * 300, text


def unet_of(device: str = "meta", **config: Any) -> UNet2DConditionModel:
    """A U-Net of two stages, as wide as each other."""
    two: dict[str, Any] = {"sample_size": 8, "block_out_channels": (8, 8), "norm_num_groups": 4}
    two |= {"attention_head_dim": 2, "cross_attention_dim": 16}
    two |= {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
    two |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    with torch.device(device):
        return UNet2DConditionModel(**(two | config)).eval()


def same(a: UNet2DConditionModel, b: UNet2DConditionModel) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def table() -> dict[Member, tuple[float, ...]]:
    rows = [line.split() for line in TABLE.split("\n") if line]
    layers = [tuple(map(int, row[0])) for row in rows]
    values = [tuple(map(float, row[1:])) for row in rows]
    with_mid = {Member(stage, True): row[:3] for stage, row in zip(layers, values, strict=True)}
    return with_mid | {Member(stage, False): row[3:] for stage, row in zip(layers, values, strict=True)}


def test_the_48_members_of_sd21_cost_what_the_table_says(offers: Any) -> None:
    assert offers["aptp"].keys() == offers["exact"].keys() == table().keys() and len(table()) == 48
    for member, (aptp, exact, size) in table().items():
        assert offers["aptp"][member].macs / 1e9 == pytest.approx(aptp, abs=ROUNDED), member
        assert offers["exact"][member].macs / 1e9 == pytest.approx(exact, abs=ROUNDED), member
        assert offers["exact"][member].parameters / 1e6 == pytest.approx(size, abs=ROUNDED), member


@pytest.mark.parametrize("member", [SMALL, Member((1, 2, 1), True)], ids=str)
def test_a_price_is_the_count_of_the_network_itself(sd21: Any, offers: Any, member: Member) -> None:
    unet = build(sd21, member)
    for convention, priced_in in offers.items():
        assert priced_in[member].macs == count(unet, example_inputs(unet), convention).total
        assert priced_in[member].ratio == priced_in[member].macs / priced_in[WHOLE].macs
    assert offers["exact"][member].parameters == parameters(unet)


def test_base_small_and_tiny_have_their_published_sizes() -> None:
    unet, (sizes, *macs) = SD15().skeleton(), zip(*PUBLISHED, strict=True)
    digits = {"modules": 0.2, "exact": ROUNDED}  # their counter of modules leaves out more than torch-pruning's
    for convention, column in zip(digits, macs, strict=True):
        offers = priced(unet, WHOLE, example_inputs(unet, 64), convention)
        three = [offers[member] for member in (BASE, SMALL, TINY)]
        assert [offer.macs / 1e9 for offer in three] == pytest.approx(list(column), abs=digits[convention])
        assert [offer.parameters / 1e6 for offer in three] == pytest.approx(list(sizes), abs=ROUNDED)


def test_the_three_variants_of_sd21_have_their_parameters_to_the_digit(offers: Any) -> None:
    sizes = {member: offers["exact"][member].parameters for member in (BASE, SMALL, TINY)}
    assert sizes == {BASE: 583_480_964, SMALL: 485_787_524, TINY: 326_825_604}


def test_variants_are_those_of_the_papers(offers: Any) -> None:
    papers = {"paper-cc3m": Member((2, 1, 1, 1), True), "paper-coco": Member((1, 2, 2, 2), True)}
    for variant, member in {"base": BASE, "small": SMALL, "tiny": TINY, **papers}.items():
        assert fixed(variant, WHOLE, offers["aptp"]) == member


def test_a_variant_is_taken_whatever_the_budget_and_says_what_it_costs(small: Any, choice: Any, tmp_path: Path) -> None:
    mixture = BKSDM(variant="tiny").prune(job(small, 0.99, tmp_path))
    assert len(mixture) == 1 and same(mixture.experts[0], build(small.unet, TINY))
    assert str(TINY) in mixture.remark and f"{choice[TINY].ratio:.4f}" in mixture.remark
    met = BKSDM(variant="base").prune(job(small, choice[BASE].ratio + 0.004, tmp_path))
    assert met.remark == ""


@pytest.mark.parametrize("convention", ["aptp", "exact"])
def test_the_nearest_member_is_taken_and_below_is_never_above_the_tolerance(offers: Any, convention: str) -> None:
    pool = list(offers[convention].values())
    for percent in range(61, 101):
        budget = Budget.of(percent / 100, convention)
        allowed = [offer for offer in pool if offer.ratio <= budget.ratio + TOLERANCE]
        for side, among in (("either", pool), ("below", allowed)):
            offer = nearest(pool, budget, side)
            assert offer in among
            assert abs(offer.ratio - budget.ratio) == min(abs(other.ratio - budget.ratio) for other in among)
    assert nearest(pool, Budget.of(1.0, convention), "below").member == WHOLE


def test_a_budget_of_the_paper_chooses_the_member_of_its_table(offers: Any) -> None:
    offer = nearest(offers["aptp"].values(), Budget.of(0.78, "aptp"), "either")
    assert offer.member == Member((1, 2, 2, 2), True) and offer.ratio == pytest.approx(0.7823, abs=6e-5)


def test_of_two_as_near_the_one_with_more_parameters() -> None:
    pool = [Offer(Member((n,), True), 78, 0.78, n) for n in (1, 3, 2)]
    assert nearest(pool, Budget.of(0.78), "below").parameters == 3


def test_the_inner_path_of_sd21(offers: Any) -> None:
    way = path(WHOLE, offers["aptp"])
    costs = [offers["aptp"][member].macs / 1e9 for member in way]
    assert costs == pytest.approx([1384.2, 1370.9, 1359.8, 1274.2, 1164.6, 863.3, 834.7], abs=ROUNDED)
    assert [(len(member.layers), member.mid) for member in way] == [(4, True), *[(4, False)] * 5, (3, False)]


def test_order_inner_stays_on_the_path(small: Any, choice: Any, tmp_path: Path) -> None:
    rich, poor = path(WHOLE, choice)[2:4]
    budget = 0.8 * choice[rich].ratio + 0.2 * choice[poor].ratio
    for side, member in (("either", rich), ("below", poor)):
        mixture = BKSDM(order="inner", side=side).prune(job(small, budget, tmp_path))
        assert same(mixture.experts[0], build(small.unet, member))


def test_what_misses_the_budget_names_the_members_around_it(small: Any, choice: Any, tmp_path: Path) -> None:
    ranked = sorted(choice.values(), key=lambda offer: offer.ratio)
    above, below = max(zip(ranked[1:], ranked, strict=False), key=lambda pair: pair[0].ratio - pair[1].ratio)
    remark = BKSDM().prune(job(small, (above.ratio + below.ratio) / 2, tmp_path)).remark
    for offer in (above, below):
        assert str(offer.member) in remark and f"{offer.ratio:.4f}" in remark
    least = BKSDM(side="either").prune(job(small, 0.3, tmp_path)).remark
    assert str(TINY) in least and f"{choice[TINY].ratio:.4f}" in least
    assert BKSDM().prune(job(small, below.ratio, tmp_path)).remark == ""


def test_a_budget_below_the_smallest_member_is_refused(small: Any, choice: Any, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=rf"{choice[TINY].ratio:.4f}.*--budget"):
        BKSDM().prune(job(small, 0.3, tmp_path))


def test_every_member_runs_on_the_teachers_own_weights() -> None:
    unet = unet_of("cpu", layers_per_block=2).requires_grad_(False)
    x, t, text = inputs(unet)
    outputs = []
    for member in family(unet, dense(unet)):
        student = build(unet, member)
        assert not student.training and not any(p.requires_grad for p in student.parameters())
        outputs.append(student(x, t, text).sample)
        assert outputs[-1].shape == x.shape and outputs[-1].isfinite().all()
    assert len(outputs) == 12 and torch.allclose(outputs[0], unet(x, t, text).sample)
    assert len({float(output.sum()) for output in outputs}) == 12


@pytest.mark.parametrize("member", [BASE, TINY, Member((2, 1, 2, 1), False)], ids=str)
def test_files_give_the_same_network_and_other_sizes_run(small: Any, tmp_path: Path, member: Member) -> None:
    student = build(small.unet, member)
    save_unet(student, tmp_path / "unet")
    loaded = load_unet(tmp_path / "unet").requires_grad_(False)
    assert same(student, loaded)
    for batch, size in ((2, (8, 8)), (3, (16, 24))):
        given = inputs(small.unet, batch, size)
        torch.testing.assert_close(student(*given).sample, loaded(*given).sample)


def test_weights_are_the_teachers_under_the_papers_renaming(small: Any) -> None:
    """Its middle decoder layers went, and Tiny's decoder begins a stage later."""
    given = small.unet.state_dict()
    base, tiny = build(small.unet, BASE).state_dict(), build(small.unet, TINY).state_dict()
    for kind in ("resnets.1.conv1.weight", "attentions.1.proj_in.weight"):
        for stage in (1, 2, 3):
            last = given[f"up_blocks.{stage}.{kind.replace('.1.', '.2.', 1)}"]
            assert torch.equal(base[f"up_blocks.{stage}.{kind}"], last)
            assert torch.equal(tiny[f"up_blocks.{stage - 1}.{kind}"], last)
    for name in ("upsamplers.0.conv.weight", "resnets.0.conv1.weight"):
        assert torch.equal(tiny[f"up_blocks.0.{name}"], given[f"up_blocks.1.{name}"])
    for student in (base, tiny):
        same_names = [name for name in student if not name.startswith("up_blocks")]
        assert all(torch.equal(student[name], given[name]) for name in same_names)
        assert any(name.startswith("add_embedding.") for name in same_names)
    assert not [name for name in tiny if name.startswith(("mid_block", "down_blocks.3", "down_blocks.2.downsamplers"))]


@pytest.mark.parametrize("member", [WHOLE, TINY], ids=str)
def test_students_share_no_memory_with_the_teacher(small: Any, member: Member) -> None:
    before = {name: tensor.clone() for name, tensor in small.unet.state_dict().items()}
    student = build(small.unet, member)
    theirs = {tensor.untyped_storage().data_ptr() for tensor in small.unet.state_dict().values()}
    assert not theirs & {tensor.untyped_storage().data_ptr() for tensor in student.state_dict().values()}
    for parameter in student.parameters():
        parameter.fill_(7.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in small.unet.state_dict().items())


def test_pruning_keeps_the_configuration_the_dtype_and_in_a_file_the_remark(small: Any, tmp_path: Path) -> None:
    config = dict(small.unet.config)
    mixture = BKSDM().prune(job(small, 0.78, tmp_path))
    assert dict(small.unet.config) == config
    mixture.save(tmp_path / "mixture")
    assert Mixture.load(tmp_path / "mixture").remark == mixture.remark
    half = meta_clone(small.unet).to(torch.bfloat16)
    assert {p.dtype for p in build(half, BASE).parameters()} == {torch.bfloat16}


def test_the_budget_is_met_in_its_own_convention(small: Any, tmp_path: Path) -> None:
    mixture = BKSDM().prune(job(small, 0.78, tmp_path, "modules"))
    given = example_inputs(small.unet, tokens=12)
    whole, macs = (count(net, given, "modules").total for net in (small.unet, mixture.experts[0]))
    assert macs / whole <= 0.78 + TOLERANCE
    assert (macs / whole < 0.78 - TOLERANCE) == ("modules" in mixture.remark)


def test_any_number_of_layers_and_stages() -> None:
    unet = unet_of(layers_per_block=3, attention_head_dim=[2, 2])
    members = family(unet, dense(unet))
    assert len(members) == 2 * (9 + 3) and members[0] == Member((3, 3), True)
    uneven = unet_of(layers_per_block=[1, 3])
    assert {member.layers for member in family(uneven, dense(uneven))} == {(1, 3), (1, 2), (1, 1), (1,)}
    for member in members[::4]:
        student = build(unet, member)
        assert len(student.down_blocks) == len(member.layers)
        assert student(**example_inputs(student)).sample.shape == (1, 4, 8, 8)
    names = {name: Member((3, 2), True).source(name, members[0]) for name in build(unet, members[6]).state_dict()}
    sources = {name.split(".conv1")[0]: names[name] for name in names if name.endswith("conv1.weight")}
    assert sources["up_blocks.0.resnets.1"] == "up_blocks.0.resnets.1.conv1.weight"
    assert sources["up_blocks.0.resnets.2"] == "up_blocks.0.resnets.3.conv1.weight"


def test_the_innermost_stage_stays_where_the_next_one_is_unlike_it() -> None:
    wider = unet_of(block_out_channels=(8, 16))
    assert {len(member.layers) for member in family(wider, dense(wider))} == {2}
    more_heads = unet_of(attention_head_dim=[2, 4])
    assert {len(member.layers) for member in family(more_heads, dense(more_heads))} == {2}
    with pytest.raises(ConfigError, match="variant=tiny"):
        fixed("tiny", dense(wider), family(wider, dense(wider)))


def test_a_teacher_without_mid_block_has_no_member_with_one() -> None:
    unet = unet_of(mid_block_type=None)
    members = family(unet, dense(unet))
    assert not any(member.mid for member in members) and path(dense(unet), members)[0] == dense(unet)
    with pytest.raises(ConfigError, match="variant=base"):
        fixed("base", dense(unet), members)


def test_a_variant_that_removes_nothing_is_refused() -> None:
    unet = unet_of(layers_per_block=1)
    with pytest.raises(ConfigError, match="variant=base"):
        fixed("base", dense(unet), family(unet, dense(unet)))


def test_other_networks_are_refused(small: Any) -> None:
    with pytest.raises(PruningError, match="not of AttnDownBlock2D"):
        dense(unet_of(down_block_types=("CrossAttnDownBlock2D", "AttnDownBlock2D")))
    asymmetric = unet_of(transformer_layers_per_block=[1, 1], reverse_transformer_layers_per_block=[1, 2])
    with pytest.raises(PruningError, match="a decoder unlike its encoder"):
        dense(asymmetric)
    space = GateSpace.of(small.unet)
    keep = guarded(torch.rand(space.size, generator=torch.Generator().manual_seed(0)) > 0.5, space)
    with pytest.raises(PruningError, match=r"needs a dense U-Net, and '.+' of this one was cut"):
        dense(cut(small.unet, space, keep))


def test_a_weight_that_the_teacher_lacks_is_an_error(small: Any) -> None:
    with pytest.raises(PruningError, match=r"the teacher has no 'down_blocks.0.(resnets|attentions).2.+' that fits"):
        build(small.unet, Member((3, 2, 2, 2), True))
    wider = unet_of(block_out_channels=(8, 16))
    with pytest.raises(PruningError, match=r"no 'up_blocks.1.+' that fits 'up_blocks.0.+' of \(1\) with mid block"):
        build(wider, Member((1,), True))


FEATURES = {  # member -> (student's module, teacher's module), as the paper's script pairs them
    BASE: [(f"{side}_blocks.{i}",) * 2 for side in ("down", "up") for i in range(4)],
    TINY: [
        ("down_blocks.0", "down_blocks.0"),
        ("down_blocks.1", "down_blocks.1"),
        ("down_blocks.2.attentions.0.proj_out", "down_blocks.2.attentions.1.proj_out"),
        *((f"up_blocks.{i}", f"up_blocks.{i + 1}") for i in range(3)),
    ],
}


@pytest.mark.parametrize("member", FEATURES, ids=str)
def test_the_fine_tuning_loss_is_the_papers(
    small: Any, member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Task + output + sum over blocks, every term a mean over elements, every weight 1; the mid block left out."""
    seen: list[Any] = []
    observe = finetuning.diffusion.observe

    def spy(unet: Any, noised: Any, *how: Any) -> Any:
        seen.append(noised)
        return observe(unet, noised, *how)

    monkeypatch.setattr(finetuning.diffusion, "observe", spy)
    generator = torch.Generator().manual_seed(0)
    pairs = Pairs(["a"] * 5, torch.randn(5, 4, 8, 8, generator=generator), torch.randn(5, 12, 16, generator=generator))
    config = FinetuneConfig(steps=1, batch=6, lr=1e-9, **BKSDM.finetuning)
    student = build(small.unet, member)
    finetune(Mixture.of_one(student), small, pairs, config, seed=0, folder=tmp_path, device=CPU)
    (row,) = (tmp_path / "expert-00" / "history.jsonl").read_text().splitlines()

    mine, theirs = zip(*FEATURES[member], strict=True)
    guess, blocks = outputs(student, seen[0], mine)
    taught, features = outputs(small.unet, seen[0], theirs)
    terms = [(guess, seen[0].target), (guess, taught), *zip(blocks, features, strict=True)]
    assert json.loads(row)["loss"] == pytest.approx(sum(float(((a - b) ** 2).mean()) for a, b in terms), rel=1e-5)


@torch.no_grad()
def outputs(unet: Any, noised: Any, paths: Any) -> tuple[Tensor, list[Tensor]]:
    """The prediction, and what the modules at `paths` return."""
    kept: dict[str, Any] = {}
    modules = [(at, unet.get_submodule(at)) for at in paths]
    handles = [m.register_forward_hook(lambda m, args, out, at=at: kept.update({at: out})) for at, m in modules]
    prediction = unet(noised.x, noised.t, noised.text).sample
    for handle in handles:
        handle.remove()
    return prediction, [kept[at][0] if isinstance(kept[at], tuple) else kept[at] for at in paths]
