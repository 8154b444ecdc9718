"""Calibration: noise recovered from launches made with known noise, stored, used and printed."""

import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from comparison import calibrate, noise
from comparison.calibrate import estimate_noise
from comparison.cell_summary import Metric
from comparison.noise import CalibratedNoise, Noise, Profile
from tests.comparison.cases import scaled
from tests.comparison.runs import Made, compare, write_run, write_two


def blocks(launch: float, drift: float, count: int, seed: int) -> list[list[float]]:
    chance = random.Random(seed)
    out = []
    for _ in range(count):
        centre = chance.gauss(0, drift)
        out.append([centre + chance.gauss(0, launch) for _ in range(5)])
    return out


def test_recovers_the_noise_that_was_put_in() -> None:
    found = [estimate_noise(blocks(0.01, 0.03, 40, seed)) for seed in range(30)]
    assert statistics.fmean(n.launch for n in found) == pytest.approx(0.01, rel=0.25)
    assert statistics.fmean(n.drift for n in found) == pytest.approx(0.03, rel=0.15)
    assert {n.df for n in found} == {8}
    assert estimate_noise(blocks(0.01, 0.0, 3, 1)).df == 2


def test_a_still_machine_has_no_drift() -> None:
    assert estimate_noise([[0.0, 0.01, 0.02, 0.01, 0.0]] * 6).drift == 0.0


def launches(count: int, drift: float, seed: int) -> Sequence[float]:
    chance = random.Random(seed)
    return [5 * (1 + drift * chance.random()) * (1 + chance.gauss(0, 0.002)) for _ in range(count)]


def test_a_calibrated_machine_sees_what_the_built_in_bound_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = write_two([Made()], [scaled(1.08)])
    assert compare(*words).status == 0
    write_run(Path("result/aa"), [Made(launch_ms=launches(60, 0.001, 1), runs=20)])
    assert calibrate.main(["--runs", "result/aa"]) == 0
    told = capsys.readouterr().out
    assert "squeezenet::CUDAExecutionProvider/latency_p50: 60 launches" in told
    assert "A/A flagged 0 of" in told
    found = compare(*words)
    assert found.status == 1
    assert "beyond the calibrated noise of this cell" in found.out
    assert "judged by this machine's noise, calibrated 20" in found.out


def test_a_cell_that_was_not_calibrated_is_judged_by_the_noisiest_that_was() -> None:
    wild = Made(model="wild", launch_ms=launches(30, 0.3, 3))
    write_run(Path("result/aa"), [Made(launch_ms=launches(30, 0.0, 2)), wild])
    assert calibrate.main(["--runs", "result/aa"]) == 0
    profile = noise.read_profile()
    noisiest, other = (
        noise.expected_noise(profile, cell, Metric.P50, canary=False)
        for cell in ("wild::CUDAExecutionProvider", "other::X")
    )
    assert noisiest[0] == other[0]
    assert other[1] == "calibrated noise of this machine's noisiest cell"


@pytest.mark.parametrize(
    ("runs", "line"),
    [
        ([Made(launch_ms=launches(30, 0, 1)), Made(launch_ms=launches(30, 0, 1), version="1.32")],
         "was not asked alike in these runs (it differs in ep_version)"),
        ([Made()], "no cell has 15 launches; raise --launches"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_calibrated_from_are_refused(
    runs: list[Made], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(write_run(Path(f"result/{i}"), [m])) for i, m in enumerate(runs)]
    assert calibrate.main(["--runs", *folders]) == 2
    assert line in capsys.readouterr().err


def test_no_calibrated_drift_is_believed_below_a_floor() -> None:
    still = CalibratedNoise(Noise(0.001, 0.0, 8), 60, 12)
    profile = Profile("m", "2026-11-26", {"c/latency_p50": still})
    found, _ = noise.expected_noise(profile, "c", Metric.P50, canary=False)
    assert found.drift == noise.LEAST_DRIFT


def test_a_profile_survives_its_file_and_states_the_error_of_the_sequential_rule() -> None:
    measured = CalibratedNoise(Noise(0.01, 0.02, 5), 60, 12, 0.0, 300, 0.03)
    profile = Profile(noise.find_machine_id(), "2026-11-26", {"c/latency_p50": measured})
    assert noise.read_profile() is None
    assert noise.write_profile(profile).name == f"{profile.machine}.json"
    assert noise.read_profile() == profile
    told = noise.describe_sequential_error(profile)
    assert "of 300 cells compared with themselves, 0 were flagged and confirmed" in told
    assert "at most 0.99 % with 95 % confidence" in told  # 1 - 0.05 ** (1 / 300)


def test_it_launches_by_itself_and_the_comparison_then_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # How far launches of one thing differ on a busy machine is not judged here: the next test's figures are given.
    monkeypatch.setattr(calibrate, "NONSENSE", math.inf)
    monkeypatch.chdir(home)
    words = ["-m", "models", "-e", "cpu", "--models", "relu", "--launches", "16"]
    assert calibrate.main(words) == 0
    told = capfd.readouterr().out
    profile = noise.read_profile()
    assert profile
    assert "relu::CPUExecutionProvider/latency_p50: 16 launches" in told
    assert profile.cells["relu::CPUExecutionProvider/latency_p50"].groups == 3
    run = str(next(Path("result").glob("calibrate-*")))
    told = compare("-p", run, "-c", run).out
    assert "judged by this machine's noise, calibrated 20" in told


def test_a_machine_that_measures_nonsense_is_not_calibrated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Launches of the same thing differ by factors: no change could ever be told, so nothing is stored."""
    chance = random.Random(1)
    wild = [5 * chance.lognormvariate(0, 0.6) for _ in range(60)]
    write_run(Path("result/wild"), [Made(launch_ms=wild)])
    assert calibrate.main(["--runs", "result/wild"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(
        "error: two stored runs of squeezenet::CUDAExecutionProvider/latency_p50 would differ"
    )
    assert "Nothing was stored" in said.err
    assert noise.read_profile() is None
