"""`cardmint-lab stand-ins`: the stand-in for the price providers on a loopback port."""

from pathlib import Path
from typing import cast

import click

from cardmint_lab.stand_ins.faults import FAULTS, Fault


@click.command("stand-ins")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8090,
    show_default=True,
    help="The port on loopback.",
)
@click.option(
    "--fault", type=click.Choice(FAULTS), default=None, help="What goes wrong with every answer."
)
@click.option(
    "--slow-s",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="How slow `slow` is.",
)
def stand_ins(port: int, fault: str | None, slow_s: float) -> None:
    """Serve made-up prices under /tcgdex, /pokemontcg, /pricecharting and /tcgcsv.

    `PUT /faults/PROVIDER/FAULT` sets a fault (`all`, `none`); `GET /calls` counts the calls.
    """
    import uvicorn

    from cardmint_lab.stand_ins.app import build

    app = build(fault=cast("Fault | None", fault), slow_s=slow_s)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")


@click.command("catalogue-stand-in")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A folder of TCGdex's database: sets.json, cards/international, cards/asia.",
)
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder of <card id>.jpg; cards without one have no picture.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8091,
    show_default=True,
    help="The port on loopback.",
)
def catalogue_stand_in(data: Path, pictures: Path | None, port: int) -> None:
    """Serve the catalogue as TCGdex does, under /v2.

    `/control/fault/FAULT/N` lets every N-th answer go wrong, `/control/hide/SET/N` takes a set's
    last N cards away (-1: the set).
    """
    import uvicorn

    from cardmint_lab.stand_ins.catalogue import CatalogueStandIn

    app = CatalogueStandIn(data, pictures)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off")
