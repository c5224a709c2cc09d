from __future__ import annotations

import shlex

import pytest
import yaml

from aptp_bench import registry
from aptp_bench.config import SCALES, Recipe, merged, parsed, placed, preset, recipe, reference_of
from aptp_bench.errors import BudgetError, ConfigError, UnknownNameError
from aptp_bench.harness.session import resolved


def test_the_paper_scale_samples_as_the_paper_does():
    sampling = preset("paper")["sampling"]
    assert (sampling["steps"], sampling["guidance"], sampling["scheduler"]) == (25, 7.5, "pndm")


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_has_a_recipe_that_resolves(scale):
    made = recipe("aptp", "coco", scale)
    assert made.scale == scale and made.reference == "dense"
    assert set(made.backbones) == {role for name in made.metrics if (role := registry.get("metrics", name).backbone)}


@pytest.mark.parametrize(
    ("dataset", "scale", "data", "budget", "experts"),
    [
        ("coco", "mini", "coco", 0.78, 8),
        ("coco", "paper", "coco2014", 0.78, 8),
        ("cc3m", "paper", "cc3m-full", 0.85, 16),
    ],
)
def test_budget_and_experts_are_the_papers_and_the_short_name_means_its_data(dataset, scale, data, budget, experts):
    made = recipe("aptp", dataset, scale)
    assert made.dataset == data
    assert made.budget.ratio == budget and made.budget.convention == ("aptp" if scale == "paper" else "exact")
    assert made.method_config["experts"] == experts


@pytest.mark.parametrize(("budget", "experts"), [(0.6, 8), (0.66, 8), (0.7, 16), (0.85, 16)])
def test_small_budgets_have_as_many_experts_as_in_the_paper(budget, experts):
    assert recipe("aptp", "cc3m", "paper", {"budget.ratio": budget}).method_config["experts"] == experts
    assert recipe("aptp", "coco", "paper", {"budget.ratio": budget}).method_config["experts"] == 8


def test_models_without_a_text_are_not_counted_as_the_paper_does():
    assert {recipe("norm", name, "paper").budget.convention for name in ("faces", "sounds")} == {"exact"}


def test_a_method_as_its_paper_has_it():
    usual, own = (recipe("structural", "coco", "paper", settings=given) for given in ([], ["as=paper"]))
    assert (usual.method_config["stride"], own.method_config["stride"]) == (10, 1)
    assert own.settings == ("as=paper",) and "--set as=paper" in own.command
    assert recipe("structural", "coco", "paper", settings=["as=paper", "stride=5"]).method_config["stride"] == 5
    assert recipe("bk_sdm", "coco", "paper", settings=["as=paper"]).finetune["lr"] == 5e-5
    assert recipe("norm", "coco", "paper", settings=["as=paper"]) == recipe("norm", "coco", "paper")
    for scale, name, said in (
        ("paper", "nobody", "it has paper, authors"),
        ("mini", "paper", "scale mini has no settings"),
    ):
        with pytest.raises(ConfigError, match=said):
            recipe("structural", "coco", scale, settings=[f"as={name}"])


def test_every_setting_that_somebody_else_has_is_one_of_the_methods():
    for name, methods in preset("paper")["as"].items():
        for method in methods:
            assert recipe(method, "coco", "paper", settings=[f"as={name}"]).settings == (f"as={name}",)


def test_later_beats_earlier():
    made = recipe("aptp", "coco", "smoke", {"budget.ratio": 0.6, "seed": 3}, ["experts=2", "seed=4"])
    assert made.budget.ratio == 0.6
    assert made.method_config["experts"] == 2
    assert made.seed == 4


def test_every_default_is_in_the_resolved_recipe():
    made = recipe("aptp", "coco", "smoke")
    assert made.method_config["temperature"] == 0.4
    assert made.finetune["alpha_distill"] == 1.0
    assert Recipe.model_validate(made.model_dump(mode="json")) == made


