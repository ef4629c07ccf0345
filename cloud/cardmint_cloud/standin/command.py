"""`cardmint-cloud stand-in`: the stand-in for TCGdex on a loopback port."""

from typing import cast

import click
import uvicorn

from cardmint_cloud.standin.tcgdex import FAULTS, Fault, build


@click.command("stand-in")
@click.option("--port", type=click.IntRange(1, 65535), default=8090, show_default=True, help="The port on loopback.")
@click.option("--fault", type=click.Choice(FAULTS), default=None, help="What goes wrong with every answer.")
def stand_in(port: int, fault: str | None) -> None:
    """Serve made-up prices in TCGdex's shapes: the base URL is http://127.0.0.1:PORT/v2/en."""
    uvicorn.run(build(fault=cast("Fault | None", fault)), host="127.0.0.1", port=port, log_level="warning")
