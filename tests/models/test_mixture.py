"""A mixture routes, saves and loads without knowing who made it."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from aptp_bench import registry
from aptp_bench.errors import CheckpointError, ConfigError, PruningError, UnknownNameError
from aptp_bench.models import checkpoint
from aptp_bench.models import mixture as module
from aptp_bench.models.call_plan import PLAIN, CallPlan
from aptp_bench.models.mixture import INDEX, ConstantRouter, Mixture, Router, saved_plan, saved_router
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.surgery import cut


@pytest.fixture
def by_length(router_by, register) -> type[Router]:
    """A stranger's router: long prompts to the second expert."""
    kind = router_by(lambda prompt: int(len(prompt) > 5))
    register("routers", kind.name, kind)
    return kind


@pytest.fixture
def mixture(unet, by_length) -> Mixture:
    space = GateSpace.of(unet)
    keeps = [guarded(torch.rand(space.size) < share, space) for share in (0.3, 0.8)]
    return Mixture([cut(unet, space, keep) for keep in keeps], by_length())


def test_constant_router_is_registered_under_its_name():
    assert registry.plugins("routers")["constant"].load() is ConstantRouter


def test_prompts_reach_their_experts(mixture):
    assert mixture.route(["short", "a long one", ""]).tolist() == [0, 1, 0]
    assert mixture.route([]).shape == (0,)
    assert len(mixture) == 2


def test_one_network_serves_all(unet):
    single = Mixture.of_one(unet)
    assert single.experts[0] is unet and single.route(["a", "b"]).tolist() == [0, 0]


@pytest.mark.parametrize("lazy", [False, True])
def test_round_trip_is_exact(lazy, mixture, by_length, inputs, tmp_path):
    mixture.save(tmp_path / "mix")
    again = Mixture.load(tmp_path / "mix", lazy=lazy)
    assert len(again) == 2 and isinstance(again.router, by_length)
    given = inputs()
    with torch.no_grad():
        for ours, theirs in zip(mixture.experts, again.experts, strict=True):
            states = ours.state_dict(), theirs.state_dict()
            assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
            torch.testing.assert_close(ours(**given).sample, theirs(**given).sample)


def test_saving_over_itself_while_lazy(mixture, tmp_path):
    mixture.save(tmp_path / "mix")
    Mixture.load(tmp_path / "mix", lazy=True).save(tmp_path / "mix")
    again = Mixture.load(tmp_path / "mix")
    assert torch.equal(again.experts[1].conv_in.weight, mixture.experts[1].conv_in.weight)


def test_the_plan_of_calls_is_saved_and_outlives_fine_tuning(unet, tmp_path):
    plan = CallPlan(of=26, made=26, full=10, branch=1)
    Mixture.of_one(unet, plan=plan).with_experts([unet]).save(tmp_path / "mix")
    assert Mixture.load(tmp_path / "mix", lazy=True).plan == saved_plan(tmp_path / "mix") == plan


