"""The stand-in server: every provider's API under its own path, and control of faults."""

from litestar import Litestar, get, put
from litestar.exceptions import ValidationException
from litestar.params import FromPath

from cardmint_lab.stand_ins import pokemontcg, pricecharting, tcgcsv, tcgdex
from cardmint_lab.stand_ins.faults import FAULTS, PROVIDER_NAMES, Fault, FaultControl, ProviderName


def build(*, fault: Fault | None = None, slow_s: float = 10.0) -> Litestar:
    """Return the stand-in. Answers have `fault` until `PUT /faults/PROVIDER/FAULT` changes it."""
    desk = FaultControl(fault, slow_s=slow_s)

    @put("/faults/{name:str}/{wanted:str}")
    async def set_fault(
        name: FromPath[str], wanted: FromPath[str]
    ) -> dict[ProviderName, Fault | None]:
        if name not in {"all", *PROVIDER_NAMES} or wanted not in {"none", *FAULTS}:
            raise ValidationException(
                f"/faults/PROVIDER/FAULT: all, {', '.join(PROVIDER_NAMES)}; none,"
                f" {', '.join(FAULTS)}"
            )
        for one in PROVIDER_NAMES:
            if name in {"all", one}:
                desk.faults[one] = next((fault for fault in FAULTS if fault == wanted), None)
        return desk.faults

    @get("/calls")
    async def calls() -> dict[str, int]:
        return {name: desk.calls[name] for name in PROVIDER_NAMES}

    parts = (tcgdex, pokemontcg, pricecharting, tcgcsv)
    routes = [handler for part in parts for handler in part.handlers(desk)]
    return Litestar([*routes, set_fault, calls], openapi_config=None)
