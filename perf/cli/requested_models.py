"""The models that a run asks for; the offline ones are made first where they are meant and missing."""

import subprocess
import sys

from perf.cli.named_inputs import refuse_misnamed
from perf.planning.choose_models import ChosenModels, choose_models
from perf.planning.targets import NothingMeasurableError
from perf.request.custom_ops import add_custom_ops
from perf.request.locations import MODEL_LIST
from perf.request.model_list import find_sources
from perf.request.options import Options
from perf.request.programs import child_command, child_variables
from setup_models import offline


def load_requested(options: Options) -> ChosenModels:
    """Read the models; raises ModelListError, NothingMeasurableError where they cannot be made.

    And BadRequestError for a file that is none, or a --shape that none takes.
    """
    sources = find_sources(options.model_source, options.workspace)
    if not options.dry_run and any(s.is_file() and s.samefile(MODEL_LIST) for s in sources):
        _make_offline_models()
    chosen = choose_models(options)
    models = add_custom_ops(chosen.models, options.custom_ops)
    refuse_misnamed(models, sources, options)
    if options.input_data == "zoo" and not options.inputs:
        for model in (m for m in models if not m.test_data and not m.problem):
            print(
                f"{model.name}: no test data beside {model.path}, so random inputs are fed, of seed "
                f"{options.seed}; --inputs FILE.npz feeds your own",
                file=sys.stderr,
            )
    return ChosenModels(models, chosen.names)


def _make_offline_models() -> None:
    """In a process of their own: making them loads an engine, which must stay out of this one."""
    if not offline.is_complete():
        made = subprocess.run(
            child_command("setup_models.offline"), env=child_variables(), stdout=2, check=False
        )
        if made.returncode:
            raise NothingMeasurableError(
                "the offline models could not be made; the line above says why"
            )
