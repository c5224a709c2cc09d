"""The builders of the mini world: what they promise of a training, on networks small enough to train here."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from aptp_bench.benchmarks.mini_world import pick, scenes, sentence, tokenizer, towers, unet, vae
from aptp_bench.benchmarks.mini_world.loop import Recipe, averaged, fit
from aptp_bench.data import scenes as drawn

SHORT = Recipe(steps=12, batch=4, lr=1e-2, warmup=2, ema=0.9, save_every=5)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> scenes.Scenes:
    """128 scenes of each world."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(scenes.SPLITS, "train", (1_001, 128))
        return scenes.gather("train", tmp_path_factory.mktemp("work"))


def points(generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(8, 3, generator=generator)}


def quadratic(module: nn.Module):
    def loss(drawn: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"loss": (module(drawn["x"]) - drawn["x"].sum(1, keepdim=True)).square().mean()}

    return loss


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def test_a_resumed_training_equals_an_unbroken_one(tmp_path) -> None:
    whole = fresh()
    fit(whole, points, quadratic(whole), SHORT, tmp_path / "whole")
    seen = []

    def stopped(generator: torch.Generator) -> dict[str, torch.Tensor]:
        if len(seen) == 8:
            raise KeyboardInterrupt
        seen.append(generator.initial_seed())
        return points(generator)

    broken = fresh()
    with pytest.raises(KeyboardInterrupt):
        fit(broken, stopped, quadratic(broken), SHORT, tmp_path / "broken")
    resumed = fresh()
    fit(resumed, points, quadratic(resumed), SHORT, tmp_path / "broken")
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.weight, averaged(fresh(), tmp_path / "broken").weight)


def test_a_longer_training_goes_on_from_a_shorter_ones_checkpoint(tmp_path) -> None:
    short = fresh()
    fit(short, points, quadratic(short), SHORT, tmp_path)
    seen = []

    def counted(generator: torch.Generator) -> dict[str, torch.Tensor]:
        seen.append(generator.initial_seed())
        return points(generator)

    longer = fresh()
    fit(longer, counted, quadratic(longer), replace(SHORT, steps=15), tmp_path)
    assert seen == [12, 13, 14]  # a step's seed, where the recipe's is 0


def test_the_rate_warms_up_stays_and_falls_to_zero() -> None:
    recipe = Recipe(steps=100, batch=1, lr=1.0, warmup=10, cooldown=0.2)
    rates = [recipe.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:80] == [1.0] * 70
    assert all(a > b for a, b in pairwise(rates[80:]))
    assert rates[100] == 0.0


def test_watching_sees_the_averaged_weights_and_puts_the_own_ones_back(tmp_path) -> None:
    module, watched = fresh(), []
    fit(module, points, quadratic(module), SHORT, tmp_path, lambda step: watched.append(module.weight.clone()) or {})
    assert torch.equal(watched[-1], module.weight)  # at the end the averaged weights are what stays
    assert len(watched) == 3


