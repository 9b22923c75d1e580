"""Processors: which one this is, how fast it is clocked, and how much of it others take.

Linux's files are read, below a root that can be another folder. On other systems there are none,
and everything is unknown.
"""

from __future__ import annotations

import math
import os
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")

_ARM_VENDORS = {
    0x41: "ARM",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x51: "Qualcomm",
    0x61: "Apple",
    0xC0: "Ampere",
}
_ARM_CORES = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4F): "Neoverse-V2",
}
"""ARM's registers have numbers and no names; both tables are from util-linux (lscpu-arm.c)."""

_X86_SETS = re.compile(r"sse4_2|fma4?|f16c|(avx|amx_).*")
_ARM_SETS = re.compile(r"neon|vfpv4|fphp|e?bf16|i8mm|(asimd|sve|sme).*")
"""Flags of what arithmetic can be done at once, and in which formats. Each has its architecture:
``sme`` is memory encryption on an x86 and a matrix extension on an ARM."""

_HYPERVISORS = {
    "amazon ec2": "amazon ec2",
    "google compute engine": "google compute engine",
    "vmware": "vmware",
    "virtualbox": "virtualbox",
    "innotek": "virtualbox",
    "parallels": "parallels",
    "bhyve": "bhyve",
    "apple virtualization": "apple",
    "microsoft corporation virtual machine": "hyper-v",
    "hyperv_clocksource": "hyper-v",
    "xen": "xen",
    "kvm": "kvm",
    "qemu": "qemu",
}
"""By words of what firmware and kernel say; of several the first counts."""


@dataclass(frozen=True)
class Processor:
    """The processor that a system has; the first one where there are several.

    What is not known is None.
    """

    vendor: str | None
    """As it spells itself: ``AuthenticAMD``, ``GenuineIntel``, ``ARM``."""

    name: str | None
    """For people: guests of a hypervisor often see no more than ``AMD EPYC``."""

    family: int | None
    """Family of an x86; architecture version of an ARM."""

    model: int | None
    """Model of an x86; part number of an ARM."""

    stepping: str | None
    """Stepping of an x86; variant and revision of an ARM, as in ``r3p1``."""

    microcode: str | None
    cores: int | None
    """Physical ones, of all sockets."""

    hardware_threads: int | None
    caches: dict[str, int] | None
    """Bytes by level and sort, ``L1d``, ``L1i``, ``L2``, ``L3``: of the one cache that the first
    hardware thread reaches. ``cache`` alone where the level is not told."""

    instruction_sets: tuple[str, ...] | None
    """The kernel's flags that matter to arithmetic, sorted."""

    hypervisor: str | None
    """Its kind, or ``unknown hypervisor``; None on bare metal."""


@dataclass(frozen=True)
class Clock:
    """The pace of the processors at one moment, and the source of time. None is unknown."""

    mhz: float | None
    """Mean over the hardware threads, in MHz."""

    mhz_from: str | None
    """``cpufreq``, which follows the clock, or ``cpuinfo``, which on many guests never changes."""

    governor: str | None
    """Of frequencies; several, with commas between, where the processors differ."""

    turbo: bool | None
    """True if clocks may rise beyond the nominal one."""

    time_source: str | None
    """The kernel's: ``tsc`` is read in nanoseconds, ``hpet`` and ``xen`` are slow."""


def processor(root: Path = ROOT) -> Processor:
    """The processor of the system whose files are below ``root``."""
    blocks = _cpuinfo(root)
    info = ChainMap(*blocks)  # the first entry of a name counts
    implementer, part = _integer(info.get("CPU implementer")), _integer(info.get("CPU part"))
    threads = _hardware_threads(root)
    if implementer is None:
        vendor, stepping = info.get("vendor_id"), info.get("stepping")
        name = info.get("model name")
    else:
        vendor = _ARM_VENDORS.get(implementer, info["CPU implementer"])
        stepping = _arm_stepping(info)
        name = _ARM_CORES.get((implementer, part or 0)) or info.get("model name")
    return Processor(
        vendor=vendor,
        name=name or info.get("Model"),
        family=_integer(info.get("cpu family") or info.get("CPU architecture")),
        model=_integer(info.get("model")) if part is None else part,
        stepping=stepping,
        microcode=info.get("microcode"),
        cores=_cores(root, blocks),
        hardware_threads=sum("processor" in block for block in blocks) or len(threads) or None,
        caches=_caches(root, info),
        instruction_sets=_instruction_sets(info),
        hypervisor=_hypervisor(root, info),
    )


def clock(root: Path = ROOT) -> Clock:
    """The clock at the moment of the system whose files are below ``root``."""
    folders = [folder / "cpufreq" for folder in _hardware_threads(root)]
    khz = [x for f in folders if (x := _number(_read(f / "scaling_cur_freq"))) is not None]
    mhz = [x for b in _cpuinfo(root) if (x := _number(b.get("cpu MHz"))) is not None]
    governors = {name for f in folders if (name := _read(f / "scaling_governor"))}
    return Clock(
        mhz=sum(khz) / len(khz) / 1e3 if khz else sum(mhz) / len(mhz) if mhz else None,
        mhz_from="cpufreq" if khz else "cpuinfo" if mhz else None,
        governor=", ".join(sorted(governors)) or None,
        turbo=_turbo(root),
        time_source=_read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
    )


