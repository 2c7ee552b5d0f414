"""How a run ends: the dataset of a complete run, the partial results of an incomplete one, and the record of either."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version

from common.errors import (
    EXIT_COMPLETE,
    EXIT_FAILED,
    EXIT_FAILED_ROWS,
    EXIT_STOPPED,
    EXIT_USAGE,
    Fenced,
    RunError,
    Stopped,
    UsageError,
)
from common.protocol.status import EndStatus
from common.settings import Settings
from common.words.wording import count
from coordinator.dataset.card import CardFacts, collect_citations
from coordinator.dataset.dataset import DatasetSummary, build_dataset, copy_dataset
from coordinator.dataset.dataset_place import DatasetPlace
from coordinator.dataset.partial import remove_partial, write_partial
from coordinator.engine.billing import Billing
from coordinator.engine.service import Halted
from coordinator.engine.session import Session
from coordinator.engine.tenure import Tenure
from coordinator.identity.request import RunRequest
from coordinator.identity.run_command import recipe, resume_command
from coordinator.identity.run_identity import RunIdentity
from coordinator.identity.stores import RunStores
from coordinator.local.embedded import end_leftover
from coordinator.plan.load import Prepared
from coordinator.plan.pipeline_file import spec_text
from coordinator.runs.bill import Bill
from coordinator.runs.failures import FailureLog
from coordinator.runs.run_directory import DATASET, RunDirectory, RunRecord
from coordinator.view.view import Outcome, Reporter

PACKAGES = ("penstock", "datasets", "pyarrow")


class Ending:
    """Ends a run and reports the outcome.

    Args:
        pipeline: its name.
    """

    def __init__(
        self,
        request: RunRequest,
        pipeline: str,
        directory: RunDirectory,
        run: RunIdentity,
        settings: Settings,
        reporter: Reporter,
        stores: RunStores,
    ) -> None:
        self._stores = stores
        self._reporter = reporter
        self._request = request
        self._pipeline = pipeline
        self._directory = directory
        self._run = run
        self._settings = settings
        self._started = time.monotonic()

    def reuse(self, record: RunRecord) -> Outcome:
        """Returns the dataset of a run that was already complete."""
        dataset = self._directory.path / DATASET
        if not dataset.is_dir():
            raise RunError(f"run '{self._run.run_id}' is complete, but {dataset} is gone; start over with --fresh")
        self._clear_away()  # the previous command may have died here
        end_leftover(self._directory.broker)
        shutil.rmtree(self._directory.broker, ignore_errors=True)
        if record.payloads:
            self._stores.remember(record)
            self.clear_stores()
        self.publish()
        return Outcome(
            run_id=self._run.run_id,
            status="complete",
            exit_code=EXIT_FAILED_ROWS if record.failed_rows else EXIT_COMPLETE,
            dataset=self._request.output_folder or dataset,
            rows=record.rows,
            failed=record.failed,
            errors=self._first_errors(record.failed),
            skipped=record.skipped,
            elapsed=time.monotonic() - self._started,
            reused=True,
            run_directory=self._directory.path,
            bill=record.bill,
        )

    def complete(self, session: Session, tenure: Tenure) -> Outcome:
        """Builds the dataset of a run whose rows are all on disk.

        Raises:
            Stopped, RunError, OSError: the run is not complete after all; see `incomplete`.
            Fenced: another coordinator has the run; nothing in it may be touched.
        """
        self._directory.check_lock()
        prepared = tenure.prepared
        failed, skipped = failed_rows(session), skipped_rows(session)
        bill = tenure.insist(lambda: self._bill(session, tenure))
        if self._request.dry_run:
            for leaf, row in sample_rows(session).items():
                self._reporter.say(f"a row of {leaf}: {row}")
        summary = build_dataset(
            self._directory.parts,
            session.sink.parts,
            self._directory.path / DATASET,
            self._facts(prepared, failed, skipped, bill),
            known_columns(prepared),
            self._stores.artifacts,
        )
        for line in (*lines_about_keyless(summary), *lines_about_the_empty(session)):
            tenure.reporter.say(line)
        # Once the record says so, the command never gets here again, and workers would wait forever for the end.
        steps = list(session.manager.steps)
        tenure.insist(lambda: tenure.control.finish("complete", steps, self._settings.keep_finished))
        self._directory.update(
            status="complete",
            dataset=summary.path,
            rows=dict(summary.rows),
            failed=failed,
            failed_rows=sum(failed.values()),
            skipped=skipped,
            done=rows_done(session),
            reason="",
            bill=bill,
        )
        self._clear_away()
        return Outcome(
            run_id=self._run.run_id,
            status="complete",
            exit_code=EXIT_FAILED_ROWS if failed else EXIT_COMPLETE,
            dataset=summary.path if self._request.dry_run else self._request.output_folder or summary.path,
            rows=summary.rows,
            failed=failed,
            errors=self._first_errors(failed),
            skipped=skipped,
            elapsed=time.monotonic() - self._started,
            run_directory=self._directory.path,
            bill=bill,
        )

    def _facts(
        self, prepared: Prepared, failed: Mapping[str, int], skipped: Mapping[str, int], bill: Bill
    ) -> CardFacts:
        return CardFacts(
            name=self._pipeline,
            description=prepared.spec.description or "",
            run_id=self._run.run_id,
            signature=self._run.signature,
            spec=self._spec_text(prepared),
            command=recipe(self._request),
            versions={package: version(package) for package in PACKAGES},
            failed=failed,
            skipped=skipped,
            citations=collect_citations(prepared.steps.values()),
            models=tuple(bill.rows()),
            cost=str(bill.cost("kept")) if bill else "",
        )

    @staticmethod
    def _bill(session: Session, tenure: Tenure) -> Bill:
        return Billing.of(tenure.connection, tenure.control.keys.run_id, tenure.prepared.spec).bill(session)

    def _clear_away(self) -> None:
        """Deletes everything but the dataset, which is all that a complete run needs."""
        remove_partial(self._directory.path)
        for done in (self._directory.parts, self._directory.artifacts):
            shutil.rmtree(done, ignore_errors=True)

    def clear_stores(self) -> None:
        """Deletes the payloads as well. What cannot be deleted now stays in the record, for `rm`."""
        if problem := self._stores.remove():
            self._reporter.say(problem)
        elif self._stores.recorded:
            self._directory.update(payloads=[])

    def publish(self) -> None:
        """Also puts the dataset of a complete run where the user wants it.

        Raises:
            RunError: it cannot be written there. The run is complete nevertheless.
        """
        output, dataset = self._request.output_folder, self._directory.path / DATASET
        if output is None or self._request.dry_run:
            return
        place = DatasetPlace(output, self._pipeline, self._request.overwrite, patience=self._settings.patience)
        where = f"run '{self._run.run_id}' is complete and its dataset is in {dataset}, but"
        try:
            copy_dataset(dataset, place, self._reporter.say)
        except OSError as error:
            failures = error.args[0] if isinstance(error, shutil.Error) else [(dataset, output, error.strerror)]
            raise RunError(
                f"{where} it cannot be copied to {output}: {failures[0][2]}; rerun the command to try again, or "
                "choose another --output"
            ) from error
        except (UsageError, RunError) as error:  # another run got there first
            raise RunError(f"{where} it was not copied: {error}") from error

    def _how(self, session: Session | None, error: Exception) -> tuple[EndStatus, int, str]:
        """Returns status, exit code and reason."""
        match error:
            case Stopped():
                return "stopped", EXIT_STOPPED, "it was asked to stop"
            case Halted() if session is not None:
                return "halted", EXIT_FAILED, self._why(session)
            case UsageError():
                return "failed", EXIT_USAGE, str(error)
        return "failed", EXIT_FAILED, str(error)

    def _why(self, session: Session) -> str:
        """Why the run is halted; if too many rows failed, also why the first of them failed."""
        halt = session.manager.halted
        assert halt is not None
        reason = f"step '{halt.step}': {halt.reason}"
        state = session.manager.steps[halt.step]
        if not state.breaker.tripped and (state.errors or not (state.counts.unwritable or state.lost_everything)):
            return reason
        return "; first error: ".join((reason, *self._first_errors([halt.step]).values()))

    def _first_errors(self, steps: Iterable[str]) -> dict[str, str]:
        return FailureLog(self._directory.failures).first_errors(steps)

    def incomplete(self, session: Session | None, tenure: Tenure, error: Exception) -> Outcome:
        """Ends a run that is not complete.

        Args:
            session: shows how far it got; None if it has not begun.
            error: what ended it.
        """
        self._directory.check_lock()
        status, exit_code, reason = self._how(session, error)
        parts = session.sink.parts if session is not None else {}
        failed = failed_rows(session) if session is not None else {}
        skipped = skipped_rows(session) if session is not None else {}
        partial, bill = None, Bill()
        with suppress(RunError):
            bill = self._bill(session, tenure) if session is not None else bill
        with suppress(OSError):
            if session is not None:
                command = resume_command(self._request)
                partial = write_partial(self._directory.path, self._directory.parts, parts, reason, command)
        with suppress(RunError, Fenced):
            tenure.control.finish(status, list(tenure.prepared.plan.steps))
        rows = {leaf: sum(part.rows for part in written) for leaf, written in parts.items()}
        with suppress(OSError):
            self._directory.update(
                status=status,
                reason=reason,
                rows=rows,
                failed=failed,
                failed_rows=sum(failed.values()),
                skipped=skipped,
                done=rows_done(session) if session is not None else {},
                **({"bill": bill} if bill else {}),
            )
        return Outcome(
            run_id=self._run.run_id,
            status=status,
            exit_code=exit_code,
            reason=reason,
            partial=partial,
            rows=rows,
            failed=failed,
            errors=self._first_errors(failed),
            skipped=skipped,
            elapsed=time.monotonic() - self._started,
            run_directory=self._directory.path,
            bill=bill,
        )

    def _spec_text(self, prepared: Prepared) -> str:
        """The spec as it was written, unless the command line has changed it."""
        return spec_text(prepared.spec.dump(), "yaml") if self._request.overrides else prepared.text


def known_columns(prepared: Prepared) -> dict[str, list[str]]:
    """The columns of each leaf, as far as they are known without data."""
    columns = prepared.columns()
    return {leaf: sorted(columns[leaf] or ()) for leaf in prepared.plan.leaves}


def lines_about_keyless(summary: DatasetSummary) -> Iterator[str]:
    """Says, per leaf, what becomes of dicts without keys."""
    for leaf, paths in summary.keyless.items():
        where = ", ".join(f"'{path}'" for path in paths)
        yield (
            f"in the rows of '{leaf}', no dict at {where} has a key, and Parquet has no type for {{}}: the dataset "
            "has null there; to tell such dicts from None, give them a key or turn them into JSON text"
        )


def lines_about_the_empty(session: Session) -> Iterator[str]:
    """Says, per leaf without rows, which step has let none through."""
    plan, steps = session.manager.plan, session.manager.steps
    for leaf in plan.leaves:
        waiting, above = [leaf], {leaf}
        while waiting:
            new = set(plan.steps[waiting.pop()].predecessors) - above
            above |= new
            waiting += new
        empty = [name for name in plan.steps if name in above and not steps[name].counts.out]
        if leaf in empty and (rows := steps[empty[0]].counts.taken):
            yield f"'{leaf}' has no rows: step '{empty[0]}' let none of its {count(rows, 'row')} through"


def failed_rows(session: Session) -> dict[str, int]:
    """Rows per step that ended as dead letters, or would have without the halt; steps without any are left out."""
    counted = {name: state.rows_failed for name, state in session.manager.steps.items()}
    return {name: count for name, count in counted.items() if count}


def skipped_rows(session: Session) -> dict[str, int]:
    """Rows per step that passed it by; steps without any are left out."""
    counted = {name: state.counts.skipped for name, state in session.manager.steps.items()}
    return {name: count for name, count in counted.items() if count}


def rows_done(session: Session) -> dict[str, int]:
    """Rows that each step has produced."""
    return {name: state.counts.out for name, state in session.manager.steps.items()}


def sample_rows(session: Session) -> dict[str, str]:
    """The first row of each leaf as JSON, for a dry run; leaves without rows are left out."""
    samples = {}
    for leaf, parts in session.sink.parts.items():
        if parts and parts[0].rows:
            import pyarrow.parquet as pq

            table = pq.read_table(session.sink.folder / parts[0].name)
            samples[leaf] = json.dumps(table.slice(0, 1).to_pylist()[0], default=str, ensure_ascii=False)
    return samples
