"""`pipeline-coordinator render`: writes files that start a pipeline elsewhere."""

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
        """Returns the step and the number of its workers."""
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
    help="Number of workers of a step, instead of the spec's resources.replicas; may be given several times.",
)
image_option = click.option(
    "--image", default="penstock", show_default=True, metavar="IMAGE", help="Image of coordinator and workers."
)
redis_option = click.option(
    "--redis-image", default="redis:8", show_default=True, metavar="IMAGE", help="Image of the broker."
)
folder_option = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the files there. Default: print them.",
)
force_option = click.option("--force", is_flag=True, help="Overwrite existing files.")


@click.group(short_help="Write files that start a pipeline: for Compose, Kubernetes or systemd.")
def render() -> None:
    """Writes files that start the services of SPEC: a broker, a coordinator, and workers for each step.

    They include the `resources` of the spec and the settings (PENSTOCK_*) from this command's environment.
    """


@render.command(short_help="Write a docker-compose.yml.")
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
    help="Folder of this host that the containers see, read-only. Default: the spec's folder.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write it to FILE. Default: print it.",
)
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
    """Writes a file for `docker compose up` with a service for each step of SPEC.

    A step with `resources.gpus` sees the GPUs of the host, and each of its workers takes that many.
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


@render.command(short_help="Write the manifests for a Kubernetes cluster.")
@spec_argument
@set_option
@allow_option
@replicas_option
@image_option
@redis_option
@click.option("--namespace", default="penstock", show_default=True, metavar="NAME", help="Namespace of all objects.")
@click.option("--run-id", metavar="RUN", help="The id of the run. Default: derived from the spec.")
@click.option(
    "--payloads", metavar="URL", help="A folder that all pods can reach (fsspec), for rows that wait a long time."
)
@click.option(
    "--storage", default="20Gi", show_default=True, metavar="SIZE", help="Size of the volume for the dataset."
)
@click.option("--storage-class", metavar="NAME", help="Storage class of the volumes. Default: the cluster's.")
@click.option("--model-claim", metavar="NAME", help="An existing claim for models. Default: a folder in each pod.")
@click.option(
    "--keda/--no-keda", default=True, help="Scale workers with KEDA, starting from zero, or always run all replicas."
)
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
    """Writes manifests for `kubectl apply`: Redis, a Job for the coordinator, and for each step of SPEC a Deployment
    and what KEDA needs to scale it.
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


@render.command(short_help="Write systemd units, for hosts without containers.")
@spec_argument
@set_option
@allow_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Path of the spec's folder on the hosts. Default: its path here.",
)
@click.option(
    "--bin-dir",
    type=click.Path(path_type=Path),
    default=Path("/opt/penstock/bin"),
    show_default=True,
    metavar="DIR",
    help="Path of pipeline-worker on the hosts.",
)
@click.option(
    "--user", default="penstock", show_default=True, metavar="NAME", help="The user that the processes run as."
)
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
    """Writes a unit for the coordinator, a template unit for the workers of each step of SPEC, and the file that holds
    the broker's URL.
    """
    from coordinator.rendering.services import pipeline_services
    from coordinator.rendering.systemd import Host, systemd_files

    services = pipeline_services(spec, overrides, allow)
    files = systemd_files(services, Host(folder or services.folder, bin_dir, user))
    shown = "\n".join(f"# ==== {name}\n{text}" for name, text in files.items())
    _give(files, shown, output, force=force)


def _give(files: Mapping[str, str], shown: str, folder: Path | None, *, force: bool) -> None:
    """Prints all files as `shown`, or writes each of them."""
    if folder is None:
        click.echo(shown, nl=False)
    else:
        _write(files, folder, force=force)


def _write(files: Mapping[str, str], folder: Path, *, force: bool) -> None:
    """Raises UsageError and writes nothing if one of the files already exists."""
    from common.errors import UsageError

    there = [str(folder / name) for name in files if (folder / name).exists()]
    if there and not force:
        raise UsageError(f"{', '.join(there)} already exists; pass --force to overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
            click.echo(f"wrote {folder / name}")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}; choose another --output") from error
