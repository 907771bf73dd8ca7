"""Adam without the modules that torch.optim's classes load, which are not needed and cost a worker 150 MB and a CPU second."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.adam import adam


class Adam:
    """Adam as in Kingma and Ba (arXiv 1412.6980) with torch's defaults, computed by torch's own fused kernel.

    Args:
        parameters: all on one device; they must have gradients when `step` is called.
        learning_rate: step size, above 0.
        weight_decay: L2 penalty that is added to the gradient, as in torch.optim.Adam.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float) -> None:
        self._parameters = list(parameters)
        self._values = [parameter.detach() for parameter in self._parameters]  # views of the same memory without autograd
        self._means, self._squares = ([torch.zeros_like(value) for value in self._values] for _ in range(2))
        self._steps = [torch.zeros((), device=value.device) for value in self._values]
        self._learning_rate, self._weight_decay = learning_rate, weight_decay

    def step(self) -> None:
        """Update the parameters by their gradients, then clear the gradients."""
        adam(
            self._values,
            [parameter.grad for parameter in self._parameters if parameter.grad is not None],
            self._means,
            self._squares,
            [],
            self._steps,
            foreach=False,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._learning_rate,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )
        for parameter in self._parameters:
            parameter.grad = None
