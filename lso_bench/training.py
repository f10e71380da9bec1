"""Train a named model, with progress, to where `run` finds it."""

from pathlib import Path

from lso_bench.errors import UsageError
from lso_bench.report.progress import shown
from lso_bench.study import check_data, named_model
from vae import training, zoo
from vae.data import load

EPOCHS = {"paper": 100}  # by architecture; the others 24


def plan(model: str, data: str, arch: str, latent: int, seed: int, epochs: int | None, compiled: bool) -> training.Plan:
    """The plan of a training; the weight of the rate grows in the first third of it, in 10 epochs at most.

    Raises:
        UsageError: an unknown name.
    """
    check_data(data)
    named = named_model(model, data, arch, latent, seed)
    total = epochs or EPOCHS.get(arch, 24)
    return training.Plan(named, total, anneal_epochs=min(10.0, total / 3), compile=compiled)


def train(plan: training.Plan, data_dir: Path | None, device: str, quiet: bool) -> Path:
    """Train and save; the path of the checkpoint.

    Raises:
        UsageError: it is there already; nothing is overwritten.
        vae.errors.UnusableError: data missing, training diverged.
    """
    path = zoo.own_folder() / plan.model.file
    if path.exists():
        raise UsageError(f"{path} is there already; move it away to train it again, or say another --seed.")
    data = load(plan.model.data, data_dir)
    with shown(quiet) as show:

        def report(p: training.Progress) -> None:
            last = p.history[-1] if p.history else None
            so_far = f"-ELBO {last['nelbo']:.2f}, KL {last['kl']:.2f}" if last else "first epoch"
            state = f"epoch {min(p.epoch, plan.epochs)} of {plan.epochs}, {so_far}, {p.images_per_second:.0f} images/s"
            show(f"{plan.model.name} on {plan.model.data}", p.done, p.total, state)

        training.train(plan, data, path, device, report)
    return path
