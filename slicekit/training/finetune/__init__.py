"""From a trained model and a handful of drawn scans to a model of new organs."""

from __future__ import annotations

from slicekit.training.finetune.new_recipe import usual_name
from slicekit.training.finetune.pilot import Expectation
from slicekit.training.finetune.run import Finetuned, FinetuneOptions, finetune

__all__ = ["Expectation", "FinetuneOptions", "Finetuned", "finetune", "usual_name"]
