"""Seeds of a ReLU-Net in JAX, as a strong user writes it; needs only jax and numpy.

`python jax_script.py IMAGES.npz --width 100 --depth 1 --seeds 5 --epochs 20` trains, tests after
each epoch and prints the last test accuracies. Everything is resident, an epoch is one `scan`, and
the whole is compiled once. `--each map` trains one seed after the other in place of `vmap`. With
`--serve` it trains again at every line that it reads, and answers with the seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

BATCH_SIZE = 128
RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-8


def make_net(key, sizes):
    """Weights and biases of each layer."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        (jax.random.normal(one, (a, b)) * (2 / (a + b)) ** 0.5, jnp.zeros(b))
        for one, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def predict(net, x):
    for weight, bias in net[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = net[-1]
    return x @ weight + bias


def loss(net, x, y):
    logits = jax.nn.log_softmax(predict(net, x))
    return -jnp.take_along_axis(logits, y[:, None], axis=1).mean()


def step_adam(state, x, y):
    net, first, second, number = state
    gradient = jax.grad(loss)(net, x, y)
    number = number + 1
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, second, gradient)
    rate = RATE * jnp.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)
    net = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON), net, first, second)
    return net, first, second, number


def train_epoch(data, state, key):
    """One epoch of whole batches, then the test accuracy."""
    x_train, y_train, x_test, y_test = data
    steps = len(x_train) // BATCH_SIZE
    order = jax.random.permutation(key, len(x_train))[: steps * BATCH_SIZE]

    def step(state, rows):
        return step_adam(state, x_train[rows], y_train[rows]), None

    state, _ = jax.lax.scan(step, state, order.reshape(steps, BATCH_SIZE))
    accuracy = (predict(state[0], x_test).argmax(axis=1) == y_test).mean()
    return state, accuracy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", help="npz with x_train, y_train, x_test, y_test; images uint8")
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--each", choices=["vmap", "map"], default="vmap")
    parser.add_argument("--serve", action="store_true")
    chosen = parser.parse_args()
    with np.load(chosen.images) as images:
        flat = {
            name: images[name].reshape(len(images[name]), -1).astype(np.float32) / 255
            for name in ("x_train", "x_test")
        }
        labels = [images[name].astype(np.int32) for name in ("y_train", "y_test")]
    mean, std = flat["x_train"].mean(), flat["x_train"].std()
    x_train, x_test = ((flat[name] - mean) / std for name in ("x_train", "x_test"))
    data = tuple(map(jnp.asarray, (x_train, labels[0], x_test, labels[1])))
    sizes = [x_train.shape[1], *[chosen.width] * chosen.depth, 10]

    def start(key):
        net = make_net(key, sizes)
        zeros = jax.tree.map(jnp.zeros_like, net)
        return net, zeros, zeros, 0

    if chosen.each == "vmap":
        over_seeds = jax.vmap(partial(train_epoch, data))
    else:

        def over_seeds(states, keys):
            return jax.lax.map(lambda one: train_epoch(data, *one), (states, keys))

    run_epoch = jax.jit(over_seeds, donate_argnums=0)

    def train():
        keys = jax.vmap(jax.random.key)(jnp.arange(chosen.seeds))
        states = jax.vmap(start)(keys)
        for epoch in range(chosen.epochs):
            states, accuracies = run_epoch(
                states, jax.vmap(partial(jax.random.fold_in, data=epoch))(keys)
            )
        return jax.device_get(accuracies).tolist()

    if not chosen.serve:
        print(json.dumps(train()))
        return
    print(json.dumps({"jax": jax.__version__}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        accuracies = train()
        print(json.dumps({"seconds": time.perf_counter() - began, "last": accuracies}), flush=True)


if __name__ == "__main__":
    main()
