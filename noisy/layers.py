"""Convolution and max-pooling in one layer, for networks whose activation may stand behind the pooling."""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class PooledConvolution(nn.Conv2d):
    """Convolution 3x3 with padding 1, then max-pooling 2x2: float32 (n, c_in, s, s) to (n, c_out, s/2, s/2), s even.

    Of one channel, on a CPU, it is computed by matrix products: libraries' convolutions are made for many channels, and
    there they and the pooling took a third of a CNN's training, for a thirtieth of its arithmetic.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        if self.in_channels == 1 and images.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):  # float32: there is little arithmetic in it
                return _PooledContrasts.apply(images, self.weight, self.bias)
        return functional.max_pool2d(super().forward(images), 2)


class _PooledContrasts(torch.autograd.Function):
    """The pooled convolution of one channel.

    With a, b, c, d the convolution at the four pixels of a pooling window, and x+ = max(x, 0):

        max(a, b, c, d) = d + (c - d)+ + final+,   final = max(a, b) - max(c, d) = (b - d) + (a - b)+ - (c - d)+

    The convolution is linear, so the contrasts a - b, b - d, c - d and d are products of its weights with the same contrasts
    of pixels. Everything is then an operation on whole matrices; the contrasts' signs are all that the gradient needs.
    """

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """images (n, 1, s, s), weight (channels, 1, 3, 3), bias (channels,) -> (n, channels, s/2, s/2), channels_last."""
        channels, half = len(weight), images.shape[-1] // 2
        pixels = _contrasts(images)
        convolved = torch.mm(pixels.t(), weight.reshape(channels, 9).t()).view(4, -1, channels)
        a_b, b_d, c_d, d = convolved
        positive = c_d.relu()
        final = b_d.add_(a_b.relu()).sub_(positive)
        pooled = final.relu().add_(d).add_(positive).add_(bias)
        ctx.pixels, ctx.convolved = pixels, convolved
        return pooled.view(-1, half, half, channels).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor, torch.Tensor]:
        """gradient (n, channels, s/2, s/2) -> None for the images, and the gradients of weight and bias.

        Of equal pixels of a window the later one is taken for the largest: each window has one. What was kept is used up.
        """
        of_maximum = gradient.permute(0, 2, 3, 1).flatten(0, 2)
        a_b, final, c_d, d = ctx.convolved  # each is replaced by its gradient
        of_upper = _where_positive(final, of_maximum)
        _where_positive(a_b, of_upper)
        _where_positive(c_d, torch.sub(of_maximum, of_upper, out=d))
        d.copy_(of_maximum)
        of_weight = torch.mm(ctx.pixels, ctx.convolved.flatten(0, 1))
        return None, of_weight.t().reshape(-1, 1, 3, 3), of_maximum.sum(dim=0)


def _where_positive(x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Replace `x` by `gradient` where it is positive, else by 0: many times as fast as torch.where."""
    return torch.ops.aten.threshold_backward.grad_input(gradient, x, 0, grad_input=x)


def _contrasts(images: torch.Tensor) -> torch.Tensor:
    """(n, 1, s, s) -> (9, 4 n (s/2)**2): a - b, b - d, c - d and d of every pooling window, of each pixel of the 3x3 patch."""
    padded = functional.pad(images[:, 0], (1, 1, 1, 1))
    n, half = len(images), images.shape[-1] // 2
    image, row, column = padded.stride()
    shape, strides = (3, 3, 2, 2, n, half, half), (row, column, row, column, image, 2 * row, 2 * column)
    patches = padded.as_strided(shape, strides).reshape(9, 4, -1)
    a, b, c, d = patches.unbind(1)
    a -= b
    b -= d
    c -= d
    return patches.view(9, -1)