def test_a_mixture_without_a_plan_is_written_and_read_as_ever(unet, tmp_path):
    Mixture.of_one(unet).save(tmp_path / "mix")
    index = json.loads((tmp_path / "mix" / INDEX).read_text())
    assert "plan" not in index and (index["version"], index["experts"], index["router"]) == (1, 1, "constant")
    assert Mixture.load(tmp_path / "mix", lazy=True).plan == PLAIN


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The experts that were read from their files, in order."""
    folders, real = [], module.load_unet
    monkeypatch.setattr(module, "load_unet", lambda at, *rest: (folders.append(at.name), real(at, *rest))[1])
    return folders


def test_lazy_mixture_holds_one_expert(mixture, tmp_path, read):
    mixture.save(tmp_path / "mix")
    experts = Mixture.load(tmp_path / "mix", lazy=True).experts
    assert read == []
    assert experts[0] is experts[0] and experts[-1] is experts[1]
    assert read == ["expert-00", "expert-01"]
    assert len(experts[:1]) == 1 and len(list(experts)) == 2
    with pytest.raises(IndexError):
        experts[2]


def test_lazy_mixture_holds_as_many_as_it_is_told(mixture, tmp_path, read):
    mixture.save(tmp_path / "mix")
    experts = Mixture.load(tmp_path / "mix", lazy=True, held=2).experts
    assert experts[0] is experts[0] and experts[1] is experts[1] and experts[0] is experts[0]
    assert read == ["expert-00", "expert-01"]


def test_dtype_is_passed_on(mixture, tmp_path):
    mixture.save(tmp_path / "mix")
    again = Mixture.load(tmp_path / "mix", dtype=torch.float16, lazy=True)
    assert again.experts[0].dtype == torch.float16


def test_tuned_experts_keep_the_router(mixture, unet):
    tuned = mixture.with_experts([unet, unet])
    assert tuned.router is mixture.router and tuned.experts[0] is unet
    with pytest.raises(PruningError, match="1 networks"):
        mixture.with_experts([unet])


def test_what_cannot_be_is_refused(unet):
    with pytest.raises(PruningError, match="of_one"):
        Mixture([], ConstantRouter())
    with pytest.raises(PruningError, match="constant"):
        Mixture([unet], ConstantRouter(3)).route(["a"])


def test_a_router_that_tells_nothing_has_no_history_and_balances_nothing(by_length, tmp_path):
    for router in (by_length(), ConstantRouter()):
        assert list(router.history) == [] and router.balanced(["a", "b"]) is None
        with pytest.raises(ConfigError, match=f"'{router.name}' .* has no prompt encoder; omit --encoder"):
            type(router).load_moved(tmp_path, "elsewhere")


@pytest.mark.parametrize("name", sorted(registry.plugins("routers")))
def test_every_router_keeps_the_optional_promises(name):
    kind = registry.plugins("routers")[name].load()
    assert issubclass(kind, Router) and all(callable(getattr(kind, each)) for each in ("balanced", "load_moved"))
    assert list(kind.history) == []  # of the class: an instance's own never leaks into it


def test_the_router_is_read_without_the_networks(mixture, by_length, tmp_path):
    mixture.save(tmp_path / "mix")
    for folder in (tmp_path / "mix").glob("expert-*"):
        shutil.rmtree(folder)
    assert isinstance(saved_router(tmp_path / "mix"), by_length)
    with pytest.raises(ConfigError, match="omit --encoder"):
        saved_router(tmp_path / "mix", "elsewhere")


def test_on_meta_only_shapes_are_read(mixture, tmp_path, monkeypatch):
    mixture.save(tmp_path / "mix")
    monkeypatch.setattr(checkpoint, "load_file", lambda *_, **__: pytest.fail("weights were read"))
    experts = Mixture.load(tmp_path / "mix", device="meta", lazy=True).experts
    for ours, theirs in zip(mixture.experts, experts, strict=True):
        shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
        assert shapes == {name: tensor.shape for name, tensor in ours.state_dict().items()}
        assert {tensor.device.type for tensor in theirs.state_dict().values()} == {"meta"}
        assert [m.heads for m in theirs.modules() if hasattr(m, "heads")] == [
            m.heads for m in ours.modules() if hasattr(m, "heads")
        ]


def test_constant_router_remembers_its_expert(tmp_path):
    ConstantRouter(2).save(tmp_path)
    again = ConstantRouter.load(tmp_path)
    assert again(["a"]).tolist() == [2] and again.history == []


def test_constant_router_remembers_the_search_that_came_to_its_expert(tmp_path):
    rows = [{"stage": "joint", "step": 0, "loss": 1.5, "ratios": [0.8]}]
    ConstantRouter(0, rows).save(tmp_path)
    assert ConstantRouter.load(tmp_path).history == rows
    (tmp_path / "history.jsonl").write_text("{")
    with pytest.raises(CheckpointError, match=r"history\.jsonl is corrupt .*save the network again"):
        ConstantRouter.load(tmp_path)


def test_broken_mixtures_are_named(mixture, tmp_path):
    folder = tmp_path / "mix"
    with pytest.raises(CheckpointError, match=r"mixture\.json is missing"):
        Mixture.load(folder)
    mixture.save(folder)
    whole = (folder / INDEX).read_text()
    (folder / INDEX).write_text(whole.replace("by-rule", "by-magic"))
    with pytest.raises(UnknownNameError, match="by-magic"):
        Mixture.load(folder)
    (folder / INDEX).write_text(whole.replace('"experts":2', '"experts":3'))
    with pytest.raises(CheckpointError, match="expert-02 is missing"):
        Mixture.load(folder, lazy=True)
    (folder / INDEX).write_text(whole[:5])
    with pytest.raises(CheckpointError, match="corrupt"):
        Mixture.load(folder)


def test_experts_that_changed_places_are_refused_and_so_is_an_edited_router(mixture, tmp_path):
    mixture.save(folder := tmp_path / "mix")
    one, other = folder / "expert-00", folder / "expert-01"
    one.rename(tmp_path / "aside"), other.rename(one), (tmp_path / "aside").rename(other)
    lazy = Mixture.load(folder, lazy=True).experts
    for i in range(2):
        with pytest.raises(CheckpointError, match=f"expert-0{i} is not what was saved there"):
            lazy[i]
    mixture.save(tmp_path / "other")
    (tmp_path / "other" / "router" / "more.json").write_text("{}")
    with pytest.raises(CheckpointError, match="router is not what was saved there"):
        Mixture.load(tmp_path / "other")


def test_an_index_of_more_experts_than_there_are_is_refused_at_once(mixture, tmp_path):
    mixture.save(folder := tmp_path / "mix")
    text = (folder / INDEX).read_text()
    (folder / INDEX).write_text(text.replace('"experts":2', '"experts":1000000000000'))
    for read in (Mixture.load, module.saved_size):
        with pytest.raises(CheckpointError, match="expert-02 is missing"):
            read(folder)


def test_what_a_file_manager_leaves_is_no_edit(mixture, tmp_path):
    mixture.save(folder := tmp_path / "mix")
    for part in ("expert-00", "router"):
        (folder / part / ".DS_Store").write_bytes(b"x")
        (folder / part / ".hidden").mkdir()
        (folder / part / ".hidden" / "file").write_bytes(b"x")
    assert len(Mixture.load(folder)) == 2


def test_weights_that_are_no_numbers_are_refused(mixture, tmp_path):
    mixture.save(tmp_path / "mix")
    file = tmp_path / "mix" / "expert-01" / "model.safetensors"
    tensors = load_file(file)
    tensors["conv_in.weight"].view(-1)[0] = float("nan")
    save_file(tensors, file)
    path = tmp_path / "mix" / "mixture.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digests": {}}))  # as a folder of an earlier release
    with pytest.raises(CheckpointError, match="not finite"):
        Mixture.load(tmp_path / "mix")
    with torch.no_grad():
        next(mixture.experts[1].parameters()).view(-1)[0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        mixture.save(tmp_path / "other")


def test_a_folder_of_an_earlier_release_has_no_digests_and_is_read(mixture, tmp_path):
    mixture.save(tmp_path / "mix")
    path = tmp_path / "mix" / "mixture.json"
    index = {key: value for key, value in json.loads(path.read_text()).items() if key != "digests"}
    path.write_text(json.dumps(index))
    assert len(Mixture.load(tmp_path / "mix")) == 2
