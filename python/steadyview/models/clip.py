"""CLIP's image tower, and the heads that LAION trained on its features to rate pictures.

Source:
    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021;
    LAION-AI/aesthetic-predictor and christophschuhmann/improved-aesthetic-predictor.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch.nn import functional

from ..errors import InputError
from .weights import State, default_device, take

__all__ = ["AestheticHead", "ImageTower", "is_head", "is_tower"]

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_HEAD_WIDTH = 64  # of every vision transformer that OpenAI published
_WHAT = "clip"


class ImageTower:
    """The image half of OpenAI's CLIP (its vision transformers), with the user's weights.

    Args:
        state: tensors named as OpenAI's files name them (`visual.conv1.weight` …) or as
            `transformers` does (`vision_model.embeddings.patch_embedding.weight` …,
            `visual_projection.weight`). Widths, depth, patch and picture size are read from them.
        device: where it runs; None: the GPU where there is one.

    Raises:
        InputError: weights are missing, do not fit together, or are of a ResNet.
    """

    def __init__(self, state: State, device: torch.device | None = None) -> None:
        self.device = device or default_device()
        if any(name.startswith("visual.layer1.") for name in state):
            raise InputError("clip: these are weights of a ResNet; a vision transformer is needed")
        if any(name.startswith("vision_model.") for name in state):
            state = _from_transformers(state)
        patches = take(state, "visual.conv1.weight", (-1, 3, -1, -1), _WHAT)
        width, self._patch = int(patches.shape[0]), int(patches.shape[-1])
        places = take(state, "visual.positional_embedding", (-1, width), _WHAT)
        side = math.isqrt(len(places) - 1)
        if side * side != len(places) - 1 or width % _HEAD_WIDTH:
            raise InputError(
                f"clip: {len(places)} places and width {width} are of no vision transformer of "
                f"OpenAI (1 + a square, a multiple of {_HEAD_WIDTH})"
            )
        self.size = side * self._patch
        self._heads = width // _HEAD_WIDTH
        layer = re.compile(r"visual\.transformer\.resblocks\.(\d+)\.")
        self._depth = 1 + max((int(m[1]) for n in state if (m := layer.match(n))), default=-1)
        self._w = {name: state[name] for name in state if name.startswith("visual.")}
        self._check(width)
        self._w = {name: tensor.to(self.device) for name, tensor in self._w.items()}
        #: Numbers that describe a picture.
        self.features = int(self._w["visual.proj"].shape[1])
        self._mean, self._deviation = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (_MEAN, _DEVIATION)
        )

    def _check(self, width: int) -> None:
        shapes: dict[str, tuple[int, ...]] = {
            "class_embedding": (width,),
            "proj": (width, -1),
            **{f"{n}.{p}": (width,) for n in ("ln_pre", "ln_post") for p in ("weight", "bias")},
        }
        for number in range(max(self._depth, 1)):
            block = f"transformer.resblocks.{number}"
            hidden = 4 * width
            shapes |= {
                f"{block}.{n}.{p}": (width,) for n in ("ln_1", "ln_2") for p in ("weight", "bias")
            }
            shapes |= {
                f"{block}.attn.in_proj_weight": (3 * width, width),
                f"{block}.attn.in_proj_bias": (3 * width,),
                f"{block}.attn.out_proj.weight": (width, width),
                f"{block}.attn.out_proj.bias": (width,),
                f"{block}.mlp.c_fc.weight": (hidden, width),
                f"{block}.mlp.c_fc.bias": (hidden,),
                f"{block}.mlp.c_proj.weight": (width, hidden),
                f"{block}.mlp.c_proj.bias": (width,),
            }
        for name, shape in shapes.items():
            take(self._w, f"visual.{name}", shape, _WHAT)

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """Pictures as CLIP was shown them: short side to `size` (bicubic), the middle, normalised.

        Args:
            images: `(N, 3, H, W)` RGB, uint8.
        """
        height, width = images.shape[2:]
        scale = self.size / min(height, width)
        rows, columns = max(int(height * scale), self.size), max(int(width * scale), self.size)
        small = functional.interpolate(
            images.to(self.device).float(), (rows, columns), mode="bicubic", antialias=True
        )
        top, left = round((rows - self.size) / 2), round((columns - self.size) / 2)
        middle = small[:, :, top : top + self.size, left : left + self.size]
        # Pillow, which resized the pictures CLIP learnt from, gives whole numbers.
        return (middle.round().clamp(0, 255) / 255 - self._mean) / self._deviation

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Features `(N, features)` of length one.

        Args:
            images: `(N, 3, H, W)` RGB, uint8, of any size.
        """
        x = functional.conv2d(
            self.prepare(images), self._w["visual.conv1.weight"], stride=self._patch
        )
        x = x.flatten(2).transpose(1, 2)
        front = self._w["visual.class_embedding"].expand(len(x), 1, -1)
        x = torch.cat([front, x], dim=1) + self._w["visual.positional_embedding"]
        x = self._norm(x, "visual.ln_pre")
        for number in range(self._depth):
            block = f"visual.transformer.resblocks.{number}"
            x = x + self._attention(self._norm(x, f"{block}.ln_1"), f"{block}.attn")
            hidden = self._linear(self._norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
            x = x + self._linear(hidden * torch.sigmoid(1.702 * hidden), f"{block}.mlp.c_proj")
        features = self._norm(x[:, 0], "visual.ln_post") @ self._w["visual.proj"]
        return functional.normalize(features, dim=1)

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(
            x, x.shape[-1:], self._w[f"{name}.weight"], self._w[f"{name}.bias"], 1e-5
        )

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, self._w[f"{name}.weight"], self._w[f"{name}.bias"])

    def _attention(self, x: torch.Tensor, name: str) -> torch.Tensor:
        count, places, width = x.shape
        mixed = functional.linear(
            x, self._w[f"{name}.in_proj_weight"], self._w[f"{name}.in_proj_bias"]
        )
        query, key, value = mixed.view(count, places, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value)
        return self._linear(seen.transpose(1, 2).reshape(count, places, width), f"{name}.out_proj")


