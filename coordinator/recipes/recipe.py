"""Recipe: a pipeline with its data, to begin with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from common.errors import UsageError
from common.words.faults import hint

NAMES = ("sft", "dpo", "ultrafeedback", "magpie", "evol", "qa", "retrieval", "extraction")
"""Each is a folder beside this file, with a spec, its data and a page about it."""
SPEC, PAGE = "pipeline.yaml", "README.md"
_ABOUT = re.compile(r"^description: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A folder of this package.

    Args:
        name: of the folder.
        about: what the pipeline does, in one line.
        files: relative path -> content.
    """

    name: str
    about: str
    files: dict[str, bytes]

    @classmethod
    def named(cls, name: str) -> Recipe:
        """Raises UsageError: there is none with this name."""
        if name not in NAMES:
            raise UsageError(f"there is no recipe '{name}'{hint(name, NAMES, 'the recipes are')}")
        folder = Path(__file__).parent / name
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        found = _ABOUT.search(files[SPEC].decode())
        assert found is not None, f"{folder / SPEC} has no description"
        return cls(name, found[1], files)

    def write(self, folder: Path) -> list[Path]:
        """Writes the files into the folder, which is made if it is missing.

        Raises:
            UsageError: one of them already exists, and nothing is written; or the folder cannot be written.
        """
        paths = {folder / name: content for name, content in self.files.items()}
        try:
            for path in paths:
                if path.exists() or path.is_symlink():
                    raise _exists(path, self.name)
            for path, content in paths.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    file.write(content)
        except FileExistsError as error:  # a file where a folder must be, or one that has appeared meanwhile
            raise _exists(Path(error.filename), self.name) from None
        except OSError as error:
            raise UsageError(f"{folder} cannot be written: {error.strerror or error}; choose another folder") from error
        return list(paths)


def _exists(path: Path, name: str) -> UsageError:
    return UsageError(f"'{path}' already exists; choose another folder: pipeline-coordinator init {name} DIR")
