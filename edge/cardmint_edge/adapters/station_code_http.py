"""The station's credentials from the cloud, for a code that a person read out."""

from cardmint_contracts.errors import ContractError
from cardmint_contracts.http import STATION_CODE_PATH
from cardmint_contracts.station_codes import StationCode, StationCredentials
from cardmint_contracts.wire import decode, encode
from cardmint_edge.errors import EdgeError

TIMEOUT_S = 30.0


def credentials_for(url: str, code: str) -> StationCredentials:
    """Trade a code at the cloud of `url`.

    Raises:
        EdgeError: the cloud is not there, or does not take the code; the message says what to do.
    """
    import httpx  # noqa: PLC0415 - 2 MB, needed once

    try:
        answer = httpx.post(
            f"{url.rstrip('/')}{STATION_CODE_PATH}",
            content=encode(StationCode(code=code)),
            headers={"content-type": "application/json"},
            timeout=TIMEOUT_S,
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise EdgeError(f"{url}: the cloud cannot be reached: {reason}") from None
    if answer.status_code != httpx.codes.OK:
        raise EdgeError(
            f"{url} does not take the code ({answer.status_code}): it counts once and for a quarter"
            " of an hour; make a new one on the page `People` of the dashboard"
        )
    try:
        return decode(answer.content, StationCredentials)
    except ContractError as error:
        raise EdgeError(f"{url} is no cloud of CardMint, or an older one: {error}") from None
