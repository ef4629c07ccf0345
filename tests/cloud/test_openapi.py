"""The cloud serves the paths and methods that the contracts' OpenAPI document names."""

import pytest

from cardmint_cloud.web import api, artifacts
from cardmint_contracts import openapi

SERVED = {
    (path.replace(":str}", "}"), method.lower())
    for handler in (*api.HANDLERS, *artifacts.HANDLERS)
    for path in handler.paths
    for method in handler.http_methods
}
METHODS = {"get", "head", "put", "patch", "post", "delete"}
DOCUMENTED = [
    (path, method)
    for path, item in openapi.document()["paths"].items()
    for method in item.keys() & METHODS
]


@pytest.mark.parametrize(("path", "method"), sorted(DOCUMENTED))
def test_a_documented_path_is_served(path: str, method: str) -> None:
    assert (path, method) in SERVED
