"""The two commands from their first moment: checks the packages and handles signals before slow imports.

`common` is not imported here: whether it is ours must be checked first.
"""

from __future__ import annotations

import sys
from importlib import import_module

from penstock.own_packages import foreign_package

USAGE = 2


def coordinator() -> None:
    """Entry point of `pipeline-coordinator`."""
    resumes = "; rerun the command to resume" if sys.argv[1:2] == ["run"] else ""
    check_packages()
    _launch("pipeline-coordinator", "coordinator.cli", "group", f"interrupted{resumes}")


def worker() -> None:
    """Entry point of `pipeline-worker`."""
    check_packages()
    _launch("pipeline-worker", "worker.cli", "command", "interrupted before it took any work")


def check_packages() -> None:
    """Raises SystemExit if one of our packages would be imported from elsewhere."""
    if problem := foreign_package("common", "coordinator", "worker"):
        print(f"Error: {problem}", file=sys.stderr)
        sys.exit(USAGE)


def _launch(name: str, module: str, attribute: str, interrupted: str) -> None:
    """An error of Penstock is one message and an exit code, never a traceback.

    Args:
        attribute: the command, in the module.
        interrupted: the message if a signal ends it before anything else handles signals.
    """
    from common.process.signals import interruptible

    with interruptible(f"{name}: {interrupted}"):
        import click

        from common.errors import PenstockError
        from common.process.garbage import collect_less_often, leave_out_what_lasts
        from common.process.last_words import say_error, say_wrong_usage

        collect_less_often()
        command: click.Command = getattr(import_module(module), attribute)
        try:
            sys.exit(command.main(prog_name=name, standalone_mode=False) or 0)
        except PenstockError as error:
            say_error(name, error)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            say_wrong_usage(error)
            sys.exit(error.exit_code)
        except click.Abort as error:
            raise KeyboardInterrupt from error
        finally:
            leave_out_what_lasts()
