"""What a round of one seed trains: masks by magnitude, and the starts of ticket and controls."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

import torch
from torch import Tensor

from engine.analysis.mixture import Theta
from engine.analysis.movement import draw_bits, magnitude_bits, rank_magnitudes
from engine.context import RunContext
from engine.data.resident import ResidentData
from engine.determinism import make_generator
from engine.experiments.lottery.spec import LotterySpec, Series
from engine.models.build import initialise
from engine.models.layout import layout
from engine.models.weights import load_tensors
from engine.nets import build_net
from engine.seeds import derive_seed
from engine.training.masked import MaskedStart
from engine.training.outcome import TrainedSeed

LARGEST = 2**31 - 1


class Tickets:
    """The rounds of one seed, from the training of the whole net.

    kept: tensors that are saved with the run, where the masks are between rounds.
    """

    def __init__(
        self,
        spec: LotterySpec,
        ctx: RunContext,
        data: ResidentData,
        trained: TrainedSeed,
        kept: MutableMapping[str, Tensor],
    ) -> None:
        self._spec, self._ctx, self._data = spec, ctx, data
        self._seed, self._kept = trained.seed, kept
        self._left = spec.list_left(layout(spec.model, data.info))
        """By weight tensor: how many are left, by round"""
        self._rewound: Theta = trained.theta_0
        if spec.rewind_step:
            stored = ctx.load_checkpoint(f"step_{spec.rewind_step}", trained.seed)
            self._rewound = load_tensors(stored)
        if not any(name.startswith(f"{self._seed}.") for name in kept):
            whole = {name: torch.ones_like(one, dtype=torch.bool) for name, one in self._weights()}
            self._keep(1, self._prune(1, whole, trained.theta_T))

    def start(self, series: Series, number: int) -> MaskedStart:
        """What a series trains in the round `number`, from 1.

        The ticket: the rewound weights under the mask of this round.
        """
        masks = self._draw_masks(number) if series == "random" else self.masks(number)
        theta = self._draw_weights(number) if series == "fresh" else self._rewound
        return MaskedStart(
            {
                name: torch.where(masks[name], one, 0.0) if name in masks else one
                for name, one in theta.items()
            },
            {
                name: masks.get(name, torch.ones_like(one, dtype=torch.bool))
                for name, one in theta.items()
            },
            0 if series == "fresh" else self._spec.rewind_step,
        )

    def masks(self, number: int) -> dict[str, Tensor]:
        """bool by weight tensor: what is left in the round."""
        return {name: self._kept[self._key(number, name)] for name, _ in self._weights()}

    def prune(self, number: int, trained: TrainedSeed) -> None:
        """Choose the mask of the round after `number` from its ticket, and forget older ones."""
        if number < self._spec.rounds:
            self._keep(number + 1, self._prune(number + 1, self.masks(number), trained.theta_T))
        for name, _ in self._weights():
            self._kept.pop(self._key(number - 1, name), None)

    def _prune(self, number: int, masks: Mapping[str, Tensor], theta: Theta) -> dict[str, Tensor]:
        """The largest magnitudes of what is left; equal ones by index, earlier first."""
        found = {}
        for name, mask in masks.items():
            # what is pruned already ranks below every weight that is left, 0 included
            bits = magnitude_bits(theta[name]).clamp(max=LARGEST - 1) + 1
            bits = torch.where(mask.reshape(-1), bits, 0)
            found[name] = self._first(bits, number, name).view(mask.shape)
        return found

    def _draw_masks(self, number: int) -> dict[str, Tensor]:
        """As many of each tensor at random; a later round has a part of an earlier one."""
        found = {}
        for name, one in self._weights():
            generator = make_generator(self._seed, "lottery mask", name)
            keys = draw_bits(one.numel(), generator)
            found[name] = self._first(keys, number, name).view(one.shape)
        return found

    def _first(self, keys: Tensor, number: int, name: str) -> Tensor:
        return rank_magnitudes(keys, [self._left[name][number]]).first(0)

    def _draw_weights(self, number: int) -> Theta:
        """Another draw of the initialisation for each round."""
        net = build_net(self._spec, self._data.info)
        initialise(
            net,
            self._spec.init,
            derive_seed(self._seed, "fresh", number),
            read_checkpoint=self._ctx.read_checkpoint,
            weights_dir=self._ctx.data_dir / "pretrained",
            allow_download=False,
        )
        return {name: tensor.detach() for name, tensor in net.state_dict().items()}

    def _weights(self) -> list[tuple[str, Tensor]]:
        return [(name, self._rewound[name]) for name in self._left]

    def _keep(self, number: int, masks: Mapping[str, Tensor]) -> None:
        for name, mask in masks.items():
            self._kept[self._key(number, name)] = mask

    def _key(self, number: int, name: str) -> str:
        return f"{self._seed}.{number}.{name}"
