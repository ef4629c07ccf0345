"""Who may do what: every route has a rule, and no rule gives more than it should."""

import itertools

import pytest

from cardmint_cloud.domain.permissions import (
    OPEN_PATHS,
    Role,
    Scope,
    enrolling_may,
    needs_proof,
    person_may,
    program_may,
    tenant_of,
    waiting_may,
)

TASK = "3f0c1c0e-9f6b-4b8e-8a57-1f1d3c5f7a10"
IMAGE = f"/api/v1/shop/images/{'a' * 64}"
LEAST: dict[tuple[str, str], Role] = {
    ("GET", "/"): Role.VIEWER,
    ("GET", "/api/v1/shop/items"): Role.VIEWER,
    ("POST", "/account/password"): Role.VIEWER,
    ("POST", "/logout"): Role.VIEWER,
    ("POST", "/reviews"): Role.OPERATOR,
    ("POST", f"/reviews/{TASK}"): Role.OPERATOR,
    ("POST", f"/reviews/{TASK}/undo"): Role.OPERATOR,
    ("POST", f"/reviews/{TASK}/rescan"): Role.OPERATOR,
    ("POST", f"/reviews/{TASK}/hand"): Role.OPERATOR,
    ("POST", "/held-prices/1/take"): Role.REVIEWER,
    ("POST", "/dead-letters/1/replay"): Role.ADMIN,
    ("POST", "/jobs/1/retry"): Role.ADMIN,
    ("POST", "/providers/tcgdex/ask"): Role.ADMIN,
    ("POST", "/items/add"): Role.OPERATOR,
    ("POST", "/items/import"): Role.OPERATOR,
    ("POST", "/items/market-differences"): Role.OPERATOR,
    ("POST", "/items/market-files"): Role.OPERATOR,
    ("POST", f"/items/market-files/{TASK}/take-back"): Role.OPERATOR,
    ("POST", "/items/views"): Role.OPERATOR,
    ("POST", "/items/views/remove"): Role.OPERATOR,
    ("POST", "/api/v1/shop/cards"): Role.OPERATOR,
    ("POST", "/api/v1/shop/changes"): Role.OPERATOR,
    ("POST", "/api/v1/shop/changes/preview"): Role.OPERATOR,
    ("POST", f"/api/v1/shop/changes/{TASK}/undo"): Role.OPERATOR,
    ("POST", f"/api/v1/shop/reviews/{TASK}/answer"): Role.OPERATOR,
    ("GET", "/people"): Role.ADMIN,
    ("POST", "/people/invite"): Role.ADMIN,
    ("POST", "/people/links/remove"): Role.ADMIN,
    ("GET", "/people/webhooks"): Role.ADMIN,
    ("POST", "/people/webhooks"): Role.ADMIN,
    ("POST", f"/people/webhooks/{TASK}/test"): Role.ADMIN,
}
"""The least role, written down a second time."""


@pytest.mark.parametrize(("method", "path"), list(LEAST))
def test_each_role_may_what_it_should(method: str, path: str) -> None:
    least = list(Role).index(LEAST[method, path])
    for rank, role in enumerate(Role):
        assert person_may(role, method, path) == (rank >= least), role


def test_nobody_changes_what_no_rule_names() -> None:
    for role, path in itertools.product(Role, ("/", "/new", IMAGE, "/reviewsx", "/people-of")):
        assert not person_may(role, "POST", path)
        assert not person_may(role, "PUT", path)


def test_a_station_brings_images_and_fetches_packs_and_reads_nothing() -> None:
    for method in ("HEAD", "PUT", "PATCH"):
        assert program_may(Scope.STATION, method, IMAGE)
    assert program_may(Scope.STATION, "GET", f"/api/v1/shop/artifacts/{'a' * 64}")
    for path in ("/", "/api/v1/shop/items", "/metrics", "/people", IMAGE):
        assert not program_may(Scope.STATION, "GET", path)
    assert not program_may(Scope.STATION, "POST", "/reviews")


def test_a_writer_reads_and_changes_cards_and_nothing_else() -> None:
    for path in ("cards", "changes", "changes/preview", f"reviews/{TASK}/answer"):
        assert program_may(Scope.WRITE, "POST", f"/api/v1/shop/{path}")
        assert not program_may(Scope.READ, "POST", f"/api/v1/shop/{path}")
        assert not program_may(Scope.WRITE, "PUT", f"/api/v1/shop/{path}")
    assert program_may(Scope.WRITE, "GET", "/api/v1/shop/cards")
    for path in ("/reviews", "/items/change", "/people/invite", "/", IMAGE):
        assert not program_may(Scope.WRITE, "POST", path)


def test_a_reader_reads_the_interface_and_changes_nothing() -> None:
    for path in ("/api/v1/shop/items", "/metrics", "/events", "/images/shop/a"):
        assert program_may(Scope.READ, "GET", path)
        assert not program_may(Scope.READ, "POST", path)
    for path in ("/", "/people", "/account"):
        assert not program_may(Scope.READ, "GET", path)
    assert not program_may(Scope.READ, "PUT", IMAGE)


@pytest.mark.parametrize(
    ("path", "tenant"),
    [
        ("/api/v1/shop/items", "shop"),
        ("/images/other/x", "other"),
        ("/", None),
        ("/reviews", None),
        ("/api/v1/accuracy/status", None),
        ("/api/v1/health/circuits", None),
    ],
)
def test_the_tenant_that_a_path_names(path: str, tenant: str | None) -> None:
    assert tenant_of(path) == tenant


def test_what_is_open() -> None:
    for path in ("/login", "/healthz", "/join/abc", "/static/app.css", "/api/v1/tenant"):
        assert OPEN_PATHS.match(path)
    for path in ("/", "/login/x", "/join/a/b", "/static/", "/api/v1/tenants", "/loginx", "/join/"):
        assert not OPEN_PATHS.match(path)


@pytest.mark.parametrize(
    ("path", "waiting", "enrolling", "proof"),
    [
        ("/login/second", True, False, False),
        ("/logout", True, True, False),
        ("/account/factors", False, True, False),
        ("/account/factors/code", False, True, True),
        ("/account/prove", False, True, False),
        ("/people", False, False, False),
        ("/people/invite", False, False, True),
        ("/items", False, False, False),
    ],
)
def test_where_a_second_factor_or_a_proof_is_asked_for(
    path: str, waiting: bool, enrolling: bool, proof: bool
) -> None:
    assert (waiting_may(path), enrolling_may(path)) == (waiting, enrolling)
    assert needs_proof("POST", path) is proof
    assert not needs_proof("GET", path)
    assert program_may(Scope.METRICS, "GET", "/metrics")
    assert not program_may(Scope.METRICS, "POST", "/metrics")
