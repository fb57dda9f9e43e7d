"""
Writes the boards into `grafana/dashboards` as Grafana reads them; part of `make docs`.

A test holds the committed files to what this writes.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.boards.front_door import front_door
from grafana.boards.outcomes import outcomes
from grafana.boards.overview import overview
from grafana.boards.providers import providers
from grafana.boards.spool import spool

FOLDER = Path(__file__).parent / "dashboards"
BOARDS = {
    "overview.json": overview,
    "providers.json": providers,
    "front-door.json": front_door,
    "spool.json": spool,
    "outcomes.json": outcomes,
}


def rendered(board: Dashboard) -> str:
    """A board as its file: panels and queries numbered, so that each has a name of its own."""
    tree = json.loads(JSONEncoder().encode(board.build()))
    for number, panel in enumerate(tree["panels"], start=1):
        panel["id"] = number
        for place, target in enumerate(panel.get("targets", ())):
            target["refId"] = chr(ord("A") + place)
    return json.dumps(tree, sort_keys=True, indent=2) + "\n"


if __name__ == "__main__":
    for name, build in BOARDS.items():
        (FOLDER / name).write_text(rendered(build()), encoding="utf-8")
