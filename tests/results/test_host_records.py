"""The hosts of a run: kept by a key that says the name, and read back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from perf.machine import system
from perf.results.host_records import host_key, host_name, read_host_records, write_host_record
from perf.schema.version import VERSION, NewerSchemaError
from tests.results.hand_made import host as system_info


def test_a_host_is_kept_under_its_name_and_read_back(tmp_path: Path) -> None:
    here, there = system_info(), replace(system_info(), hostname="n-2")
    keys = [write_host_record(tmp_path, h) for h in (here, there, here)]
    assert keys[0] == keys[2] != keys[1]
    assert [host_name(k) for k in keys[:2]] == [here.hostname, "n-2"]
    assert read_host_records(tmp_path) == {keys[0]: here, keys[1]: there}


def test_a_host_after_another_boot_or_driver_is_another_record() -> None:
    here = system_info()
    assert host_key(here) != host_key(replace(here, boot_id="another"))
    assert host_name(host_key(here)) == host_name(host_key(replace(here, kernel="7")))


def test_launches_of_earlier_versions_name_no_host() -> None:
    assert host_name("") == ""


def test_a_torn_record_is_left_out_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    key = write_host_record(tmp_path, system_info())
    torn = tmp_path / "hosts" / "torn-00000000.json"
    torn.write_text('{"hostname": "x"')
    assert list(read_host_records(tmp_path)) == [key]
    torn.write_text(json.dumps({"schema": VERSION + 1}))
    with pytest.raises(NewerSchemaError, match="torn-00000000"):
        read_host_records(tmp_path)


def test_a_machine_goes_by_the_name_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = system.gather_system(()).hostname
    monkeypatch.setenv("EP_PERF_HOST", "node7")
    assert system.gather_system(()).hostname == "node7" != plain
    monkeypatch.setenv("EP_PERF_HOST", "")
    assert system.gather_system(()).hostname == plain