class AestheticHead:
    """A rating of pictures from their CLIP features, about 1 to 10.

    Args:
        state: LAION's linear head (`weight`, `bias`), or the layers of the improved predictor
            (`layers.0.weight` …), which are applied one after the other with nothing between.
        features: numbers that describe a picture.
        device: where it runs; None: the GPU where there is one.

    Raises:
        InputError: weights are missing, or are for other features.
    """

    def __init__(self, state: State, features: int, device: torch.device | None = None) -> None:
        indices = sorted({int(m[1]) for n in state if (m := re.match(r"layers\.(\d+)\.", n))})
        names = [f"layers.{index}." for index in indices] or [""]
        self._layers = []
        for name in names:
            weight = take(state, f"{name}weight", (-1, features), "aesthetic")
            features = int(weight.shape[0])
            bias = take(state, f"{name}bias", (features,), "aesthetic")
            self._layers.append([part.to(device or default_device()) for part in (weight, bias)])
        if features != 1:
            raise InputError(f"aesthetic: the head must end in one number, got {features}")

    @torch.inference_mode()
    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Ratings `(N,)` of features `(N, features)` of length one."""
        for weight, bias in self._layers:
            features = functional.linear(features, weight, bias)
        return features[:, 0]


def is_tower(name: str) -> bool:
    """Whether a tensor of this name belongs to the image tower."""
    return name.startswith(("visual.", "vision_model.", "visual_projection."))


def is_head(name: str) -> bool:
    """Whether a tensor of this name belongs to a head."""
    return re.fullmatch(r"(layers\.\d+\.)?(weight|bias)", name) is not None


_RENAMED = (
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),  # the misspelling is theirs
    ("vision_model.post_layernorm.", "visual.ln_post."),
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
    (".self_attn.", ".attn."),
)


def _from_transformers(state: State) -> State:
    """Names and shapes of `transformers` brought to OpenAI's."""
    named: dict[str, Any] = {}
    for name, tensor in state.items():
        for theirs, ours in _RENAMED:
            name = name.replace(theirs, ours)
        named[name] = tensor
    for name in [n for n in named if n.endswith(".attn.q_proj.weight")]:
        stem = name.removesuffix("q_proj.weight")
        for kind in ("weight", "bias"):
            parts = [named.pop(f"{stem}{part}_proj.{kind}", None) for part in "qkv"]
            if all(part is not None for part in parts):
                named[f"{stem}in_proj_{kind}"] = torch.cat(parts)
    if (projection := named.pop("visual_projection.weight", None)) is not None:
        named["visual.proj"] = projection.T.contiguous()
    if named.get("visual.class_embedding", torch.zeros(1)).ndim == 3:  # early files: (1, 1, width)
        named["visual.class_embedding"] = named["visual.class_embedding"].flatten()
    return named