def steal_s(root: Path = ROOT) -> dict[int, float] | None:
    """Seconds since the system started that a hypervisor has taken, by hardware thread.

    In them the thread had work to do, and the hypervisor ran something else. Only differences mean
    something. A hypervisor that does not tell is one that takes 0.

    Returns:
        Seconds by the number of the hardware thread; None where the system does not count them.
    """
    found = {}
    for line in (_read(root / "proc/stat") or "").splitlines():
        label, *counts = line.split() or [""]
        number = re.fullmatch(r"cpu([0-9]+)", label)
        ticks = _number(counts[7]) if len(counts) > 7 else None
        if number and ticks is not None:
            found[int(number[1])] = ticks / os.sysconf("SC_CLK_TCK")
    return found or None


def core_of(number: int, root: Path = ROOT) -> str:
    """The core of a hardware thread, by the list of the hardware threads that share it."""
    topology = root / f"sys/devices/system/cpu/cpu{number}/topology"
    return _read(topology / "thread_siblings_list") or str(number)


def near_processors(address: str, root: Path = ROOT) -> set[int] | None:
    """The hardware threads of the NUMA node that a PCI device is attached to.

    Args:
        address: of the device, as in ``0000:3b:00.0``.
        root: the folder that the system's files are below.

    Returns:
        Their numbers; None where it is not told, or no node is nearer than another.
    """
    folder = root / "sys/bus/pci/devices" / address
    if (_read(folder / "numa_node") or "-1") == "-1":  # what a machine with one node says
        return None
    return _numbers(_read(folder / "local_cpulist")) or None


def _numbers(text: str | None) -> set[int]:
    """The numbers of the kernel's list ``0-3,8``; none where it is not one."""
    found: set[int] = set()
    for part in (text or "").split(","):
        match = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part)
        if match is None:
            return set()
        found |= {*range(int(match[1]), int(match[2] or match[1]) + 1)}
    return found


def _hardware_threads(root: Path) -> list[Path]:
    """Folders of those that are there, by number."""
    folders = (root / "sys/devices/system/cpu").glob("cpu[0-9]*")
    numbered = {number[1]: f for f in folders if (number := re.fullmatch(r"cpu(\d+)", f.name))}
    return [numbered[key] for key in sorted(numbered, key=int)]


def _cpuinfo(root: Path) -> list[dict[str, str]]:
    """Entries of /proc/cpuinfo, those of each hardware thread apart."""
    blocks = (_read(root / "proc/cpuinfo") or "").split("\n\n")
    return [
        {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in block.splitlines())
            if value.strip()
        }
        for block in blocks
    ]


def _arm_stepping(info: Mapping[str, str]) -> str | None:
    variant, revision = _integer(info.get("CPU variant")), _integer(info.get("CPU revision"))
    return None if variant is None or revision is None else f"r{variant}p{revision}"


def _cores(root: Path, blocks: list[dict[str, str]]) -> int | None:
    """Physical cores, by the kernel's topology or else by /proc/cpuinfo."""
    lists = (_read(f / "topology/thread_siblings_list") for f in _hardware_threads(root))
    ids = ((b.get("physical id"), b["core id"]) for b in blocks if "core id" in b)
    return len({*filter(None, lists)}) or len({*ids}) or None


def _caches(root: Path, info: Mapping[str, str]) -> dict[str, int] | None:
    found = {}
    for folder in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index[0-9]*")):
        level, size = _read(folder / "level"), _size(_read(folder / "size"))
        if level and size is not None:
            sort = {"Data": "d", "Instruction": "i"}.get(_read(folder / "type") or "", "")
            found[f"L{level}{sort}"] = size
    size = _size(info.get("cache size"))
    return found or (None if size is None else {"cache": size})


def _instruction_sets(info: Mapping[str, str]) -> tuple[str, ...] | None:
    for key, sets in (("flags", _X86_SETS), ("Features", _ARM_SETS)):
        if key in info:
            return tuple(sorted(filter(sets.fullmatch, {*info[key].split()})))
    return None


def _hypervisor(root: Path, info: Mapping[str, str]) -> str | None:
    """The kind of hypervisor.

    An x86 has a flag that says whether there is one. An ARM has not, and firmware must tell; but
    a whole machine of Amazon's names itself as their guests do.
    """
    declared = _read(root / "sys/hypervisor/type")
    if declared:
        return declared
    flagged = "hypervisor" in info["flags"].split() if "flags" in info else None
    firmware = " ".join(_firmware(root))
    if flagged is False or (flagged is None and ".metal" in firmware):
        return None
    kinds = (kind for word, kind in _HYPERVISORS.items() if word in firmware)
    return next(kinds, "unknown hypervisor" if flagged else None)


def _firmware(root: Path) -> Iterator[str]:
    """Texts that a hypervisor may have left its name in, in lower case."""
    dmi = root / "sys/class/dmi/id"
    for path in (
        *(dmi / name for name in ("sys_vendor", "product_name", "board_vendor", "bios_vendor")),
        root / "proc/device-tree/hypervisor/compatible",
        root / "sys/devices/system/clocksource/clocksource0/available_clocksource",
    ):
        yield (_read(path) or "").lower()


def _turbo(root: Path) -> bool | None:
    cpu = root / "sys/devices/system/cpu"
    for path, on in ((cpu / "intel_pstate/no_turbo", "0"), (cpu / "cpufreq/boost", "1")):
        if (text := _read(path)) in ("0", "1"):
            return text == on
    return None


def _read(path: Path) -> str | None:
    """The text of a file without the blanks around it; None if it is empty or cannot be read."""
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None


def _integer(text: str | None) -> int | None:
    """The number in ``23`` or ``0xd0c``."""
    try:
        return int(text or "", 0)
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _size(text: str | None) -> int | None:
    """Bytes in ``32K``, ``512 KB`` or ``36M``."""
    match = re.fullmatch(r"([0-9]{1,15})\s*([KMG]?)B?", text or "")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]] if match else None
