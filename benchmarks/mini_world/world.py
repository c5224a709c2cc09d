"""The mini world's models in the order they depend on one another: who is trained from what, and where each is shipped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from transformers import CLIPModel, CLIPProcessor, CLIPTextModel, CLIPTokenizer

from aptp_bench import assets
from aptp_bench.benchmarks.mini_world import (
    classifier,
    ear,
    pick,
    scenes,
    sentence,
    sounds,
    tokenizer,
    towers,
    unconditional,
    unet,
    vae,
)
from aptp_bench.benchmarks.mini_world.loop import Recipe, averaged
from aptp_bench.core.files import write_json
from aptp_bench.models.stable_diffusion import pipeline

PARTS = (
    *("tokenizer", "text_encoder", "inception", "vae", "decoder", "unet", "clip", "pick", "sentence_encoder"),
    "ear",
    *unconditional.PARTS,
)
RECIPES = {"vae": vae.RECIPE, "decoder": vae.DECODER, "unet": unet.RECIPE}  # of the parts that see millions of pictures
SINGLE = {
    name: {name: recipe}
    for name, recipe in {
        "clip": towers.JUDGE, "pick": pick.RECIPE, "inception": classifier.RECIPE, "sentence_encoder": sentence.RECIPE,
        "ear": ear.RECIPE,
    }.items()
}  # fmt: skip
ASSETS = ("stable_diffusion", *SINGLE, *unconditional.RECIPES)
PATCH = 8  # of the image towers, in pixels


class World:
    """Every model of the mini world under one working folder; whatever is trained is read, not trained again.

    device: where the autoencoder and the U-Net are trained; the other parts take minutes on a CPU. recipe_of: of these parts.
    """

    def __init__(
        self, work: Path, device: torch.device | None = None, recipes: Mapping[str, Recipe] | None = None
    ) -> None:
        self.work, self.device = work, device or torch.device("cpu")
        self.recipe_of = {**RECIPES, **(recipes or {})}

    @cached_property
    def train(self) -> scenes.Scenes:
        """Scenes to train on."""
        return scenes.gather("train", self.work)

    @cached_property
    def held_out(self) -> scenes.Scenes:
        """Scenes to look at, of another seed."""
        return scenes.gather("val", self.work)

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """The tokenizer that all CLIP towers share."""
        return CLIPTokenizer.from_pretrained(self.work / "tokenizer")

    @property
    def pictures(self) -> tuple[scenes.Scenes, scenes.Scenes]:
        """Scenes to train on, and to look at."""
        return self.train, self.held_out

    @cached_property
    def more(self) -> tuple[scenes.Scenes, scenes.Scenes]:
        """Those, and four times as many to train on, on the device."""
        return scenes.gather("more", self.work).to(self.device), self.held_out

    @cached_property
    def faces(self) -> tuple[scenes.Scenes, scenes.Scenes]:
        """Portraits to train on, on the device, and to look at."""
        return scenes.portraits("train", self.work).to(self.device), scenes.portraits("val", self.work)

    @cached_property
    def sounds(self) -> tuple[sounds.Sounds, sounds.Sounds]:
        """Sounds to train on, on the device, and to look at."""
        return sounds.gather("train", self.work).to(self.device), sounds.gather("val", self.work)

    def shown(self, part: str) -> tuple[unconditional.Pictures, unconditional.Pictures]:
        """What a part of the models without prompts learns from, and is looked at with."""
        return self.faces if part.startswith("faces") else self.sounds

    def train_part(self, part: str, until: int | None = None) -> None:
        """Train one of PARTS, from its checkpoint on; what it needs of others is read.

        until: the step to stop before, of a part that is trained on the device.
        """
        folder = self.work / part
        match part:
            case "tokenizer":
                tokenizer.learn(c for phrasings in self.train.captions for c in phrasings).save_pretrained(folder)
            case "text_encoder" | "clip":  # towers whose text half becomes Stable Diffusion's, and the judge's
                towers.train(*self.pictures, self.tokenizer, folder, towers.RECIPES[part], PATCH)
            case "inception":
                classifier.train(*self.pictures, folder)
            case "vae":
                vae.train(*self.more, folder, self.recipe_of["vae"], until)
            case "decoder":  # the autoencoder's, further
                whole = vae.trained(self.more[0], self.work / "vae")
                vae.train_decoder(whole, *self.more, folder, self.recipe_of["decoder"], until)
            case "unet":
                encoded = {name: each.to(self.device) for name, each in self.encoded("more").items()}
                unet.train(encoded, self.eyes(), folder, self.recipe_of["unet"], until)
            case "pick":
                pick.train(self.judge(), *self.pictures, self.tokenizer, folder)
            case "sentence_encoder":
                sentence.train(*self.pictures, folder)
            case "ear":
                data, held_out = self.sounds
                ear.train(data.to(torch.device("cpu")), held_out, folder)
            case _:
                unconditional.train_part(part, *self.shown(part), self.work)

    def autoencoder(self) -> AutoencoderKL:
        """The autoencoder with its best decoder."""
        return vae.trained(self.more[0], self.work / "vae", self.work / "decoder")

    def text_encoder(self) -> CLIPTextModel:
        """The text tower alone."""
        clip = towers.trained(self.tokenizer, self.work / "text_encoder", PATCH)
        text = CLIPTextModel(clip.config.text_config)
        text.config.use_attention_mask = True  # told to pipelines: padding is masked, as where the U-Net was trained
        wanted = set(text.state_dict())
        prefix = "" if wanted <= set(clip.text_model.state_dict()) else "text_model."
        text.load_state_dict({prefix + k: v for k, v in clip.text_model.state_dict().items()})
        return text.eval()

    def judge(self) -> CLIPModel:
        """The towers of the judge."""
        return towers.trained(self.tokenizer, self.work / "clip", PATCH)

    def encoded(self, split: str) -> dict:
        """Latents and text embeddings of the pictures to train on ("more") or to look at ("held_out"), computed once."""
        data = self.held_out if split == "held_out" else self.more[0]
        parts = (vae.trained(self.more[0], self.work / "vae"), self.text_encoder())
        file = self.work / "encoded" / f"{split}.safetensors"
        return unet.encode(data, *(part.to(self.device) for part in parts), self.tokenizer, file)

    def eyes(self, number: int = 128) -> unet.Eyes | None:
        """What watches whether captions are followed, if anything does."""
        held = self.encoded("held_out")
        auto, judge = self.autoencoder(), classifier.trained(self.work / "inception")
        return unet.Eyes(auto, judge, self.held_out, held["text"][:number].float(), held["empty"].float())

    def pipeline(self) -> StableDiffusionPipeline:
        """The dense Stable Diffusion."""
        network = averaged(unet.network(), self.work / "unet")
        return pipeline(network, self.autoencoder(), self.text_encoder(), self.tokenizer, unet.scheduler())

    def ship(self, names: Iterable[str]) -> None:
        """Write models into the package in float16, each with its recipe beside it. names: of ASSETS."""
        for name in names:
            self._write(name, _fresh(assets.ROOT / name))
            recipe = {part: asdict(each) | {"last": self._last(part)} for part, each in self.recipes_of(name).items()}
            write_json(assets.ROOT / name / "recipe.json", recipe)

    def _write(self, name: str, folder: Path) -> None:
        match name:
            case "stable_diffusion":
                self.pipeline().to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
            case "clip" | "pick":
                towers_of = self.judge() if name == "clip" else averaged(self.judge(), self.work / "pick")
                towers_of.half().save_pretrained(folder, safe_serialization=True)
                CLIPProcessor(towers.eyesight(), self.tokenizer).save_pretrained(folder)
            case "inception":
                classifier.trained(self.work / "inception").save(folder)
            case "sentence_encoder":
                encoder = sentence.trained(self.train, self.work / "sentence_encoder")
                encoder.save(str(folder), create_model_card=False)
            case "ear":
                ear.trained(self.work / "ear").save(folder)
            case "faces" | "sounds":
                made = unconditional.pipeline(name, self.shown(name)[0], self.work)
                made.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)

    def recipes_of(self, name: str) -> dict[str, Recipe]:
        """The parts that an asset is made of, and how each is trained."""
        if name == "stable_diffusion":
            return {"text_encoder": towers.TEXT_ENCODER, **self.recipe_of}
        return {**SINGLE, **unconditional.RECIPES}[name]

    def _last(self, part: str) -> dict:
        lines = (self.work / part / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return json.loads(lines[-1])


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
