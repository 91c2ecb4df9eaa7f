"""How a classifier reads who says a text: a template such as `{character}: {text}`, from its recipe into its config."""

from collections.abc import Sequence
from string import Formatter

PLAIN = "{text}"
CHARACTER = "character"
TURNS = " / "  # between the turns of a situation: the tokenizers of BERT and MPNet drop line breaks


def fields_of(template: str) -> set[str]:
    """Return the names of a template's fields. Raises ValueError for a template that is not one."""
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def filled(template: str, texts: Sequence[str], characters: Sequence[str] | None) -> list[str]:
    """Return the texts as a model with this template reads them. A text whose character is not known stays plain."""
    if characters is None or CHARACTER not in fields_of(template):
        return list(texts)
    return [
        template.format(text=text, character=character) if character else text
        for text, character in zip(texts, characters, strict=True)
    ]
