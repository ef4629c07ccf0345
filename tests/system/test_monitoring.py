"""Alerts, dashboard and runbooks fit each other and what the programs export.

The rules themselves are tried by promtool, of Debian's package `prometheus`.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cardmint_cloud.web.metrics import Metrics
from cardmint_edge.metrics import StationMetrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "cloud" / "monitoring"
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
TRIED = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
NAMES = [rule["alert"] for rule in RULES]


def exported() -> set[str]:
    """Return the names that Prometheus stores of what both programs export."""
    names = set()
    for registry in (Metrics().registry, StationMetrics()._registry):  # noqa: SLF001 - it has no other way
        for family in registry.collect():
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            names |= {family.name + end for end in suffixes.get(family.type, [""])}
    return names


def used(expression: str) -> set[str]:
    return set(re.findall(r"\bcardmint_\w+", expression))


def panels() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_every_metric_in_rules_and_dashboard_is_exported() -> None:
    for expression in (*(rule["expr"] for rule in RULES), *panels()):
        assert used(expression) <= exported(), expression


def test_every_exported_metric_is_looked_at() -> None:
    seen = set().union(*map(used, (*(rule["expr"] for rule in RULES), *panels())))
    left = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in exported() - seen}
    assert left <= {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in seen}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages - {"README", "rollback"} == set(NAMES)
    for rule in RULES:
        page = ROOT / rule["annotations"]["runbook_url"]
        assert page.stem == rule["alert"]
        text = page.read_text()
        for part in ("What it means", "How to look", "What to do", "How to see that it worked"):
            assert f"## {part}\n" in text, page
        assert rule["annotations"]["description"] in text
        assert rule["labels"]["severity"] in {"page", "ticket", "none"}


def test_every_alert_is_seen_to_fire_and_to_stay_quiet() -> None:
    cases = [case for test in TRIED for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert fired == set(NAMES)
    assert quiet == set(NAMES) - {"Watchdog"}


@pytest.mark.parametrize("words", [("check", "alerts.yml"), ("test", "alerts_test.yml")])
def test_promtool_agrees(words: tuple[str, str]) -> None:
    action, file = words
    assert shutil.which("promtool"), "promtool is missing; on Debian: apt install prometheus"
    done = subprocess.run(
        ["promtool", action, "rules", str(FOLDER / file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_panel_says_what_it_shows() -> None:
    for panel in DASHBOARD["panels"]:
        assert panel["title"], panel["id"]
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_tools_of_a_runbook_are_those_that_an_operator_has() -> None:
    tools = {"fly", "cardmint-cloud", "cardmint-edge", "promtool", "timedatectl", "systemctl", "ln"}
    for page in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        for line in re.findall(r"^    (\S+)", page.read_text(), re.MULTILINE):
            assert line in tools, f"{page.name}: {line}"
