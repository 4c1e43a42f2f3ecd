"""Small networks of the published layouts, out of torch modules: their states are test weights.

Widths are reduced; names, order, strides and activations are the published ones.
"""

import itertools
from collections import OrderedDict

import torch
from torch import nn


def alexnet_features(widths=(8, 12, 16, 12, 10)) -> nn.Sequential:
    """`features` of torchvision's alexnet."""
    a, b, c, d, e = widths
    return nn.Sequential(
        nn.Conv2d(3, a, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(a, b, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(b, c, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(c, d, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(d, e, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def vgg_features(widths=(4, 6, 8, 10, 9)) -> nn.Sequential:
    """`features` of torchvision's vgg16."""
    layers: list[nn.Module] = []
    channels = 3
    for width, count in zip(widths, (2, 2, 3, 3, 3), strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, 1, 1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


# After which layers of `features` the five outputs are taken.
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}


def backbone(kind: str) -> nn.Sequential:
    torch.manual_seed(1)
    return alexnet_features() if kind == "alex" else vgg_features()


def lin_state(features: nn.Sequential, kind: str) -> dict[str, torch.Tensor]:
    """Positive weights of one linear layer a tap, by lpips v0.1's names."""
    torch.manual_seed(2)
    widths = [features[tap - 1].out_channels for tap in TAPS[kind]]
    return {f"lin{k}.model.1.weight": torch.rand(1, n, 1, 1) for k, n in enumerate(widths)}


@torch.no_grad()
def slow_lpips(features, lins, kind, first, second) -> float:
    """In float64, of two `(3, H, W)` pictures in [0, 1]."""
    shift = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64)[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64)[:, None, None]
    features = features.double()
    outputs = []
    for picture in (first, second):
        x, taps = ((2 * picture.double() - 1 - shift) / scale)[None], []
        for number, layer in enumerate(features):
            x = layer(x)
            if number in TAPS[kind]:
                taps.append(x[0])
        outputs.append(taps)
    total = 0.0
    for k, (a, b) in enumerate(zip(*outputs, strict=True)):
        weights = lins[f"lin{k}.model.1.weight"].double().flatten()
        # Every pixel's features to length one; 1e-10 keeps pixels without any from 0 / 0.
        one, other = (t / (torch.linalg.vector_norm(t, dim=0) + 1e-10) for t in (a, b))
        total += float(torch.einsum("c,cyx->yx", weights, (one - other) ** 2).mean())
    return total


class _QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        layers = (
            ("c_fc", nn.Linear(width, 4 * width)),
            ("gelu", _QuickGelu()),
            ("c_proj", nn.Linear(4 * width, width)),
        )
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class ClipTower(nn.Module):
    """The image tower of OpenAI's CLIP; under `visual.` its state has the published names."""

    def __init__(self, width=128, depth=2, patch=8, side=3, features=24) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) / 10)
        self.positional_embedding = nn.Parameter(torch.randn(side * side + 1, width) / 10)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(*(_Block(width) for _ in range(depth)))
        self.proj = nn.Parameter(torch.randn(width, features) / width**0.5)
        for parameter in self.parameters():  # no bias nor scale at its rest
            parameter.data += 0.02 * torch.randn_like(parameter)

    def forward(self, prepared):
        x = self.conv1(prepared).flatten(2).permute(2, 0, 1)  # places first
        front = self.class_embedding[None, None].expand(1, x.shape[1], -1)
        x = torch.cat([front, x]) + self.positional_embedding[:, None]
        x = self.transformer.resblocks(self.ln_pre(x))
        return self.ln_post(x[0]) @ self.proj


def openai_state(tower: ClipTower) -> dict[str, torch.Tensor]:
    """As in OpenAI's files: the tower beside the text's half."""
    state = {f"visual.{name}": tensor for name, tensor in tower.state_dict().items()}
    return state | {"logit_scale": torch.tensor(4.6), "text_projection": torch.zeros(4, 4)}


def transformers_state(tower: ClipTower) -> dict[str, torch.Tensor]:
    """The same weights as `transformers.CLIPModel` names them."""
    state: dict[str, torch.Tensor] = {"logit_scale": torch.tensor(4.6)}
    for name, tensor in tower.state_dict().items():
        parts = name.split(".")
        if name == "proj":
            state["visual_projection.weight"] = tensor.T.contiguous()
        elif name == "class_embedding":
            state["vision_model.embeddings.class_embedding"] = tensor
        elif name == "positional_embedding":
            state["vision_model.embeddings.position_embedding.weight"] = tensor
        elif name == "conv1.weight":
            state["vision_model.embeddings.patch_embedding.weight"] = tensor
        elif parts[0] in ("ln_pre", "ln_post"):
            norm = {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm"}[parts[0]]
            state[f"vision_model.{norm}.{parts[1]}"] = tensor
        else:
            layer = f"vision_model.encoder.layers.{parts[2]}"
            if "in_proj" in name:
                kind = name.rpartition("_")[2]
                for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                    state[f"{layer}.self_attn.{letter}_proj.{kind}"] = third.clone()
            elif parts[3] == "attn":
                state[f"{layer}.self_attn.out_proj.{parts[-1]}"] = tensor
            elif parts[3] == "mlp":
                linear = {"c_fc": "fc1", "c_proj": "fc2"}[parts[4]]
                state[f"{layer}.mlp.{linear}.{parts[5]}"] = tensor
            else:
                state[f"{layer}.layer_norm{parts[3][-1]}.{parts[4]}"] = tensor
    return state


def aesthetic_state(features: int = 24) -> dict[str, torch.Tensor]:
    """The improved predictor's layers: linear ones at 0, 2, 4, 6, 7, dropout between."""
    torch.manual_seed(4)
    widths = (features, 16, 12, 8, 6, 1)
    linears = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
    state = {}
    for index, linear in zip((0, 2, 4, 6, 7), linears, strict=True):
        state |= {f"layers.{index}.{k}": v for k, v in linear.state_dict().items()}
    return state


class TinyI3d(nn.Module):
    """The call of the field's I3D TorchScript; features are means of colours over time."""

    def forward(
        self, x: torch.Tensor, rescale: bool = False, resize: bool = False,
        return_features: bool = False,
    ):  # fmt: skip
        assert rescale
        assert resize
        assert return_features
        halves = torch.stack([x[:, :, :8].mean(dim=(2, 3, 4)), x[:, :, 8:].mean(dim=(2, 3, 4))], 1)
        return halves.flatten(1)


class TinyDover(nn.Module):
    """The call of DOVER's two halves: the aesthetic score, the technical one."""

    def forward(self, aesthetic_view: torch.Tensor, technical_view: torch.Tensor):
        assert list(aesthetic_view.shape) == [1, 3, 32, 224, 224]
        assert list(technical_view.shape) == [3, 3, 32, 224, 224]
        return aesthetic_view.mean() / 100, technical_view.mean(dim=(1, 2, 3, 4)) / 100


def save_script(module: nn.Module, path) -> None:
    """As TorchScript, without the warnings that it is old."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module.eval()), str(path))


def save_safetensors(state: dict[str, torch.Tensor], path) -> None:
    """The format by its description: length, JSON header, bytes."""
    import json

    header, blobs, place = {}, [], 0
    for name, tensor in state.items():
        data = tensor.contiguous().numpy().tobytes()
        kind = {torch.float32: "F32", torch.float16: "F16"}[tensor.dtype]
        offsets = [place, place + len(data)]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": offsets}
        blobs.append(data)
        place += len(data)
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))
