import os

import pytest

from service.cores import available_cores

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def limits(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_without_a_limit_every_core_counts(tmp_path):
    assert available_cores(tmp_path) == ALL
    assert available_cores(limits(tmp_path, cpu_dot_max="max 100000\n")) == ALL


@pytest.mark.parametrize(("quota", "cores"), [("100000 100000", 1), ("150000 100000", 1), ("50000 100000", 1)])
def test_a_containers_limit_counts_in_whole_cores(tmp_path, quota, cores):
    assert available_cores(limits(tmp_path, cpu_dot_max=quota)) == cores


def test_the_older_control_groups_count_too(tmp_path):
    older = limits(tmp_path, cpu__cpu_dot_cfs_quota_us="100000\n", cpu__cpu_dot_cfs_period_us="100000\n")
    assert available_cores(older) == 1


def test_a_limit_above_the_machine_does_not_invent_cores(tmp_path):
    assert available_cores(limits(tmp_path, cpu_dot_max="99900000 100000")) == ALL


@pytest.mark.parametrize("text", ["", "nonsense", "-1 100000", "0 0", "100000"])
def test_what_cannot_be_read_is_no_limit(tmp_path, text):
    assert available_cores(limits(tmp_path, cpu_dot_max=text)) == ALL
