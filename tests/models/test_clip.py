"""CLIP's image tower and LAION's heads against torch's own layers, in both published layouts."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reference.networks import (  # noqa: E402
    ClipTower,
    aesthetic_state,
    openai_state,
    save_safetensors,
    save_script,
    transformers_state,
)
from steadyview.errors import InputError  # noqa: E402
from steadyview.models.clip import AestheticHead, ImageTower, is_tower  # noqa: E402
from steadyview.models.weights import read_state  # noqa: E402


def pictures():
    random = torch.Generator().manual_seed(0)
    return (255 * torch.rand(2, 3, 40, 60, generator=random)).to(torch.uint8)


def test_the_tower_is_its_definition_in_both_layouts(tmp_path):
    reference = ClipTower().eval()
    torch.save(openai_state(reference), tmp_path / "openai.pt")
    half = {n: t.half().float() for n, t in transformers_state(reference).items()}
    save_safetensors(transformers_state(reference), tmp_path / "model.safetensors")
    tower = ImageTower(read_state([tmp_path / "openai.pt"], is_tower))
    assert (tower.size, tower.features) == (24, 24)
    with torch.no_grad():
        wanted = torch.nn.functional.normalize(reference(tower.prepare(pictures()).cpu()), dim=1)
    found = tower(pictures()).cpu()
    torch.testing.assert_close(found, wanted, atol=2e-6, rtol=1e-5)
    theirs = ImageTower(read_state([tmp_path / "model.safetensors"], is_tower))
    assert torch.equal(theirs(pictures()).cpu(), found)
    # Files in half precision are read too.
    save_safetensors({n: t.half() for n, t in half.items()}, tmp_path / "half.safetensors")
    coarse = ImageTower(read_state([tmp_path / "half.safetensors"], is_tower))
    torch.testing.assert_close(coarse(pictures()).cpu(), found, atol=5e-3, rtol=0)


def test_openais_torchscript_archives_are_read(tmp_path):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = torch.nn.Linear(2, 2)

        def forward(self, x: torch.Tensor):
            return self.visual(x)

    save_script(Whole(), tmp_path / "ViT.pt")
    assert sorted(read_state([tmp_path / "ViT.pt"], is_tower)) == ["visual.bias", "visual.weight"]


def test_pictures_are_prepared_as_pillow_does():
    image_module = pytest.importorskip("PIL.Image")
    tower = ImageTower(openai_state(ClipTower()))
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (90, 131, 3), np.uint8)
    small = image_module.fromarray(picture).resize((34, 24), image_module.BICUBIC)
    middle = np.asarray(small).astype(float)[:, 5:29]
    prepared = tower.prepare(torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()))
    mean, deviation = ImageTower.prepare.__globals__["_MEAN"], (0.26862954, 0.26130258, 0.27577711)
    back = prepared[0].cpu().numpy().transpose(1, 2, 0) * deviation + mean
    assert np.abs(255 * back - middle).max() < 1.01  # Pillow's weights are of 8 bits


def test_both_heads():
    features = torch.nn.functional.normalize(torch.randn(3, 24, generator=torch.manual_seed(1)))
    linear = {"weight": torch.randn(1, 24), "bias": torch.tensor([5.0])}
    found = AestheticHead(linear, 24)(features)
    torch.testing.assert_close(found, features @ linear["weight"][0] + 5)
    state = aesthetic_state()
    x = features
    for index in (0, 2, 4, 6, 7):
        x = x @ state[f"layers.{index}.weight"].T + state[f"layers.{index}.bias"]
    torch.testing.assert_close(AestheticHead(state, 24)(features), x[:, 0])
    with pytest.raises(InputError, match=r"layers\.0\.weight.*anyx32, got 16x24"):
        AestheticHead(state, 32)
    with pytest.raises(InputError, match="one number, got 2"):
        AestheticHead({"weight": torch.zeros(2, 24), "bias": torch.zeros(2)}, 24)


def test_what_does_not_fit_is_named():
    state = openai_state(ClipTower())
    with pytest.raises(InputError, match="ResNet"):
        ImageTower({"visual.layer1.0.conv1.weight": torch.zeros(1)})
    for name in ("visual.proj", "visual.transformer.resblocks.1.mlp.c_fc.bias"):
        with pytest.raises(InputError, match=f"lack '{name}'"):
            ImageTower({n: t for n, t in state.items() if n != name})
    wrong = state | {"visual.positional_embedding": torch.zeros(11, 128)}
    with pytest.raises(InputError, match="no vision transformer"):
        ImageTower(wrong)
