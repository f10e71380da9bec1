"""Cores, memory and threads: the least of what the machine, its control groups and its batch job allow."""

import os
from pathlib import Path

import pytest

from lso_bench import limits
from lso_bench.errors import UsageError
from lso_bench.executors import resources
from lso_bench.runner.placement import Placement

GB = 2**30
UNLIMITED = 9223372036854771712  # of cgroup v1


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system that says what it is given, by the names of files, and nothing of what this one says."""
    for name in [n for n in os.environ if n.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(limits, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GB // 4096}.__getitem__)

    def says(files: dict[str, object]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")

    return says


V2 = {"proc/self/cgroup": "0::/system.slice/job_7/step_0"}
V1 = {"proc/self/cgroup": "9:cpu,cpuacct:/slurm/uid_0/job_7\n4:memory:/slurm/uid_0/job_7\n1:name=systemd:/a\n0::/"}
V2_AT = "sys/fs/cgroup/system.slice"
MEMORY = {
    "no control groups": ({}, 64),
    "v2, none": (V2 | {f"{V2_AT}/job_7/step_0/memory.max": "max"}, 64),
    "v2, of its own group": (V2 | {f"{V2_AT}/job_7/step_0/memory.max": 4 * GB}, 4),
    "v2, of a group above": (V2 | {f"{V2_AT}/memory.max": 3 * GB, f"{V2_AT}/job_7/step_0/memory.max": "max"}, 3),
    "v2, the least of all": (V2 | {f"{V2_AT}/memory.max": 9 * GB, f"{V2_AT}/job_7/memory.max": 2 * GB}, 2),
    "v2, in a container": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": 5 * GB}, 5),
    "v2, seen from outside its namespace": (
        {"proc/self/cgroup": "0::/../../x", "sys/fs/cgroup/memory.max": 5 * GB, "sys/fs/x/memory.max": GB},
        5,
    ),
    "v1, none": (V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED}, 64),
    "v1, of its own group": (V1 | {"sys/fs/cgroup/memory/slurm/uid_0/job_7/memory.limit_in_bytes": 6 * GB}, 6),
    "v1, of a group above": (V1 | {"sys/fs/cgroup/memory/slurm/memory.limit_in_bytes": 7 * GB}, 7),
    "v1, in a container that sees only its own": (V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": 8 * GB}, 8),
    "v1, of another's group": (V1 | {"sys/fs/cgroup/memory/slurm/uid_0/job_8/memory.limit_in_bytes": GB}, 64),
    "both": (V1 | {"sys/fs/cgroup/unified/memory.max": 2 * GB}, 2),
    "no number": (V2 | {f"{V2_AT}/memory.max": "a lot"}, 64),
}


@pytest.mark.parametrize("case", MEMORY)
def test_memory_is_the_least_that_any_control_group_allows(system, case):
    files, gigabytes = MEMORY[case]
    system(files)
    assert limits.memory() == gigabytes * GB


CPU = {
    "none": ({}, 16),
    "v2, no quota": (V2 | {f"{V2_AT}/job_7/cpu.max": "max 100000"}, 16),
    "v2": (V2 | {f"{V2_AT}/job_7/cpu.max": "200000 100000"}, 2),
    "v2, a share of a core": (V2 | {f"{V2_AT}/cpu.max": "50000 100000"}, 1),
    "v2, one and a half": (V2 | {f"{V2_AT}/cpu.max": "150000 100000"}, 2),
    "v1, no quota": (
        V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": -1, "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100000},
        16,
    ),
    "v1": (
        V1
        | {
            "sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us": 300000,
            "sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_period_us": 100000,
        },
        3,
    ),
}


@pytest.mark.parametrize("case", CPU)
def test_cores_are_the_fewest_that_any_control_group_allows(system, case):
    files, cores = CPU[case]
    system(files)
    assert limits.cores() == cores


@pytest.mark.parametrize(
    ("variables", "cores", "gigabytes"),
    [
        ({"SLURM_CPUS_PER_TASK": "4"}, 4, 64),
        ({"SLURM_CPUS_PER_TASK": "32"}, 16, 64),
        ({"SLURM_CPUS_PER_TASK": ""}, 16, 64),
        ({"SLURM_MEM_PER_NODE": "8192"}, 16, 8),
        ({"SLURM_MEM_PER_NODE": "0"}, 16, 64),
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_ON_NODE": "3"}, 16, 6),
        ({"SLURM_MEM_PER_CPU": "2048"}, 16, 64),
        ({"SLURM_MEM_PER_GPU": "4096", "SLURM_GPUS_ON_NODE": "2"}, 16, 8),
        ({"SLURM_MEM_PER_NODE": "32G"}, 16, 32),
        ({"SLURM_MEM_PER_NODE": "1048576K"}, 16, 1),
        ({"SLURM_MEM_PER_NODE": "3072M"}, 16, 3),
        ({"SLURM_MEM_PER_NODE": "1T"}, 16, 64),
        ({"SLURM_MEM_PER_CPU": "2g", "SLURM_CPUS_ON_NODE": "3"}, 16, 6),
        ({"SLURM_MEM_PER_NODE": "a lot"}, 16, 64),
    ],
)
def test_a_batch_job_has_what_it_asked_for(system, monkeypatch, variables, cores, gigabytes):
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert (limits.cores(), limits.memory()) == (cores, gigabytes * GB)


@pytest.mark.parametrize(
    ("text", "threads"),
    [
        ("3", 3),
        ("4,2", 4),
        (" 5 ", 5),
        ("2.0", 2),
        ("", 16),
        ("abc", 16),
        ("0", 16),
        ("-1", 16),
        (",2", 16),
        (None, 16),
    ],
)
def test_threads_are_the_first_number_that_is_asked_for_or_the_cores(system, monkeypatch, text, threads):
    monkeypatch.delenv("OMP_NUM_THREADS") if text is None else monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert limits.threads() == threads
    assert resources.resolve(1, Placement(), resources.RequestedResources()).threads == threads


def test_kills_for_want_of_memory_are_counted_wherever_they_are_told(system):
    system(V1 | {"proc/vmstat": "pgfault 7\noom_kill 2"})
    before = limits.memory_kills()
    system({"sys/fs/cgroup/memory/slurm/uid_0/job_7/memory.oom_control": "oom_kill_disable 0\noom_kill 1"})
    assert 2 == before < limits.memory_kills()


@pytest.mark.parametrize("jobs", [2, 16, 100_000, 10**15])
def test_no_more_runs_at_a_time_than_there_are_and_each_has_its_share(system, jobs):
    how = resources.resolve(2, Placement(), resources.RequestedResources(jobs=jobs))
    assert how.jobs == 2 and how.memory == int(resources.USABLE * 64 * GB / 2)


def test_so_many_at_a_time_that_none_has_memory_enough_are_refused_with_the_most(system):
    with pytest.raises(UsageError, match=r"--jobs 100000 leaves 0 MB .* say --jobs 96 or less"):
        resources.resolve(100_000, Placement(), resources.RequestedResources(jobs=100_000))
    assert resources.resolve(100_000, Placement(), resources.RequestedResources(jobs=96)).jobs == 96
    assert resources.resolve(1000, Placement(), resources.RequestedResources(jobs=1000, memory=0.7)).memory == int(
        0.7 * GB
    )


@pytest.mark.parametrize("gigabytes", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("address", [None, "local"])
def test_a_limit_that_no_run_can_keep_to_is_refused_with_the_least(system, gigabytes, address):
    with pytest.raises(UsageError, match=f"--memory {gigabytes:g} is too little: the smallest run takes 0.6 GB"):
        resources.resolve(4, Placement(), resources.RequestedResources(memory=gigabytes, address=address))


def test_a_batch_job_too_small_for_any_run_is_refused_with_its_limit_unless_no_process_has_one(system, monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "500")
    with pytest.raises(UsageError, match=r"may take 0.49 GB of memory here, .*SLURM_MEM.* takes 0.67; ask for more"):
        resources.resolve(2, Placement(), resources.RequestedResources())
    alone = resources.resolve(1, Placement(), resources.RequestedResources())
    assert (alone.isolation, alone.memory) == ("none", None)


@pytest.mark.parametrize("gigabytes", [float("inf"), 1e300, 1e12])
def test_a_limit_beyond_all_memory_is_none(system, gigabytes):
    assert resources.resolve(1, Placement(), resources.RequestedResources(memory=gigabytes)).memory == resources.LARGEST
    with pytest.raises(UsageError, match="--memory wants a number of GB, got nan"):
        resources.resolve(1, Placement(), resources.RequestedResources(memory=float("nan")))


def test_folders_of_control_groups_are_told_apart_from_all_else(system, tmp_path):
    system({"proc/self/cgroup": "3:memory:/a/b\n0::/c"})
    inside = tmp_path / "sys/fs/cgroup"
    assert all(Path(g).is_relative_to(inside) for g in limits._groups("memory"))
