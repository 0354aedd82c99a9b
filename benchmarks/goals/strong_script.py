"""Five seeds of a ReLU-Net against the script of a strong user: JAX, and compiled torch.

With `--peers`, as JAX is installed in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.baselines import user_script
from benchmarks.figures import Figure, at_most
from benchmarks.goals.relu_seeds import SEEDS
from benchmarks.images import user_images
from benchmarks.interleave import TimedRun, interleave, share, timed
from benchmarks.options import Options
from benchmarks.served_script import Jax, ServedScript, served_engine
from benchmarks.service_process import JsonClient, Service, wait_for_end

NETS = ((10, 1), (100, 1), (100, 4), (1_000, 1))
"""(width, depth)"""
EPOCHS, FEW_EPOCHS = 20, 4
ROUNDS = 5
HALVES = (SEEDS[:3], SEEDS[3:])
"""As the service splits five seeds over two workers"""


def measure(options: Options) -> Iterator[Figure]:
    if not options.peers:
        return
    jax = Jax(options)
    home = options.work_dir / "home"
    data = {} if options.data_dir is None else {"RICHREGIME_DATA_DIR": str(options.data_dir)}
    with Service(home, data) as service:
        for width, depth in NETS:
            yield from _compare(options, jax, service.connect(), width, depth)


def _compare(
    options: Options, jax: Jax, client: JsonClient, width: int, depth: int
) -> Iterator[Figure]:
    epochs = options.size(EPOCHS if width < 1_000 else FEW_EPOCHS, 1)
    spec = {
        "data": options.digits(),
        "model": {"name": "relu_net", "width": width, "depth": depth},
        "epochs": epochs,
    }
    name = f"5 seeds x {epochs} epochs, w={width:,} d={depth}"
    with ExitStack() as stack:
        each = _faster(options, jax, width, depth)
        script = stack.enter_context(jax.serve(width, depth, len(SEEDS), epochs, each))
        halves = [stack.enter_context(served_engine(options, spec, half)) for half in HALVES]
        images = user_images(options)
        loaders = user_script.make_loaders(images, resident=True)
        plain = partial(user_script.train, loaders, width, depth, 1)
        found = interleave(
            {
                "engine": partial(_together, halves),
                "jax": script.train,
                "compiled": _scaled(timed(partial(plain, compiled=True)), len(SEEDS) * epochs),
                "plain": _scaled(timed(plain), len(SEEDS) * epochs),
            },
            options.rounds(ROUNDS),
        )
        version = script.versions["jax"]
    yield share(
        f"{name}, two processes of one thread",
        found["engine"],
        found["jax"],
        baseline=f"JAX {version}, {each} over the seeds, compiled before",
        goal=at_most(0.8),
    )
    for other, what in (("compiled", "`torch.compile`"), ("plain", "plain torch, resident data")):
        yield share(
            f"{name}, two processes of one thread",
            found["engine"],
            found[other],
            baseline=f"{what}; one seed and epoch, times their number",
        )
    found = interleave(
        {
            "service": timed(_post_to_result, client, spec),
            "jax": partial(jax.whole_process, width, depth, len(SEEDS), epochs, each),
        },
        options.rounds(ROUNDS),
    )
    yield share(
        f"{name}, from POST to its result, two workers",
        found["service"],
        found["jax"],
        baseline=f"the whole process of the JAX {version} script, which compiles",
        goal=at_most(0.6) if width > 10 else None,
    )


def _faster(options: Options, jax: Jax, width: int, depth: int) -> str:
    """How JAX goes over the seeds faster on this machine: all at once, or one after the other."""
    with ExitStack() as stack:
        candidates = {
            each: stack.enter_context(jax.serve(width, depth, len(SEEDS), 1, each)).train
            for each in ("vmap", "map")
        }
        found = interleave(candidates, options.rounds(2))
    return min(found, key=lambda each: min(found[each]))


def _together(processes: Sequence[ServedScript]) -> float:
    """The seconds of the slowest of trainings that run at the same time."""
    for process in processes:
        process.ask()
    return max([process.answer() for process in processes])


def _scaled(run: TimedRun, times: int) -> Callable[[], float]:
    return lambda: run() * times


def _post_to_result(client: JsonClient, spec: dict[str, Any]) -> None:
    body = {"spec": {"kind": "train", **spec}, "seeds": list(SEEDS), "reuse": False}
    experiment_id = client.post("/experiments", body)["id"]
    wait_for_end(client, [experiment_id])
    client.get(f"/experiments/{experiment_id}/result")
