"""MobileNetV2 (Sandler et al. 2018), as the eye of the evaluation only.

The layer names are torchvision's, so that its published ImageNet weights fit key for
key. The weights are not part of Salon: whoever evaluates brings the file.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

# expansion, channels, repeats, stride (the paper's table 2)
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _conv(
    width_in: int, width_out: int, size: int, stride: int, groups: int
) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(
            width_in, width_out, size, stride, size // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(width_out),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; a shortcut where the shapes agree."""

    def __init__(self, width_in: int, width_out: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = width_in * expand
        layers = [] if expand == 1 else [_conv(width_in, hidden, 1, 1, 1)]
        layers += [
            _conv(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, width_out, 1, bias=False),
            nn.BatchNorm2d(width_out),
        ]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and width_in == width_out

    def forward(self, x: Tensor) -> Tensor:
        """(n, in, h, w) -> (n, out, h / stride, w / stride)."""
        result: Tensor = x + self.conv(x) if self.shortcut else self.conv(x)
        return result


class MobileNetV2(nn.Module):
    """image (n, 3, 128, 128), normalised as for ImageNet -> features (n, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_conv(3, 32, 3, 2, 1)]
        width = 32
        for expand, channels, repeats, stride in _STAGES:
            for i in range(repeats):
                step = stride if i == 0 else 1
                blocks.append(InvertedResidual(width, channels, step, expand))
                width = channels
        blocks.append(_conv(width, 1280, 1, 1, 1))
        self.features = nn.Sequential(*blocks)

    def forward(self, image: Tensor) -> Tensor:
        """Mean over places of the last layer."""
        result: Tensor = self.features(image).mean(dim=(2, 3))
        return result


def load_mobilenet(weights: Path) -> MobileNetV2:
    """Fill the network from torchvision's file, read as plain tensors only."""
    state = torch.load(weights, map_location="cpu", weights_only=True)
    model = MobileNetV2()
    model.load_state_dict({k: v for k, v in state.items() if k.startswith("features")})
    return model.eval()
