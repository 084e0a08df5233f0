"""Commands that tell what is there: info, models. Neither imports torch."""

from __future__ import annotations

import json

from slicekit.cli.options import AsJson


def info(as_json: AsJson = False) -> None:
    """Show versions, the machine, what --device auto would take, and where things lie."""
    from slicekit.report.installation import describe_installation

    found = describe_installation()
    print(json.dumps(found.to_json(), indent=2) if as_json else found.to_text())


def models(as_json: AsJson = False) -> None:
    """List the models known by name: organs, scores, licence, weights and their SHA-256."""
    from slicekit.report.catalogue import list_models, models_text

    found = list_models()
    shown = json.dumps([one.to_json() for one in found], indent=2) if as_json else ""
    print(shown or models_text(found))