def test_the_command_makes_the_same_recipe():
    settings = ["sampling.steps=5", "experts=3", "finetune.lr=1e-4"]
    made = recipe("aptp", "coco", "smoke", {"budget.ratio": 0.7, "budget.convention": "aptp", "seed": 2}, settings)
    words = made.command.split()
    assert words[:2] == ["aptp-bench", "run"]
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert (given["--budget"], given["--macs"], given["--seed"]) == ("0.7", "aptp", "2")
    assert [words[i + 1] for i, word in enumerate(words) if word == "--set"] == settings


def test_the_reference_keeps_the_settings_that_are_not_the_methods():
    made = recipe(
        "aptp", "coco", "smoke", {}, ["sampling.steps=5", "experts=3", "method_config.lr=0.1", "budget.ratio=0.7"]
    )
    reference = reference_of(made)
    assert reference.method == "dense" and reference.budget.ratio == 1.0
    assert reference.sampling == made.sampling and reference.sizes == made.sizes
    assert reference.settings == ("sampling.steps=5",)
    assert reference_of(reference) is None
    assert reference_of(made.model_copy(update={"reference": None})) is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["sampling.stps=5"], "did you mean sampling.steps"),
        (["steps=5"], "sampling.steps"),
        (["expert=5"], "did you mean experts"),
        (["fientune.lr=1"], "did you mean finetune.lr"),
        (["zzzzzz=1"], "groups are"),
        (["experts"], "--set takes key=value"),
        (["sizes.train=0"], "sizes.train"),
        (["sampling.scheduler=euler"], "sampling.scheduler"),
        (["experts=many"], "experts"),
        (["sizes.train=[1"], "not a YAML value"),
        (["scale=mini"], "there is no setting 'scale'"),
        (["sampling.steps=1001"], "1000"),
        (["sampling.steps=true"], "no numbers"),
        (["experts=true"], "no numbers"),
        (["finetune.lr=true"], "no numbers"),
        (["resolution.measure=100000"], "4096"),
        (["resolution.train=100000"], "4096"),
        (["sizes.val=" + "9" * 5000], "not a YAML value"),
        (["sizes.val=100000000000"], "100000000"),
        (["latency.batch=100000000"], "100000"),
        (["weights="], "--set weights=null"),
        (["finetune.clip= "], "--set finetune.clip=null"),
        (["finetune={lr: 1e-5, lr: 1e-3}"], "'lr' stands there twice"),
        (["backbones.inception=mini-clip"], "plays clip_score, cmmd, not inception"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_right_one(settings, words):
    with pytest.raises(ConfigError) as caught:
        recipe("aptp", "coco", "smoke", {}, settings)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: recipe("atpt", "coco"), UnknownNameError, "did you mean 'aptp'"),
        (lambda: recipe("aptp", "cocoo"), UnknownNameError, "did you mean 'coco'"),
        (lambda: recipe("aptp", "coco", "huge"), ConfigError, "--scale with one of mini, smoke, paper"),
        (lambda: recipe("aptp", "coco", "mini", {"budget.ratio": 1.7}), BudgetError, "0 < budget <= 1"),
        (lambda: recipe("aptp", "coco", "mini", {"model": "sd22"}), UnknownNameError, "did you mean 'sd21'"),
        (lambda: recipe("aptp", "coco", "mini", {"model": "sd21"}), ConfigError, "use --scale paper"),
        (lambda: recipe("aptp", "coco2014", "mini"), ConfigError, "use --scale paper"),
        (lambda: recipe("norm", "coco", "mini", {}, ["metrics=[fid,fid]"]), ConfigError, "names one twice"),
        (lambda: recipe("norm", "coco", "mini", {}, ["metrics=[]"]), ConfigError, "names none"),
        (lambda: recipe("norm", "coco", "mini", {}, ["finetune.lr=.inf"]), ConfigError, "finite"),
        (
            lambda: recipe("norm", "coco", "mini", {}, ["sampling.guidance=1e30"]),
            ConfigError,
            "less than or equal to 100",
        ),
        (lambda: recipe("aptp", "coco", "mini", {}, ["temperature=.nan"]), ConfigError, "finite"),
        (lambda: recipe("aptp", "coco", "mini", {}, ["metrics=[fdi]"]), UnknownNameError, "did you mean 'fid'"),
        (lambda: recipe("aptp", "coco", "mini", {}, ["backbones.cmmd=mini-klip"]), UnknownNameError, "mini-clip"),
    ],
)
def test_names_and_budgets_are_checked_before_any_work(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_merging_changes_neither_side():
    base, over = {"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}}
    before = yaml.safe_dump([base, over])
    assert merged(base, over) == {"a": {"x": 1, "y": 3}, "b": [1]}
    assert placed(base, "a.z.w", 5)["a"] == {"x": 1, "y": 2, "z": {"w": 5}}
    assert yaml.safe_dump([base, over]) == before


def test_values_are_yaml():
    known = ["a.b", "method_config.c"]
    assert parsed("a.b=[1, 2]", known, "") == ("a.b", [1, 2])
    assert parsed("c=null", known, "") == ("method_config.c", None)
    assert parsed("a.b=x=y", known, "") == ("a.b", "x=y")


def test_an_option_that_the_recipe_has_too_is_named_in_full():
    with pytest.raises(ConfigError, match=r"method_config\.prompts"):
        recipe("ld_pruner", "coco", settings=["prompts=2"])
    found = recipe("ld_pruner", "coco", settings=["method_config.prompts=2"])
    assert found.method_config["prompts"] == 2 and found.prompts == "partiprompts"


def test_a_role_is_played_by_those_who_can():
    networks = {name: plugin.load() for name, plugin in registry.plugins("backbones").items()}
    for scale in SCALES:
        made = recipe("dense", "coco", scale)
        for role, own in made.backbones.items():
            for name, kind in networks.items():
                if kind.world == networks[own].world and role in kind.role:
                    assert recipe("dense", "coco", scale, {}, [f"backbones.{role}={name}"]).backbones[role] == name
                elif kind.world == networks[own].world:
                    with pytest.raises(ConfigError, match=f"backbones.{role}="):
                        recipe("dense", "coco", scale, {}, [f"backbones.{role}={name}"])


def test_options_of_a_plugin_whose_name_has_a_dot_are_reached() -> None:
    asked = recipe("norm", "coco", "paper", {}, ["backbone_config.hps-v2.1.batch=2"])
    assert asked.backbone_config == {"hps-v2.1": {"batch": 2}}
    with pytest.raises(ConfigError, match=r"hps-v2\.1\.batch"):
        recipe("norm", "coco", "paper", {}, ["backbone_config.hps-v2.1.bach=2"])


@pytest.mark.parametrize(
    ("flags", "settings", "clear"),
    [
        ({"seed": 1}, ["seed=2"], False), ({"seed": 2}, ["seed=2"], True), ({"budget": 0.8}, ["budget.ratio=0.7"], False),
        ({"budget": 0.123457}, ["budget.ratio=0.123456789"], True), ({"model": "mini"}, ["model=mini-sd"], True),
        ({}, ["seed=1", "seed=1"], False),
    ],
)  # fmt: skip
def test_a_flag_and_a_setting_may_not_differ(flags, settings, clear):
    """The command of a record gives both."""
    if clear:
        (made,) = resolved("norm", "coco", "mini", settings, flags, False)
        assert shlex.split(made.command)[-1] == settings[-1]
        return
    with pytest.raises(ConfigError, match="leave one out"):
        resolved("norm", "coco", "mini", settings, flags, False)


def test_a_rule_of_several_options_is_said_in_its_own_words() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.get("methods", "aptp")(batch=2, experts=4)
    said = str(caught.value)
    assert "batch of 2" in said and "Value error" not in said and "''" not in said and "{" not in said
