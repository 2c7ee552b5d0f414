"""`pipeline-coordinator render`: files that start a pipeline elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from coordinator.commands.options import allow_option, set_option, spec_argument


class Replicas(click.ParamType[tuple[str, int]]):
    """`STEP=N`."""

    name = "step=n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """The step and the number of its workers."""
        if isinstance(value, tuple):
            return value
        step, _, number = str(value).partition("=")
        if not step or not number.isascii() or not number.isdigit() or not int(number):
            self.fail(f"'{value}' is not STEP=N, such as generate=4", param, ctx)
        return step, int(number)


replicas_option = click.option(
    "--replicas",
    type=Replicas(),
    multiple=True,
    metavar="STEP=N",
    help="Workers of a step, in the place of the spec's resources.replicas; may be given several times.",
)
image_option = click.option(
    "--image", default="penstock", show_default=True, metavar="IMAGE", help="Of coordinator and workers."
)
redis_option = click.option(
    "--redis-image", default="redis:8", show_default=True, metavar="IMAGE", help="Of the broker."
)
folder_option = click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Files there. Default: print all."
)
force_option = click.option("--force", is_flag=True, help="Write over what is there.")


@click.group(short_help="Make files that start a pipeline: for Compose, Kubernetes, systemd.")
def render() -> None:
    """Writes what starts the services of SPEC: a broker, a coordinator, and workers of each step.

    What the spec says of `resources` is in it, and the settings (PENSTOCK_*) of the environment of this command.
    """


@render.command(short_help="A docker-compose.yml.")
@spec_argument
@set_option
@allow_option
@replicas_option
@image_option
@redis_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="What the containers see of this host, read-only. Default: the spec's folder.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Default: print it.")
@force_option
def compose(
    spec: Path,
    overrides: tuple[str, ...],
    allow: tuple[str, ...],
    replicas: tuple[tuple[str, int], ...],
    image: str,
    redis_image: str,
    folder: Path | None,
    output: Path | None,
    force: bool,
) -> None:
    """Writes a file for `docker compose up`, with a service for each step of SPEC.

    A step with `resources.gpus` gets the GPUs of the host, of which each worker takes so many.
    """
    from coordinator.rendering.compose import compose_text
    from coordinator.rendering.services import pipeline_services

    services = pipeline_services(spec, overrides, allow, dict(replicas))
    beside = output.parent if output is not None else Path.cwd()
    text = compose_text(services, root=folder or services.folder, beside=beside, image=image, redis_image=redis_image)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write({output.name: text}, output.parent, force=force)


@render.command(short_help="The manifests of a Kubernetes cluster.")
@spec_argument
@set_option
@allow_option
@replicas_option
@image_option
@redis_option
@click.option("--namespace", default="penstock", show_default=True, metavar="NAME", help="Of all objects.")
@click.option("--run-id", metavar="RUN", help="The id of the run. Default: one that is made of the spec.")
@click.option("--payloads", metavar="URL", help="A folder that all pods reach (fsspec), for rows that wait long.")
@click.option("--storage", default="20Gi", show_default=True, metavar="SIZE", help="Of the volume for the dataset.")
@click.option("--storage-class", metavar="NAME", help="Of the volumes. Default: the cluster's.")
@click.option("--model-claim", metavar="NAME", help="A claim that is there, for models. Default: a folder of each pod.")
@click.option("--keda/--no-keda", default=True, help="Scale workers with KEDA, from none on; or keep all replicas.")
@click.option("--keda-namespace", default="keda", show_default=True, metavar="NAME", help="Where KEDA runs.")
@folder_option
@force_option
def kubernetes(
    spec: Path,
    overrides: tuple[str, ...],
    allow: tuple[str, ...],
    replicas: tuple[tuple[str, int], ...],
    image: str,
    redis_image: str,
    namespace: str,
    run_id: str | None,
    payloads: str | None,
    storage: str,
    storage_class: str | None,
    model_claim: str | None,
    keda: bool,
    keda_namespace: str,
    output: Path | None,
    force: bool,
) -> None:
    """Writes manifests for `kubectl apply`: Redis, a Job for the coordinator, for each step of SPEC a Deployment and
    what KEDA needs to scale it.
    """
    from coordinator.rendering.cluster import Cluster
    from coordinator.rendering.kubernetes import kubernetes_files
    from coordinator.rendering.services import pipeline_services

    cluster = Cluster(
        image=image,
        namespace=namespace,
        run_id=run_id,
        redis_image=redis_image,
        keda=keda,
        keda_namespace=keda_namespace,
        payloads=payloads,
        storage=storage,
        storage_class=storage_class,
        model_claim=model_claim,
    )
    files = kubernetes_files(pipeline_services(spec, overrides, allow, dict(replicas)), cluster)
    _give(files, "---\n".join(files.values()), output, force=force)


@render.command(short_help="Units of systemd, for hosts without containers.")
@spec_argument
@set_option
@allow_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the spec's folder is on the hosts. Default: where it is here.",
)
@click.option(
    "--bin-dir",
    type=click.Path(path_type=Path),
    default=Path("/opt/penstock/bin"),
    show_default=True,
    metavar="DIR",
    help="Where pipeline-worker is on the hosts.",
)
@click.option("--user", default="penstock", show_default=True, metavar="NAME", help="Whom the processes run as.")
@folder_option
@force_option
def systemd(
    spec: Path,
    overrides: tuple[str, ...],
    allow: tuple[str, ...],
    folder: Path | None,
    bin_dir: Path,
    user: str,
    output: Path | None,
    force: bool,
) -> None:
    """Writes a unit for the coordinator, a template of one for the workers of each step of SPEC, and the file for the
    broker's URL.
    """
    from coordinator.rendering.services import pipeline_services
    from coordinator.rendering.systemd import Host, systemd_files

    services = pipeline_services(spec, overrides, allow)
    files = systemd_files(services, Host(folder or services.folder, bin_dir, user))
    shown = "\n".join(f"# ==== {name}\n{text}" for name, text in files.items())
    _give(files, shown, output, force=force)


def _give(files: Mapping[str, str], shown: str, folder: Path | None, *, force: bool) -> None:
    """Prints all of them as `shown`, or writes each to its file."""
    if folder is None:
        click.echo(shown, nl=False)
    else:
        _write(files, folder, force=force)


def _write(files: Mapping[str, str], folder: Path, *, force: bool) -> None:
    """Raises UsageError, and writes nothing, where one of them is there already."""
    from common.errors import UsageError

    there = [str(folder / name) for name in files if (folder / name).exists()]
    if there and not force:
        raise UsageError(f"{', '.join(there)} is there already; --force writes over it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
            click.echo(f"wrote {folder / name}")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}; choose another --output") from error
