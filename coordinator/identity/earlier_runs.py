"""What a new run has in common with earlier runs of its pipeline, and what will be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.building.components import Place, models_in
from common.building.signature import PARAMETER, Identity
from common.errors import RunError
from common.llms.model_client import ModelClient
from common.location import OUR_PACKAGES
from common.words.wording import count
from coordinator.identity.signature_0_1 import signature_0_1
from coordinator.plan.load import Prepared
from coordinator.runs.run_directory import SIGNATURE_LENGTH, RunDirectory, RunRecord
from coordinator.runs.run_list import folders_of_runs

MOST_CHANGES = 3
"""How many changes to list; the rest are counted."""
_WORDS = {
    "after": "the predecessors",
    "data": "the data",
    "models": "the model",
    "source": "the source (or what it imports)",
}


def lines_about_earlier_runs(
    directory: RunDirectory, prepared: Prepared, identity: Identity, options: Mapping[str, Any]
) -> Iterator[str]:
    """What a user should know before a new run begins.

    Args:
        directory: of the new run.
        options: see `Identity.of`.
    """
    if (line := _of_version_0_1(directory, prepared, options)) is not None:
        yield line
    run = NewRun(
        directory,
        identity.digests(),
        {name: step.predecessors for name, step in prepared.plan.steps.items()},
        {name: _own_classes(models) for name, step in prepared.steps.items() if (models := models_in(step))},
    )
    if (line := run.what_is_done_again()) is not None:
        yield line


def _of_version_0_1(directory: RunDirectory, prepared: Prepared, options: Mapping[str, Any]) -> str | None:
    """The unfinished run of this pipeline that version 0.1 began."""
    signature = signature_0_1(prepared, options)
    if signature is None:
        return None
    older = RunDirectory(directory.path.with_name(signature[:SIGNATURE_LENGTH]))
    with suppress(RunError):
        record = older.read()
        if record is not None and record.signature == signature and record.status != "complete":
            return (
                f"version 0.1 began this pipeline as run {record.run} and did not complete it ({record.status}; "
                f"{older.path}): resume it with that version, or remove it: pipeline-coordinator rm {record.run}"
            )
    return None


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that has not begun yet.

    Args:
        identity: see `common.building.signature.Identity.digests`.
        predecessors: step -> its predecessors.
        asking: steps that ask models -> the classes of these that are not built in.
    """

    directory: RunDirectory
    identity: Mapping[str, Mapping[str, str]]
    predecessors: Mapping[str, Sequence[str]]
    asking: Mapping[str, Sequence[str]]

    def what_is_done_again(self) -> str | None:
        """One line about the closest earlier run; None if none shares a step or differs only in source code."""
        found = max(self._earlier(), key=self._nearness, default=None)
        if found is None or not any(self._nearness(found)[:2]):
            return None
        same = self._same(found)
        alike = (
            f"{_named(same)} {'are' if len(same) > 1 else 'is'} the same as"
            if same
            else "the parameters of all steps are the same as"
        )
        alike += f" in run {found.run}"
        return f"{alike}; this is a new run, since {self._changes(found)}: {self._price(found)}"

    def _earlier(self) -> Iterator[RunRecord]:
        for path in folders_of_runs(self.directory.path.parent):
            if path != self.directory.path:
                with suppress(RunError):
                    record = RunDirectory(path).read()
                    if record is not None and record.identity:
                        yield record

    def _nearness(self, run: RunRecord) -> tuple[int, bool, datetime]:
        """How many steps are the same, whether only source code differs, and when the run was last updated."""
        return len(self._same(run)), _differ_in_source(run.identity, self.identity), run.updated

    def _same(self, run: RunRecord) -> list[str]:
        """Steps that produce the same rows in both: they and everything upstream of them are the same."""
        same: set[str] = set()
        waiting = list(self.predecessors)
        alike = {name for name in waiting if run.identity.get(name) == self.identity[name]}
        while ready := [name for name in waiting if name in alike - same and same.issuperset(self.predecessors[name])]:
            same.update(ready)
        return [name for name in waiting if name in same]

    def _changes(self, run: RunRecord) -> str:
        changes = list(_changes(run.identity, self.identity, self.asking)) or ["its data may have changed"]
        shown = changes[:MOST_CHANGES]
        if len(changes) > len(shown):
            shown.append(f"{len(changes) - len(shown)} more")
        return _listed(shown)

    def _price(self, run: RunRecord) -> str:
        answers = sum(run.done.get(name, 0) for name in self.asking)
        if answers:
            return f"{count(answers, 'answer')} will be requested again"
        rows = sum(run.rows.values())
        return f"{count(rows, 'row')} will be produced again" if rows else "what that run has done will be repeated"


def _differ_in_source(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> bool:
    without = [
        {step: {name: value for name, value in aspects.items() if name != "source"} for step, aspects in each.items()}
        for each in (before, now)
    ]
    return without[0] == without[1]


def _own_classes(models: Sequence[tuple[Place, ModelClient]]) -> list[str]:
    """Names of the classes that are not Penstock's."""
    classes = [type(model) for _, model in models]
    return [cls.__name__ for cls in classes if cls.__module__.partition(".")[0] not in OUR_PACKAGES]


def _changes(
    before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]], llms: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for step in {**before, **now}:
        if step not in now:
            yield f"step '{step}' was removed"
        elif step not in before:
            yield f"step '{step}' is new"
        else:
            one, other = before[step], now[step]
            aspects = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            if "models" in aspects and any("." in name for name in aspects):
                aspects.remove("models")  # it follows from an option of the model
            for name in aspects:
                if name == "source" and (classes := llms.get(step)):  # one digest for the step and its models
                    yield f"the source of step '{step}' or of {_listed(classes)} in it (or what they import) changed"
                    continue
                what = _WORDS.get(name, f"'{name.removeprefix(PARAMETER)}'")
                yield f"{what} of step '{step}' changed" if step else f"'{name}' of the run changed"


def _named(steps: Sequence[str]) -> str:
    return f"steps {_listed(steps)}" if len(steps) > 1 else f"step '{steps[0]}'"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])
