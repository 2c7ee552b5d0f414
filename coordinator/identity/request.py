"""What a run request contains. Each option is one field here: its name, type, default, help and nature.

The fields determine the options of `pipeline-coordinator run` (`commands/options.py`), the parameters of
`Pipeline.run`, which are those of `ProgramRequest` (`asked_with`), the command that resumes a run (`run_command.py`)
and what is signed. Annotations are not postponed here, since options are built from them.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, Field, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, get_args

if TYPE_CHECKING:
    from common.steps.base import BaseStep

LoadGroups = Sequence[Sequence["str | BaseStep"]] | Literal["sequential_step_execution"]
AnswersKind = Literal["sqlite", "broker", "off"]
ANSWERS: tuple[AnswersKind, ...] = get_args(AnswersKind)
P = ParamSpec("P")
T = TypeVar("T")
Asked = TypeVar("Asked")
Asker = TypeVar("Asker")
Again = Literal["no", "resume", "recipe"]


@dataclass(frozen=True, slots=True)
class RunOption:
    """How an option is given, besides what its field says.

    Args:
        help: a sentence, for the command line and for `Pipeline.run`.
        flag: on the command line; empty for options of programs only. The flag of a field that is True by default
            unsets it.
        metavar: what the flag takes, as shown in its help.
        variable: environment variable that may give it instead.
        again: whether it is part of the command that resumes the run, and of the recipe that remakes the dataset
            elsewhere.
        signed: whether it changes the rows: another value makes another run, see `common.building.signature.Identity`.
    """

    help: str
    flag: str = ""
    metavar: str | None = None
    variable: str | None = None
    again: Again = "resume"
    signed: bool = False


def option(default: T, help: str, flag: str = "", **more: Any) -> T:
    """A field that is an option; for `more`, see `RunOption`."""
    return field(default=default, metadata={"option": RunOption(help, flag, **more)})


def options_of(request: Any) -> Iterator[tuple[Field[Any], RunOption]]:
    """The options of a request, or of a request class, in order."""
    for each in fields(request):
        if (found := each.metadata.get("option")) is not None:
            yield each, found


@dataclass(frozen=True, slots=True)
class ProgramRequest:
    """What a program may ask for: the parameters of `Pipeline.run`, most of which the command line has too."""

    parameters: Mapping[str, Mapping[str, Any]] | None = option(
        None, "Step -> parameter -> value, instead of those in the code; values may be nested mappings."
    )
    use_cache: bool = option(
        True, "Start over, and discard what an earlier run of the same pipeline has done.", "--fresh", again="no"
    )
    broker: str | None = option(
        None,
        "URL of the broker; also PENSTOCK_BROKER_URL.",
        "--broker",
        metavar="URL",
        variable="PENSTOCK_BROKER_URL",
    )
    _: KW_ONLY
    load_groups: LoadGroups | None = option(
        None, "Steps that are loaded together, instead of the pipeline's own groups."
    )
    dataset: Any = option(None, "Rows (a list of dicts, a Dataset or a DataFrame) for the steps without a predecessor.")
    dataset_batch_size: int = option(50, "Rows of `dataset` that are read at a time.")
    workers: Literal["local", "external"] = option(
        "local",
        "Start workers here, or wait for workers started elsewhere with pipeline-worker.",
        "--workers",
    )
    output: str | Path | None = option(
        None,
        "Also put the complete dataset in this folder: a new one, or one with an earlier dataset of this pipeline.",
        "--output",
        metavar="DIR",
    )
    overwrite: bool = option(False, "Let the output replace another pipeline's dataset.", "--overwrite")
    limit: int | None = option(
        None, "Use only the first N rows of each generator.", "--limit", metavar="N", again="recipe", signed=True
    )
    payloads: str | None = option(
        None,
        "A folder that all hosts can reach (fsspec), such as s3://bucket/rows, for large rows and long waits.",
        "--payloads",
        metavar="URL",
    )
    answers: AnswersKind = option(
        "sqlite",
        "Where workers keep the answers of models, so that none is paid for twice: a file on each host, or the broker.",
        "--answers",
    )
    progress: bool = option(True, "Show the progress; otherwise only log warnings, to the logger `penstock`.")
    standby: bool = option(
        False, "Wait while another process coordinates the run, and take over when it dies.", "--standby"
    )

    @property
    def output_folder(self) -> Path | None:
        """`output` as a path."""
        return Path(self.output) if self.output is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest(ProgramRequest):
    """What a run is begun or resumed with: options of the command line only, and what is known about the caller.

    Args:
        spec: path of the file; None for a pipeline written in Python.
        command: what a user types to repeat the run; empty for the command line that the options make.
        environment: variables for the local workers.
    """

    spec: Path | None = None
    overrides: tuple[str, ...] = option(
        (),
        "Set a parameter instead of the spec's, in YAML: generate.llm.model=my-model; may be given several times.",
        "--set",
        metavar="STEP.PARAM=VALUE",
    )
    run_id: str | None = option(
        None, "The id of the run. Default: the pipeline's name and its signature.", "--run-id", metavar="RUN"
    )
    cache_dir: Path | None = option(
        None,
        "Where run directories are; also PENSTOCK_CACHE_DIR. Default: penstock in your cache folder.",
        "--cache-dir",
        metavar="DIR",
    )
    dry_run: bool = option(
        False, "Send one batch through every step and keep nothing.", "--dry-run", again="no", signed=True
    )
    allow: tuple[str, ...] = option(
        (),
        "A module that steps may be imported from, besides the spec's folder; may be given several times.",
        "--allow",
        metavar="MODULE",
        again="recipe",
    )
    push_to_hub: str | None = option(
        None,
        "Also push the complete dataset to the Hugging Face Hub, such as me/quotes; HF_TOKEN holds the token.",
        "--push-to-hub",
        metavar="REPO",
    )
    private: bool = option(False, "Make REPO private; an existing public one is refused.", "--private")
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, asked: ProgramRequest, **more: Any) -> Self:
        """The request of a program, and `more`."""
        return cls(**{each.name: getattr(asked, each.name) for each in fields(ProgramRequest)} | more)

    @property
    def fresh(self) -> bool:
        """Whether to discard what was done before."""
        return not self.use_cache

    @property
    def signed_options(self) -> dict[str, Any]:
        """The options that change the rows, see `common.building.signature.Identity`."""
        return {each.name: getattr(self, each.name) for each, asked in options_of(self) if asked.signed}


def asked_with(
    request: Callable[P, Asked],
) -> Callable[[Callable[[Asker, Asked], T]], Callable[Concatenate[Asker, P], T]]:
    """For a method that takes a request: lets it be called with the fields of one instead.

    Type checkers and editors take its parameters from the fields; `help` shows them and the help of their options.
    """

    def decorate(method: Callable[[Asker, Asked], T]) -> Callable[Concatenate[Asker, P], T]:
        @wraps(method)
        def call(asker: Asker, /, *args: P.args, **given: P.kwargs) -> T:
            return method(asker, request(*args, **given))

        own, asked = inspect.signature(method), inspect.signature(request)
        asker = next(iter(own.parameters.values())).replace(kind=inspect.Parameter.POSITIONAL_ONLY)
        parameters = [asker, *asked.parameters.values()]
        call.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        call.__doc__ = _with_arguments(inspect.getdoc(method) or "", request)
        return call

    return decorate


def _with_arguments(text: str, request: Any) -> str:
    """A docstring with the help of the options between what it does and what it returns."""
    lines = [
        f"    {each.name}: {'False: ' if each.default is True and asked.flag else ''}{asked.help}"
        for each, asked in options_of(request)
    ]
    does, mark, returns = text.partition("\n\nReturns:")
    return "\n".join((f"{does}\n\nArgs:", *lines)) + mark + returns