def test_scenes_carry_their_own_labels_and_captions(few: scenes.Scenes) -> None:
    seed = 1_001
    for i in range(8):
        scene = drawn.sample(("coco", "cc3m")[i % 2], seed, i // 2)
        assert few.captions[i] == drawn.captions(scene)
        assert drawn.SUBJECTS[few.labels[i, 0]] == scene.subject
        assert few.labels[i].tolist() == scenes.labels_of(scene)
        assert torch.equal(few.images[i], torch.from_numpy(drawn.draw(scene)))
    assert few.pixels(torch.arange(8)).amin() >= -1 and few.pixels(torch.arange(8)).amax() <= 1


def test_labels_stay_within_their_classes_and_the_last_tells_the_rest_apart(few: scenes.Scenes) -> None:
    assert all((few.labels[:, i] < classes).all() for i, classes in enumerate(scenes.LABELS.values()))
    sign = next(scene for i in range(500) if (scene := drawn.sample("cc3m", 1, i)).word)
    other = replace(sign, word=f"{sign.word.split()[0]} river")
    one, two = scenes.labels_of(sign), scenes.labels_of(other)
    assert one[:-1] == two[:-1] and one[-1] != two[-1]


def test_builders_and_datasets_share_no_seed() -> None:
    from aptp_bench.data.mini import SEEDS

    assert not {seed for seed, _ in scenes.SPLITS.values()} & set(SEEDS.values())


def test_standardising_the_latents_changes_no_picture(few: scenes.Scenes) -> None:
    torch.manual_seed(0)
    net, pictures = vae.network().eval(), few.pixels(torch.arange(16))
    with torch.no_grad():
        before = net.decode(net.encode(pictures).latent_dist.mean).sample
        vae.standardised(net, pictures)
        latents = net.encode(pictures).latent_dist.mean
        after = net.decode(latents).sample
    assert torch.allclose(before, after, atol=1e-4)
    assert torch.allclose(latents.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(latents.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-4)


def test_the_decoder_is_trained_alone(few: scenes.Scenes, tmp_path) -> None:
    torch.manual_seed(0)
    net = vae.network().eval()
    encoder = {name: value.clone() for name, value in net.encoder.state_dict().items()}
    decoder = {name: value.clone() for name, value in net.decoder.state_dict().items()}
    vae.train_decoder(net, few, few, tmp_path, replace(vae.DECODER, steps=2, batch=4))
    assert all(torch.equal(encoder[name], value) for name, value in net.encoder.state_dict().items())
    assert any(not torch.equal(decoder[name], value) for name, value in net.decoder.state_dict().items())


def test_every_word_of_a_caption_is_one_token_and_any_text_becomes_tokens(few: scenes.Scenes) -> None:
    tokens = tokenizer.learn(c for phrasings in few.captions for c in phrasings)
    caption = few.captions[0][0].rstrip(".")
    assert len(tokens(caption).input_ids) == len(caption.replace(",", " ,").split()) + 2
    strange = tokens("Ærøskøbing 東京 %$!").input_ids
    assert len(strange) > 4 and tokens.eos_token_id not in strange[1:-1]
    assert tokens.model_max_length == tokenizer.LENGTH


def test_equal_scenes_are_drawn_together_and_others_apart() -> None:
    labels = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]])
    together, apart, scale = torch.eye(4)[[0, 0, 1, 2]], torch.eye(4), torch.tensor(100.0)
    half = 0.5 * torch.log(torch.tensor(2.0))  # two of four rows cannot tell their two equal scenes apart, and need not
    assert towers.contrast(together, together, scale, labels) == pytest.approx(float(half), abs=1e-4)
    assert towers.contrast(apart, apart, scale, labels) > 10
    assert towers.contrast(apart, apart, scale, torch.arange(4)[:, None].expand(4, 4)) == pytest.approx(0.0, abs=1e-4)


def test_likeness_is_a_distribution_that_follows_the_labels() -> None:
    labels = torch.zeros(3, len(scenes.LABELS) + 1)
    labels[1, 1] = labels[2, :2] = 1
    target = sentence.likeness(labels)
    assert torch.allclose(target.sum(1), torch.ones(3))
    assert target[0, 0] > target[0, 1] > target[0, 2]


def test_no_damage_is_no_change_and_more_damage_is_more(few: scenes.Scenes) -> None:
    pictures = few.pixels(torch.arange(8))
    generator = torch.Generator().manual_seed(0)
    untouched = pick.damaged(pictures, torch.zeros(8), generator)
    assert torch.allclose(untouched, pictures, atol=1e-5)
    errors = [
        (pick.damaged(pictures, torch.full((8,), s), torch.Generator().manual_seed(0)) - pictures).abs().mean()
        for s in (0.2, 0.6, 1.0)
    ]
    assert errors[0] < errors[1] < errors[2]


def test_of_two_pictures_the_right_and_clean_one_is_worth_more(few: scenes.Scenes) -> None:
    _, pictures, worth = pick.pairs(few, 64, torch.Generator().manual_seed(0))
    assert pictures.shape == (2, 64, 3, 32, 32) and worth.shape == (2, 64)
    assert worth.max() == 0.0 and worth.min() < -4


def test_the_dense_unet_has_sd21s_topology() -> None:
    from aptp_bench.models.stable_diffusion import SD21
    from aptp_bench.pruning.gates import GateSpace

    def shape(net):
        kinds = [type(block).__name__ for block in (*net.down_blocks, net.mid_block, *net.up_blocks)]
        return kinds, [len(block.resnets) for block in (*net.down_blocks, *net.up_blocks)]

    with torch.device("meta"):
        mini = unet.network()
    assert shape(mini) == shape(SD21().skeleton())
    assert len(GateSpace.of(mini).depths) == 14


def test_timesteps_cover_every_stratum() -> None:
    t = unet.timesteps(50, torch.Generator().manual_seed(0)).sort().values
    assert ((t // 20) == torch.arange(50)).all()
