"""Submit a small sweep, wait, print the result, save a plot and the weights of a net."""

from __future__ import annotations

from pathlib import Path

from richregime import Client

OUT = Path("example-out")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with Client() as client:
        experiment = client.submit(
            {"kind": "train", "epochs": 5},
            sweep={"model.width": [10, 100]},
            seeds=[0, 1, 2],
            name="submit and plot",
        )
        experiment = client.wait(experiment.id, on_event=lambda event: print(event.name))
        print(experiment.id, experiment.status)

        for point in client.result(experiment.id).points:
            accuracy = point.test_accuracy
            print(point.point, f"{accuracy.mean:.4f} ± {accuracy.standard_error:.4f}")

        (OUT / "learning_curve.png").write_bytes(client.plot(experiment.id, "learning_curve"))
        run = next(iter(client.runs(experiment.id)))
        for checkpoint in client.checkpoints(run.id):
            if checkpoint.name == "theta_T" and checkpoint.seed == 0:
                print("weights:", client.download(checkpoint, OUT / "theta_T.safetensors"))


if __name__ == "__main__":
    main()
