"""What a tile's formats cost a language model, as a command with tiles says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sim.accuracy.recipe import Recipe
    from sim.accuracy.table import Known

__all__ = ["accuracy_options", "lookup", "words"]


def accuracy_options(of: str) -> Callable[[Any], Any]:
    """``--accuracy`` and ``--measure``; ``of`` says whose accuracy that is and where it goes."""

    def add(command: Any) -> Any:
        measure = click.option(
            "--measure", is_flag=True, help="measure formats that were not (minutes each), see `hwgen accuracy`"
        )
        shown = click.option("--accuracy", "accurate", is_flag=True, help=of)
        return shown(measure(command))

    return add


def lookup(measure: bool) -> Callable[[Recipe], Known | None]:
    """Accuracies from the table that comes with hwgen, and measured where asked for."""
    if not measure:
        from sim.accuracy.table import known_of

        return known_of
    from rich.console import Console

    from sim.accuracy.run import measured_as_the_table

    console = Console(stderr=True)
    return measured_as_the_table(lambda what: console.print(what, highlight=False))


def words(known: Known | None, recipe: Recipe) -> str:
    """What was measured with a recipe, beside the float model, in a sentence."""
    from sim.accuracy.recipe import Recipe
    from sim.accuracy.table import known_of, provenance_of

    said = recipe.formats
    about = provenance_of()
    model = f"{about['model']} with {', '.join(f'{role} {form.name}' for role, form in said.items())}"
    if known is None:
        return f"accuracy: {model} was not measured; --measure does"
    whole = known_of(Recipe())
    beside = "" if whole is None else f" (float {whole.perplexity:.2f})"
    return (
        f"accuracy: {model}: perplexity {known.perplexity:.2f}{beside}, KL {known.kl_nats:.4f} nats, next token as the "
        f"float model's {known.agreement:.1%}; {known.tokens:,} tokens of {about['text']}; the tile's own arithmetic "
        "is not in it"
    )
