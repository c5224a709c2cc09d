from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from aptp_bench.core.progress import SilentProgress
from aptp_bench.data import table
from aptp_bench.errors import CheckpointError, DataError
from aptp_bench.training.latents import Pairs, encode_pairs, encode_text, prepared

CAPTIONS = ["a cat", "a dog on a mat", "rain", "ünïcode, and a long caption about nothing at all", "a cat"]


@pytest.fixture
def dataset() -> datasets.Dataset:
    generator = np.random.default_rng(0)
    images = [Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in CAPTIONS]
    features = datasets.Features({"caption": datasets.Value("string"), "image": datasets.Image()})
    return datasets.Dataset.from_dict({"caption": CAPTIONS, "image": images}, features=features)


@pytest.fixture
def encoded(tiny: Any, dataset: Any, tmp_path: Path) -> Any:
    """encoded(folder="whole", progress=silent, data=dataset, text=True) -> pairs of 8 pixels."""

    def encode(folder: str = "whole", progress: Any = None, data: Any = dataset, text: bool = True) -> Pairs:
        return encode_pairs(tiny, data, progress or SilentProgress(), 2, 8, tmp_path / folder, text)

    return encode


def test_pairs_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match="2 captions, 3 latents, 3 texts"):
        Pairs(["a", "b"], torch.zeros(3, 4, 2, 2), torch.zeros(3, 1, 1))


def test_a_batch_holds_the_rows_asked_for_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(5, 3, 2, generator=generator).half()
    pairs = Pairs(CAPTIONS, torch.randn(5, 4, 2, 2, generator=generator), text)
    batch = pairs.batch(torch.tensor([4, 0, 4]))
    assert batch.latents.dtype == batch.text.dtype == torch.float32
    assert torch.equal(batch.latents, pairs.latents[[4, 0, 4]])
    assert torch.equal(batch.text, pairs.text[[4, 0, 4]].float())
    assert len(pairs.subset([1, 2])) == 2


@pytest.mark.parametrize("file", ["pairs.safetensors", "captions.json"])
def test_broken_pairs_are_refused(encoded: Any, tmp_path: Path, file: str) -> None:
    encoded()
    (tmp_path / "whole" / file).write_text("{")
    with pytest.raises(CheckpointError, match="run again"):
        Pairs.load(tmp_path / "whole")


