"""The page of the stations."""

from litestar import get
from litestar.di import NamedDependency
from litestar.response import Template
from sqlalchemy import RowMapping

from cardmint_cloud.adapters.postgres.queries import catalogue
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.adapters.postgres.queries.stations import (
    list_artifacts,
    list_evictions,
    list_new_streams,
    list_stations,
)
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.rendering import htmx_target, render_page


@get("/stations")
async def stations(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the stations: online state, unsent events, watermark, health, and both ledgers."""
    async with reading(shop.engine, shop.tenant) as connection:
        found = await list_stations(connection, shop.tenant)
        template = "_stations.html" if htmx_target(request) == "stations" else "stations.html"
        evicted = await list_evictions(connection, shop.tenant)
        artifacts = await list_artifacts(connection, shop.tenant)
        newest = await catalogue.newest_sets(connection)
        return await render_page(
            connection,
            shop,
            template,
            stations=found,
            sets_since={row["station"]: newest.since(_catalogue_day(row)) for row in found},
            evicted=evicted,
            new_streams=await list_new_streams(connection, shop.tenant),
            artifacts=artifacts,
        )


def _catalogue_day(station: RowMapping) -> str:
    """Return the day of a station's catalogue; empty where it did not say."""
    return str((station["health"] or {}).get("catalogue_at", ""))[:10]


HANDLERS = (stations,)
