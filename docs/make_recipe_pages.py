"""Writes the pages in `docs/recipes` from the recipes that `pipeline-coordinator init` writes.

.venv/bin/python docs/make_recipe_pages.py
"""

from __future__ import annotations

from pathlib import Path

from coordinator.recipes.recipe import NAMES, PAGE, SPEC, Recipe

FOLDER = Path(__file__).resolve().parent / "recipes"
NOTE = "<!-- Written by docs/make_recipe_pages.py from coordinator/recipes/{}; change that, then run it again. -->"
RUN = "\n## Run it\n"
INDEX = """# Recipes

{note}

Pipelines to begin with, without a line of Python. `init` writes one into a folder, with its data and a page about it;
it never overwrites a file. Without a name it lists them.

```
pipeline-coordinator init
pipeline-coordinator init sft my-data
pipeline-coordinator run my-data/pipeline.yaml
```

Each runs at once: its models are stand-ins (`EchoLLM`), which need no key and no network. For real ones, put the
commented lines of each `llm` in place of those above them.

| recipe | what it makes |
|---|---|
{rows}
"""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")


def written() -> dict[Path, str]:
    """Page -> what is in it."""
    recipes = [Recipe.named(name) for name in NAMES]
    rows = "\n".join(f"| [`{recipe.name}`]({recipe.name}.md) | {recipe.about} |" for recipe in recipes)
    index = INDEX.format(note=NOTE.format("*"), rows=rows)
    return {FOLDER / "README.md": index, **{FOLDER / f"{recipe.name}.md": page(recipe) for recipe in recipes}}


def page(recipe: Recipe) -> str:
    """The page of a recipe: what `init` writes beside its spec, with the spec itself."""
    title, _, rest = recipe.files[PAGE].decode().partition("\n")
    about, heading, run = rest.partition(RUN)
    run = run.replace("run pipeline.yaml", f"run {recipe.name}/{SPEC}", 1)
    run = run.replace("```\n", f"```\npipeline-coordinator init {recipe.name}\n", 1)
    spec = f"\n## The pipeline\n\n```yaml recipe\n{recipe.files[SPEC].decode()}```\n"
    return f"{title}\n\n{NOTE.format(recipe.name)}\n{about}{heading}{run}{spec}"


if __name__ == "__main__":
    main()