def test_encoding_is_the_vae_mean_and_what_generation_reads(tiny: Any, dataset: Any, encoded: Any) -> None:
    pairs = encoded()
    with torch.no_grad():
        image = prepared(dataset[1]["image"], 8)[None]
        mean = tiny.vae.encode(image).latent_dist.mean * tiny.vae.config.scaling_factor
        tokens = tiny.tokenizer(
            [CAPTIONS[1]], padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        )
        text = tiny.text_encoder(tokens.input_ids)[0]
    torch.testing.assert_close(pairs.latents[1:2].float(), mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(pairs.text[1:2].float(), text, rtol=2e-3, atol=2e-3)
    assert list(pairs.captions) == CAPTIONS and torch.equal(pairs.text[0], pairs.text[4])


def test_a_killed_encoding_goes_on_where_it_stopped(encoded: Any, tmp_path: Path, killed: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        encoded("cut", killed(2))
    rest = killed(9)
    pairs, whole = encoded("cut", rest), encoded()
    assert rest.seen == 1
    assert torch.equal(pairs.latents, whole.latents) and torch.equal(pairs.text, whole.text)
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == ["captions.json", "pairs.safetensors"]


@pytest.mark.parametrize("text", [True, False])
def test_an_image_of_several_captions_is_encoded_once(
    encoded: Any, dataset: Any, tmp_path: Path, killed: Any, text: bool
) -> None:
    """Rows that name one file, as COCO's five captions do."""
    for i in range(3):
        dataset[i]["image"].save(tmp_path / f"{i}.png")
    of = [0, 1, 0, 2, 1]
    rows = table.of_files([tmp_path / f"{i}.png" for i in of], CAPTIONS)
    with pytest.raises(KeyboardInterrupt):
        encoded("cut", killed(1), rows, text)
    shared, alone = encoded("cut", data=rows, text=text), encoded(data=dataset.select(of))
    assert shared.latents.shape == (3, 4, 4, 4) and alone.latents.shape == (5, 4, 4, 4)
    for indices in ([0, 1, 2, 3, 4], [4, 2]):
        torch.testing.assert_close(shared.batch(indices).latents, alone.batch(indices).latents, rtol=2e-3, atol=2e-3)
        assert torch.equal(shared.subset(indices).latents, shared.latents[[of[i] for i in indices]])
        assert shared.subset(indices).captions == [CAPTIONS[i] for i in indices]


def test_an_encoding_goes_on_with_another_number_of_processes(encoded: Any, tmp_path: Path, killed: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        encoded("cut", killed(1))
    (log,) = (tmp_path / "cut").glob("*.log")
    log.rename(log.with_name(log.name.replace("0", "7")))  # as if an eighth process had been there
    log.write_text("2 4")  # and one had died while it wrote that line
    rest = killed(9)
    pairs, whole = encoded("cut", rest), encoded()
    assert rest.seen == 2
    assert torch.equal(pairs.latents, whole.latents) and torch.equal(pairs.text, whole.text)


def test_captions_that_are_not_stored_are_encoded_when_they_are_read(encoded: Any, tiny: Any, tmp_path: Path) -> None:
    stored, read = encoded(), encoded("latents", text=False)
    assert torch.equal(stored.latents, read.latents) and len(read.text) == len(CAPTIONS)
    rows = torch.tensor([4, 1, 1])
    for device_rows in (stored.batch(rows), read.subset(rows).batch([0, 1, 2]), read.batch(rows)):
        torch.testing.assert_close(device_rows.text, stored.batch(rows).text, rtol=2**-10, atol=1e-6)
        assert device_rows.text.dtype == torch.float32 and torch.equal(device_rows.text[1], device_rows.text[2])
    with pytest.raises(CheckpointError, match="run again"):
        Pairs.load(tmp_path / "latents")  # by whose encoder?
    assert torch.equal(Pairs.load(tmp_path / "whole").text, stored.text)


def test_pairs_of_the_papers_size_are_four_gigabytes(tmp_path: Path) -> None:
    """By count on a sample of the real shape: 256 pixels, SD 2.1's latents of 4x32x32."""
    sides = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    vae = AutoencoderKL(block_out_channels=(4,) * 4, norm_num_groups=2, latent_channels=4, **sides)
    teacher: Any = SimpleNamespace(vae=vae.eval())
    images = [Image.new("RGB", (256, 256), (i, 0, 0)) for i in range(4)]
    features = datasets.Features({"caption": datasets.Value("string"), "image": datasets.Image()})
    captions = ["a man in a red shirt rides a brown horse along the beach"] * 4
    rows = datasets.Dataset.from_dict({"caption": captions, "image": images}, features=features)
    encode_pairs(teacher, rows, SilentProgress(), 4, 256, tmp_path / "pairs", text=False)
    assert Pairs.load(tmp_path / "pairs", teacher).latents.shape == (4, 4, 32, 32)
    size = sum(file.stat().st_size for file in (tmp_path / "pairs").iterdir())
    assert size / 4 * 400_000 <= 4e9


def test_an_empty_dataset_is_refused(encoded: Any, dataset: Any) -> None:
    with pytest.raises(DataError, match="raise the training limit"):
        encoded(data=dataset.select([]))


def test_an_image_is_scaled_by_its_shorter_side_and_cropped_at_the_centre() -> None:
    left_white = Image.new("L", (40, 20))
    left_white.paste(255, (0, 0, 20, 20))
    tensor = prepared(left_white, 10)
    assert tensor.shape == (3, 10, 10) and tensor.min() >= -1 and tensor.max() <= 1
    assert tensor[:, :, 0].min() > 0.99 and tensor[:, :, -1].max() < -0.99
    assert prepared(Image.new("RGB", (7, 31)), 16).shape == (3, 16, 16)


def test_the_empty_prompt_has_a_text_of_its_own(tiny: Any) -> None:
    text = encode_text(tiny, ["", "a cat"])
    assert text.shape == (2, 77, 16) and not torch.equal(text[0], text[1])
