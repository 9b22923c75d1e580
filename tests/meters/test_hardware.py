"""Files as machines have them, this machine against other programs that read it, and nonsense."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr_bench.meters.hardware import (
    Clock,
    Processor,
    clock,
    core_of,
    near_processors,
    processor,
    steal_s,
)

CPU = "sys/devices/system/cpu"
SOURCES = "sys/devices/system/clocksource/clocksource0"

EPYC_GUEST = {
    "proc/cpuinfo": "".join(
        f"""processor\t: {number}
vendor_id\t: AuthenticAMD
cpu family\t: 23
model\t\t: 1
model name\t: AMD EPYC
stepping\t: 2
microcode\t: 0x1000065
cpu MHz\t\t: {1996.249 + 2 * number}
cache size\t: 512 KB
physical id\t: 0
siblings\t: 2
core id\t\t: {number}
cpu cores\t: 2
fpu\t\t: yes
flags\t\t: fpu sse sse2 ht constant_tsc ssse3 fma cx16 sse4_1 sse4_2 avx f16c rdrand hypervisor \
sse4a 3dnowprefetch bmi1 avx2 smep smap sha_ni clzero arat
bogomips\t: 3992.49
TLB size\t: 2560 4K pages
power management:

"""
        for number in (0, 1)
    ),
    "proc/stat": """cpu  61327 0 4788 291783 516 0 225 149 0 0
cpu0 15928 0 1458 161677 84 0 169 71 0 0
cpu1 45398 0 3330 130106 432 0 56 78 0 0
intr 354901 0 0 0
ctxt 1234
""",
    f"{CPU}/cpu0/topology/thread_siblings_list": "0\n",
    f"{CPU}/cpu1/topology/thread_siblings_list": "1\n",
    f"{CPU}/cpu0/cache/index0/level": "1\n",
    f"{CPU}/cpu0/cache/index0/type": "Data\n",
    f"{CPU}/cpu0/cache/index0/size": "32K\n",
    f"{CPU}/cpu0/cache/index1/level": "1\n",
    f"{CPU}/cpu0/cache/index1/type": "Instruction\n",
    f"{CPU}/cpu0/cache/index1/size": "64K\n",
    f"{CPU}/cpu0/cache/index2/level": "2\n",
    f"{CPU}/cpu0/cache/index2/type": "Unified\n",
    f"{CPU}/cpu0/cache/index2/size": "512K\n",
    f"{CPU}/cpu0/cache/index3/level": "3\n",
    f"{CPU}/cpu0/cache/index3/type": "Unified\n",
    f"{CPU}/cpu0/cache/index3/size": "8192K\n",
    f"{CPU}/cpufreq/policies": "",  # the folder is there, and has nothing to tell
    f"{SOURCES}/available_clocksource": "tsc kvm-clock \n",
    f"{SOURCES}/current_clocksource": "tsc\n",
}

XEON = {  # two cores, four hardware threads, on bare metal
    "proc/cpuinfo": "".join(
        f"""processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480+
stepping\t: 8
microcode\t: 0x2b000603
cpu MHz\t\t: 800.000
cache size\t: 107520 KB
physical id\t: 0
siblings\t: 4
core id\t\t: {number % 2}
cpu cores\t: 2
flags\t\t: fpu vme sse sse2 ht ssse3 fma sse4_1 sse4_2 avx f16c smep bmi1 avx2 smap avx512f \
avx512dq avx512cd avx512bw avx512vl sme avx_vnni avx512_bf16 avx512_vnni amx_bf16 amx_tile \
amx_int8 avx512_fp16

"""
        for number in range(4)
    ),
    "sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
    "sys/class/dmi/id/product_name": "PowerEdge R760\n",
    **{
        f"{CPU}/cpu{number}/topology/thread_siblings_list": f"{number % 2},{number % 2 + 2}\n"
        for number in range(4)
    },
    **{f"{CPU}/cpu{n}/cpufreq/scaling_cur_freq": f"{2_000_000 + n * 1000}\n" for n in range(4)},
    **{f"{CPU}/cpu{n}/cpufreq/scaling_governor": "powersave\n" for n in range(4)},
    f"{CPU}/intel_pstate/no_turbo": "1\n",
    f"{SOURCES}/available_clocksource": "tsc hpet acpi_pm \n",
    f"{SOURCES}/current_clocksource": "tsc\n",
}

GRAVITON = {
    "proc/cpuinfo": "".join(
        f"""processor\t: {number}
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm \
lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""
        for number in (0, 1)
    ),
    **{f"{CPU}/cpu{number}/topology/thread_siblings_list": f"{number}\n" for number in (0, 1)},
    "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
    "sys/class/dmi/id/product_name": "m6g.large\n",
}

