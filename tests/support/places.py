"""Where the repository is, and the steps that tests copy beside their specs."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS_FOLDER = Path(__file__).resolve().parent / "steps"
