"""A command written out again asks for the same, whatever was given."""

import shlex

import pytest

from perf.request import options
from perf.request.options import to_argv

COMMANDS = (
    "-r both -i zoo -t 20 -e cpu ov -o /tmp/x",
    "--ep_list 'CPUExecutionProvider cuda:fp16' --no-fp16 -vv --io-binding",
    "--shape a=1x3 b=2x4 --shape c= --env one=/bin/a two=/bin/b",
    "--ep-options 'ov[fast]:num_streams=1,x=2' --ep_options cuda:a=b --trt_ep_options trt_profile_min_shapes=a:1x3,b:2",
    "--timeout build=3600,run=300 --cpu_affinity 0,1 -b both --no-check --force --session_config a=b --session_config c=d",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_respelled_parses_to_the_same(command: str) -> None:
    words = shlex.split(command)
    assert options.parse(to_argv(words, ())) == options.parse(words)


def test_what_is_left_out_is_gone() -> None:
    again = to_argv(
        ["-r", "both", "--resume", "-e", "cpu", "ov", "-t", "3"], ("ep_list", "resume")
    )
    assert again == ["--running_mode", "both", "--test_times", "3"]
