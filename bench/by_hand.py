"""The same networks as a PyTorch programmer writes them by hand: NCHW, to be used in channels_last."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mlp() -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(8):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(64, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Block(nn.Module):
    def __init__(self, d: int = 256, heads: int = 8, hidden: int = 1024):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        self.norm1 = nn.LayerNorm(d, eps=1e-6)
        self.up = nn.Linear(d, hidden)
        self.down = nn.Linear(hidden, d)
        self.norm2 = nn.LayerNorm(d, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d)
        x = self.norm1(x + self.out(attended))
        return self.norm2(x + self.down(F.relu(self.up(x))))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*(Block() for _ in range(4)))
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x).mean(1))


def norm(channels: int, eps: float, momentum: float) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps, momentum)


class Same(nn.Conv2d):
    """A 3x3 convolution of stride 2, padded as TensorFlow pads an even image: below and on the right."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Inverted(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expand: int):
        super().__init__()
        hidden = inputs * expand
        self.adds = stride == 1 and inputs == outputs
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [nn.Conv2d(inputs, hidden, 1, bias=False), norm(hidden, 1e-3, 0.001), nn.ReLU6()]
        depthwise = (
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
            if stride == 1
            else Same(hidden, hidden, 3, stride, groups=hidden, bias=False)
        )
        layers += [depthwise, norm(hidden, 1e-3, 0.001), nn.ReLU6()]
        layers += [nn.Conv2d(hidden, outputs, 1, bias=False), norm(outputs, 1e-3, 0.001)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet() -> nn.Module:
    layers: list[nn.Module] = [Same(3, 32, 3, 2, bias=False), norm(32, 1e-3, 0.001), nn.ReLU6()]
    inputs = 32
    for expand, outputs, repeats, stride in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for i in range(repeats):
            layers.append(Inverted(inputs, outputs, stride if i == 0 else 1, expand))
            inputs = outputs
    layers += [nn.Conv2d(320, 1280, 1, bias=False), norm(1280, 1e-3, 0.001), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 10))


class Bottleneck(nn.Module):
    """Keras' ResNet50: the stride is in the first 1x1 convolution, and convolutions have biases."""

    def __init__(self, inputs: int, width: int, stride: int, shortcut: bool):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, width, 1, stride), norm(width, 1.001e-5, 0.01), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, padding=1), norm(width, 1.001e-5, 0.01), nn.ReLU()),
            *(nn.Conv2d(width, 4 * width, 1), norm(4 * width, 1.001e-5, 0.01)),
        )
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inputs, 4 * width, 1, stride), norm(4 * width, 1.001e-5, 0.01))
            if shortcut
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.body(x))


def resnet() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, padding=3), norm(64, 1.001e-5, 0.01), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, padding=1))
    inputs = 64
    for width, repeats, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(repeats):
            layers.append(Bottleneck(inputs, width, stride if i == 0 else 1, i == 0))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class FromImages(nn.Module):
    """Takes [batch, height, width, channels], whose NCHW view is channels_last."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.permute(0, 3, 1, 2))


def build(name: str) -> nn.Module:
    if name in ("mobilenet", "resnet"):
        return FromImages({"mobilenet": mobilenet, "resnet": resnet}[name]())
    return {"mlp": mlp, "lstm": Lstm, "transformer": Transformer}[name]()
