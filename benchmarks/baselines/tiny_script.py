"""One tiny experiment in its own process: trains a small net on digits and saves its weights."""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn import functional


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images", required=True, help="file of tensors x_train, y_train, x_test, y_test"
    )
    parser.add_argument("--out", required=True, help="file for the weights")
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    chosen = parser.parse_args()
    images = torch.load(chosen.images, weights_only=True)
    x, y = images["x_train"], images["y_train"]
    torch.manual_seed(chosen.seed)
    net = nn.Sequential(nn.Linear(784, chosen.width), nn.ReLU(), nn.Linear(chosen.width, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    for _ in range(chosen.epochs):
        for indices in torch.randperm(len(y)).split(128):
            optimizer.zero_grad()
            functional.cross_entropy(net(x[indices]), y[indices]).backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (
                (net(images["x_test"]).argmax(dim=1) == images["y_test"]).float().mean().item()
            )
    torch.save(net.state_dict(), chosen.out)
    print(f"test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
