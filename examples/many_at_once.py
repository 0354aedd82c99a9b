"""Submit three experiments with the async client and wait for all of them concurrently."""

from __future__ import annotations

import asyncio

from richregime import AsyncClient


async def accuracy_at(client: AsyncClient, learning_rate: float) -> float:
    experiment = await client.submit(
        {"kind": "train", "epochs": 3, "optimizer": {"name": "adam", "lr": learning_rate}},
        seeds=[0, 1],
    )
    await client.wait(experiment.id)
    result = await client.result(experiment.id)
    return result.points[0].test_accuracy.mean


async def main() -> None:
    rates = [0.0003, 0.001, 0.003]
    async with AsyncClient() as client:
        accuracies = await asyncio.gather(*(accuracy_at(client, rate) for rate in rates))
    for rate, accuracy in zip(rates, accuracies, strict=True):
        print(f"lr {rate:g}: test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    asyncio.run(main())
