"""`pipeline-coordinator`, from its first moment: signals are heard before what takes time is imported."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

# Nothing of `common` is imported up here: whether it is ours is the first thing to find out.
NAME = "pipeline-coordinator"
USAGE = 2


def check_packages() -> None:
    """Our three packages have plain names: another `common` that comes first on the path would break us silently.

    Raises:
        SystemExit: one of them would be imported from elsewhere.
    """
    ours = Path(__file__).resolve().parent.parent
    for name in ("common", "worker"):
        found = find_spec(name)
        if found is None or found.origin is None or Path(found.origin).resolve().parent.parent != ours:
            where = found.origin if found is not None and found.origin else "nowhere"
            print(
                f"Error: the package '{name}' would be imported from {where}, not from {ours}: a file or a folder of "
                "your own that is named common, worker or coordinator comes first on the path; rename it, or take it "
                "out of PYTHONPATH",
                file=sys.stderr,
            )
            sys.exit(USAGE)


def main() -> None:
    """Entry point."""
    check_packages()

    from common.signals import interruptible

    goes_on = "; the same command goes on with the run" if sys.argv[1:2] == ["run"] else ""
    with interruptible(f"{NAME}: interrupted{goes_on}"):
        import click

        from common.last_words import say_wrong_usage
        from coordinator.cli import group

        try:
            sys.exit(group.main(prog_name=NAME, standalone_mode=False) or 0)
        except click.ClickException as error:
            say_wrong_usage(error)
            sys.exit(error.exit_code)
        except click.Abort as error:
            raise KeyboardInterrupt from error


if __name__ == "__main__":
    main()