PI = {
    "proc/cpuinfo": "".join(
        f"""processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
        for number in range(4)
    )
    + """Revision\t: c03114
Serial\t\t: 100000001234abcd
Model\t\t: Raspberry Pi 4 Model B Rev 1.4
""",
    f"{CPU}/cpufreq/boost": "1\n",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "ondemand\n",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "performance\n",
}

NOTHING = Processor(*[None] * 11)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


# --- which processor


def test_a_guest_on_an_older_epyc(tmp_path: Path) -> None:
    assert processor(tree(tmp_path, EPYC_GUEST)) == Processor(
        vendor="AuthenticAMD",
        name="AMD EPYC",
        family=23,
        model=1,
        stepping="2",
        microcode="0x1000065",
        cores=2,
        hardware_threads=2,
        caches={"L1d": 32 << 10, "L1i": 64 << 10, "L2": 512 << 10, "L3": 8 << 20},
        instruction_sets=("avx", "avx2", "f16c", "fma", "sse4_2"),
        hypervisor="kvm",
    )


def test_a_xeon_on_bare_metal(tmp_path: Path) -> None:
    assert processor(tree(tmp_path, XEON)) == Processor(
        vendor="GenuineIntel",
        name="Intel(R) Xeon(R) Platinum 8480+",
        family=6,
        model=143,
        stepping="8",
        microcode="0x2b000603",
        cores=2,
        hardware_threads=4,
        caches={"cache": 107520 << 10},
        instruction_sets=(
            *("amx_bf16", "amx_int8", "amx_tile", "avx", "avx2"),
            *("avx512_bf16", "avx512_fp16", "avx512_vnni", "avx512bw", "avx512cd"),
            *("avx512dq", "avx512f", "avx512vl", "avx_vnni", "f16c", "fma", "sse4_2"),
        ),
        hypervisor=None,
    )


def test_an_arm_guest_whose_cpuinfo_has_numbers_only(tmp_path: Path) -> None:
    assert processor(tree(tmp_path, GRAVITON)) == Processor(
        vendor="ARM",
        name="Neoverse-N1",
        family=8,
        model=0xD0C,
        stepping="r3p1",
        microcode=None,
        cores=2,
        hardware_threads=2,
        caches=None,
        instruction_sets=("asimd", "asimddp", "asimdhp", "asimdrdm", "fphp"),
        hypervisor="amazon ec2",
    )


def test_a_board_is_no_model_number(tmp_path: Path) -> None:
    """A Raspberry Pi's ``Model`` is the board's, where an x86 has ``model``."""
    found = processor(tree(tmp_path, PI))
    assert (found.name, found.model, found.stepping) == ("Cortex-A72", 0xD08, "r0p3")
    assert (found.hardware_threads, found.hypervisor) == (4, None)


@pytest.mark.parametrize(
    ("line", "sets"),
    [
        ("flags : sse sme smep sev fma fma4 avx_vnni", ("avx_vnni", "fma", "fma4")),  # encryption
        ("Features : fp sme sme2 sve svebf16 bf16", ("bf16", "sme", "sme2", "sve", "svebf16")),
        ("Features : half thumb neon vfpv3 vfpv4", ("neon", "vfpv4")),
        ("flags : fpu", ()),
    ],
)
def test_flags_mean_what_they_mean_on_their_architecture(
    tmp_path: Path, line: str, sets: tuple[str, ...]
) -> None:
    assert processor(tree(tmp_path, {"proc/cpuinfo": line + "\n"})).instruction_sets == sets


@pytest.mark.parametrize(
    ("implementer", "part", "vendor", "name"),
    [("0x41", "0xfff", "ARM", "A board"), ("0xee", "0xd0c", "0xee", "A board")],
)
def test_an_unknown_arm_keeps_its_numbers(
    tmp_path: Path, implementer: str, part: str, vendor: str, name: str
) -> None:
    text = f"CPU implementer : {implementer}\nCPU part : {part}\n\nModel : A board\n"
    found = processor(tree(tmp_path, {"proc/cpuinfo": text}))
    assert (found.vendor, found.name, found.model) == (vendor, name, int(part, 16))


def test_without_the_files_of_linux_nothing_is_known(tmp_path: Path) -> None:
    assert processor(tmp_path) == NOTHING
    assert clock(tmp_path) == Clock(None, None, None, None, None)
    assert steal_s(tmp_path) is None


def test_generations_with_one_name_differ(tmp_path: Path) -> None:
    newer = EPYC_GUEST["proc/cpuinfo"].replace("family\t: 23", "family\t: 25")
    older = processor(tree(tmp_path / "a", EPYC_GUEST))
    other = processor(tree(tmp_path / "b", EPYC_GUEST | {"proc/cpuinfo": newer}))
    assert older.name == other.name
    assert older != other


def test_cores_are_counted_over_sockets_without_a_topology(tmp_path: Path) -> None:
    blocks = [
        f"processor : {4 * thread + 2 * socket + core}\nphysical id : {socket}\ncore id : {core}\n"
        for thread in (0, 1)
        for socket in (0, 1)
        for core in (0, 1)
    ]
    found = processor(tree(tmp_path, {"proc/cpuinfo": "\n".join(blocks)}))
    assert (found.cores, found.hardware_threads) == (4, 8)


def test_hardware_threads_of_a_core_are_known_by_it(tmp_path: Path) -> None:
    tree(tmp_path, XEON)
    assert core_of(0, tmp_path) == core_of(2, tmp_path)
    assert core_of(0, tmp_path) != core_of(1, tmp_path)
    assert core_of(7, tmp_path) == "7"


# --- on what


@pytest.mark.parametrize(
    ("firmware", "kind"),
    [
        ({"sys/hypervisor/type": "xen\n"}, "xen"),
        ({"sys/class/dmi/id/sys_vendor": "QEMU\n"}, "kvm"),  # the clock tells more
        ({"sys/class/dmi/id/sys_vendor": "VMware, Inc.\n"}, "vmware"),
        ({"sys/class/dmi/id/product_name": "VirtualBox\n"}, "virtualbox"),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}, "amazon ec2"),
        (
            {
                "sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n",
                "sys/class/dmi/id/product_name": "Virtual Machine\n",
                f"{SOURCES}/available_clocksource": "hyperv_clocksource_tsc_page\n",
            },
            "hyper-v",
        ),
        ({f"{SOURCES}/available_clocksource": "tsc\n"}, "unknown hypervisor"),
    ],
)
def test_a_flagged_guest_is_named_by_what_tells(
    tmp_path: Path, firmware: dict[str, str], kind: str
) -> None:
    assert processor(tree(tmp_path, EPYC_GUEST | firmware)).hypervisor == kind


def test_without_the_flag_an_x86_is_bare_metal_whoever_sold_it(tmp_path: Path) -> None:
    metal = {"sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}
    assert processor(tree(tmp_path, XEON | metal)).hypervisor is None


def test_a_whole_arm_machine_of_amazons_is_bare_metal(tmp_path: Path) -> None:
    metal = {"sys/class/dmi/id/product_name": "m6g.metal\n"}
    assert processor(tree(tmp_path, GRAVITON | metal)).hypervisor is None


def test_a_device_tree_tells_of_a_hypervisor_too(tmp_path: Path) -> None:
    guest = {"proc/device-tree/hypervisor/compatible": "linux,kvm\0"}
    assert processor(tree(tmp_path, PI | guest)).hypervisor == "kvm"


# --- how fast


def test_the_clock_is_read_from_cpufreq_where_there_is_one(tmp_path: Path) -> None:
    assert clock(tree(tmp_path, XEON)) == Clock(2001.5, "cpufreq", "powersave", False, "tsc")


def test_the_clock_of_a_guest_is_the_one_in_cpuinfo(tmp_path: Path) -> None:
    assert clock(tree(tmp_path, EPYC_GUEST)) == Clock(
        pytest.approx(1997.249), "cpuinfo", None, None, "tsc"
    )


def test_governors_that_differ_are_all_named(tmp_path: Path) -> None:
    found = clock(tree(tmp_path, PI))
    assert (found.mhz, found.governor, found.turbo) == (1500, "ondemand, performance", True)


@pytest.mark.parametrize(
    ("node", "cpus", "near"),
    [
        ("1\n", "4-6,12\n", {4, 5, 6, 12}),
        ("0\n", "0\n", {0}),
        ("-1\n", "0-7\n", None),
        ("1\n", "\n", None),
        ("1\n", "a-b\n", None),
    ],
)
def test_the_processors_near_a_pci_device_are_its_nodes(
    node: str, cpus: str, near: set[int] | None, tmp_path: Path
) -> None:
    folder = "sys/bus/pci/devices/0000:3b:00.0"
    root = tree(tmp_path, {f"{folder}/numa_node": node, f"{folder}/local_cpulist": cpus})
    assert near_processors("0000:3b:00.0", root) == near
    assert near_processors("0000:3c:00.0", root) is None


@pytest.mark.parametrize(("text", "turbo"), [("0\n", False), ("1\n", True), ("\n", None)])
def test_boost_is_turbo_without_intels_switch(
    tmp_path: Path, text: str, turbo: bool | None
) -> None:
    assert clock(tree(tmp_path, EPYC_GUEST | {f"{CPU}/cpufreq/boost": text})).turbo is turbo


# --- how much of it others take


def test_stolen_time_is_by_hardware_thread_and_in_seconds(tmp_path: Path) -> None:
    ticks = 1 / clock_ticks()
    assert steal_s(tree(tmp_path, EPYC_GUEST)) == {0: 71 * ticks, 1: 78 * ticks}


def test_a_kernel_that_does_not_count_stolen_time_is_no_zero(tmp_path: Path) -> None:
    assert steal_s(tree(tmp_path, {"proc/stat": "cpu  1 2 3 4\ncpu0 1 2 3 4\n"})) is None


def clock_ticks() -> int:
    return int(subprocess.check_output(["getconf", "CLK_TCK"], text=True))


# --- this machine, as others see it

linux = pytest.mark.skipif(sys.platform != "linux", reason="not Linux")


@linux
def test_the_counts_agree_with_psutils() -> None:
    found = processor()
    assert found.hardware_threads == psutil.cpu_count()
    assert found.cores == psutil.cpu_count(logical=False)


@linux
def test_stolen_time_agrees_with_psutils() -> None:
    before = [times.steal for times in psutil.cpu_times(percpu=True)]
    found = steal_s()
    after = [times.steal for times in psutil.cpu_times(percpu=True)]
    assert found is not None
    assert len(found) == len(before)
    for low, own, high in zip(before, found.values(), after, strict=True):
        assert low <= own <= high


@pytest.mark.skipif(not shutil.which("lscpu"), reason="no lscpu")
def test_the_processor_agrees_with_lscpus() -> None:
    said = subprocess.check_output(["lscpu", "-J"], text=True, env={"LC_ALL": "C"})
    fields: dict[str, str] = {}

    def read(entries: list[dict]) -> None:
        for entry in entries:
            fields[entry["field"].rstrip(":")] = entry["data"]
            read(entry.get("children", []))

    read(json.loads(said)["lscpu"])
    found = processor()
    assert found.vendor == fields["Vendor ID"]
    assert (found.hypervisor is None) == ("Hypervisor vendor" not in fields)
    if "CPU family" in fields:  # an x86
        assert str(found.family) == fields["CPU family"]
        assert str(found.model) == fields["Model"]
        assert found.name == fields["Model name"]
        assert found.stepping == fields["Stepping"]
    if found.caches and "cache" not in found.caches:
        listed = subprocess.check_output(["lscpu", "-B", "-C=NAME,ONE-SIZE"], text=True)
        caches = dict(line.split() for line in listed.splitlines()[1:])
        assert {name: str(size) for name, size in found.caches.items()} == caches


# --- nonsense

FILES = sorted({*EPYC_GUEST, *XEON, *GRAVITON, *PI} - {f"{CPU}/cpufreq/policies"})
NAMES = ("processor", "cpu0", "CPU part", "CPU variant", "flags", "hypervisor", "cpu MHz")
MARKS = (":", "\t", "\n", "\n\n", "\0")
VALUES = ("-1", "0x", "9" * 400, "9" * 5000, "1e999", "nan", "32K", "9K", "٣")
WORDS = st.sampled_from(NAMES + MARKS + VALUES)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(FILES),
        st.one_of(st.binary(max_size=30), st.lists(WORDS, max_size=30).map("".join)),
    )
)
def test_whatever_the_files_hold_the_answer_is_plain_data(files: dict[str, str | bytes]) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        answers = [vars(processor(root)), vars(clock(root)), steal_s(root)]
    json.dumps(answers, allow_nan=False)


@pytest.mark.parametrize("digits", [10, 400, 5000])
def test_a_count_too_large_to_be_one_is_no_error(tmp_path: Path, digits: int) -> None:
    ticks = "9" * digits
    found = steal_s(tree(tmp_path, {"proc/stat": f"cpu0 1 2 3 4 5 6 7 {ticks} 0 0\n"}))
    assert (found is None) == (digits > 308)


def test_a_folder_in_place_of_a_file_is_nothing_known(tmp_path: Path) -> None:
    (tmp_path / "proc/cpuinfo").mkdir(parents=True)
    (tmp_path / "proc/stat").mkdir()
    assert processor(tmp_path) == NOTHING
    assert steal_s(tmp_path) is None


def test_reading_hardware_imports_neither_torch_nor_numpy() -> None:
    code = "import sys; import gr_bench.meters.conditions, gr_bench.meters.hardware as h"
    ask = "h.processor(); h.clock(); print({'torch', 'numpy', 'psutil'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", f"{code}; {ask}"], capture_output=True, text=True)
    assert ended.stdout == "set()\n", ended.stderr
