"""The gradient of a net's first batches at its start: what masks at initialisation rank by."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from engine.data.resident import ResidentData, batch_bounds, epoch_order
from engine.models.output_scale import scale_output
from engine.nets import build_net
from engine.seeds import derive_seed
from engine.spec import ExperimentSpec
from engine.training.losses import build_objective


def measure_first_gradient(
    spec: ExperimentSpec,
    data: ResidentData,
    seed: int,
    theta: Mapping[str, Tensor],
    num_batches: int,
) -> Tensor:
    """The mean gradient [p] of the first `num_batches` batches of the seed's first epoch, at theta.

    In the order of `named_parameters()`, on the CPU, in fp32, of the images without augmentation;
    layers work as in training.
    """
    net = build_net(spec, data.info)
    net.load_state_dict(dict(theta))
    net.to(data.x_train.device).train()
    scale_output(net, spec.output_scale)
    objective = build_objective(spec.loss, spec.output_scale)
    parameters = list(net.parameters())
    total = [torch.zeros_like(parameter) for parameter in parameters]
    count = len(data.y_train)
    (order_seed,) = spec.order_seeds([seed])
    order = epoch_order(order_seed, 0, count).to(data.x_train.device)
    for number, (start, stop) in enumerate(batch_bounds(count, spec.batch_size)[:num_batches]):
        torch.manual_seed(derive_seed(seed, "first gradient", number))  # for dropout and the like
        indices = order[start:stop]
        loss = objective(net(data.x_train[indices]), data.y_train[indices])
        torch._foreach_add_(total, list(torch.autograd.grad(loss, parameters)))
    return torch.cat([one.reshape(-1) for one in total]).cpu() / num_batches
