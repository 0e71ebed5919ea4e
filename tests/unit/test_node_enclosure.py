"""The place where a node lives: its link to the machine, its control group, its files and its commands."""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import signal
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.node import cgroup, config, enclosure, link
from sandbox.node.cgroup import ControlGroup
from sandbox.node.enclosure import Enclosure
from sandbox.node.link import Link
from sandbox.processes import ProcessSpec, ProcessTable, Record, SandboxError

SCRIPTS = Path(enclosure.__file__).parent
HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"


def route(interface: str, network: str) -> str:
    """A line of /proc/net/route: addresses as the bytes of a little-endian number."""
    parsed = ipaddress.ip_network(network)
    destination, mask = (
        int.from_bytes(address.packed, "little") for address in (parsed.network_address, parsed.netmask)
    )
    return f"{interface}\t{destination:08X}\t00000000\t0001\t0\t0\t0\t{mask:08X}\t0\t0\t0"


# --- the link


def test_a_sandbox_always_gets_the_same_link(tmp_path: Path) -> None:
    assert link.choose(tmp_path, ()) == link.choose(tmp_path, ())
    assert link.choose(tmp_path, ()) != link.choose(tmp_path / "other", ())


def test_the_identity_is_that_of_the_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert link.identity(Path("state")) == link.identity(tmp_path / "state")
    assert len({link.identity(Path(f"/{number}")) for number in range(500)}) == 500


@given(st.text(min_size=1, alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_the_interface_has_a_name_that_the_kernel_takes(name: str) -> None:
    chosen = link.choose(Path("/") / name, ())
    assert chosen.interface.startswith("rayfort")
    assert len(chosen.interface) <= 15
    assert chosen.interface.isalnum()


@given(
    st.text(min_size=1, alphabet="abc/ "),
    st.lists(
        st.builds(
            lambda offset, bits: str(
                ipaddress.ip_network((int(link.POOL.network_address) + offset, bits), strict=False)
            ),
            st.integers(0, link.POOL.num_addresses - 1),
            st.integers(17, 32),
        ),
        max_size=6,
    ),
)
def test_a_link_is_two_hosts_of_one_free_network(name: str, taken: list[str]) -> None:
    try:
        chosen = link.choose(Path("/") / name, taken)
    except SandboxError:
        assert sum(ipaddress.ip_network(each).num_addresses for each in taken) >= link.POOL.num_addresses
        return
    network = ipaddress.ip_interface(f"{chosen.host}/30").network
    assert [str(host) for host in network.hosts()] == [chosen.host, chosen.node]
    assert network.subnet_of(link.POOL)
    assert not any(network.overlaps(ipaddress.ip_network(each)) for each in taken)


@pytest.mark.parametrize(
    ("taken", "moves"),
    [
        ([], False),
        (["10.0.0.0/8", "172.17.0.0/16"], False),
        (["fd00::/8"], False),
        (["{node}"], True),
        (["{host}/24"], True),
        (["{host}/30"], True),
    ],
)
def test_a_taken_network_is_passed_over(tmp_path: Path, taken: list[str], moves: bool) -> None:
    own = link.choose(tmp_path, ())
    other = link.choose(tmp_path, [each.format(node=own.node, host=own.host) for each in taken])
    assert (other != own) is moves
    assert other.interface == own.interface


def test_the_search_begins_anew_at_the_end_of_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "identity", lambda _: "ffffffff")
    last = link.choose(tmp_path, ())
    assert last.node == "198.19.255.254"
    assert link.choose(tmp_path, [last.node]).node == "198.18.0.2"


def test_no_free_network_is_told() -> None:
    with pytest.raises(SandboxError, match=r"No free network in 198\.18\.0\.0/15\. Remove the routes"):
        link.choose(Path("/state"), ["198.18.0.0/15"])


def test_networks_are_read_from_the_kernels_table() -> None:
    lines = [
        HEADER,
        route("eth0", "0.0.0.0/0"),
        route("eth0", "192.168.1.0/24"),
        route("tun0", "198.18.0.0/16"),
        route("tun0", "198.19.0.1/32"),
        route("rayfort0", "198.18.7.4/30"),
    ]
    found = link.taken_networks(lines, lambda name: name.startswith("rayfort"))
    assert found == ["192.168.1.0/24", "198.18.0.0/16", "198.19.0.1/32"]
    assert link.taken_networks([HEADER], lambda _: False) == []


def test_this_machines_table_can_be_read() -> None:
    table = Path("/proc/net/route")
    if table.exists():  # not on macOS
        found = link.taken_networks(table.read_text().splitlines(), lambda _: False)
        assert all(ipaddress.ip_network(each).prefixlen for each in found)


def test_the_nodes_end_can_be_set_up_twice() -> None:
    pair = Link("rayfort0", "198.18.0.1", "198.18.0.2")
    first = pair.commands(42)[0]
    assert (first[:4], first[-2:]) == (["ip", "link", "add", "rayfort0"], ["netns", "42"])
    assert ["ip", "address", "replace", "198.18.0.2/30", "dev", "eth0"] in pair.node_commands()
    assert not any("add" in command for command in pair.node_commands())


# --- the control group


def version_1(root: Path) -> Path:
    """The hierarchies of a machine with version 1: cpuset's groups have files, the others only processes."""
    for name in ("cpuset", "memory", "pids"):
        (root / name).mkdir(parents=True)
        (root / name / "cgroup.procs").write_text("1\n")
    (root / "cpuset" / "cpuset.cpus").write_text("0-3\n")
    (root / "cpuset" / "cpuset.mems").write_text("0\n")
    (root / "cpu").symlink_to("pids")
    (root / "not-a-hierarchy").mkdir()
    return root


def version_2(root: Path) -> Path:
    root.mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    (root / "cgroup.subtree_control").write_text("")
    (root / "cgroup.procs").write_text("1\n")
    return root


def test_version_1_has_a_group_in_each_hierarchy(tmp_path: Path) -> None:
    group = ControlGroup("node", version_1(tmp_path / "cgroup"))
    assert not group.unified and not group.exists
    group.create()
    assert [each.parent.name for each in group.directories] == ["cpu", "cpuset", "memory", "pids"]
    assert all(each.is_dir() for each in (*group.directories, *group.daemons))
    assert group.exists


def test_version_2_has_one_group_with_what_the_kubelet_limits(tmp_path: Path) -> None:
    root = version_2(tmp_path / "cgroup")
    group = ControlGroup("node", root)
    assert group.unified
    group.create()
    assert group.directories == [root / "node"]
    assert group.daemons == [root / "node" / "daemons"]
    assert (root / "cgroup.subtree_control").read_text() == "+cpuset +cpu +io +memory +pids"


def test_a_container_may_go_while_processes_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = ControlGroup("node", version_2(tmp_path / "cgroup"))
    (directory,) = group.directories
    for name, pid in (("pod/going", 1), ("pod/staying", 2)):
        (directory / name).mkdir(parents=True)
        (directory / name / "cgroup.procs").write_text(f"{pid}\n")
    scan = os.scandir

    def gone(path: Any) -> Any:
        if Path(path).name == "going":
            (Path(path) / "cgroup.procs").unlink()
            Path(path).rmdir()
        return scan(path)

    monkeypatch.setattr(os, "scandir", gone)
    assert group.processes() == {2}


def test_only_what_the_machine_offers_is_asked_for(tmp_path: Path) -> None:
    root = version_2(tmp_path / "cgroup")
    (root / "cgroup.controllers").write_text("memory pids rdma\n")
    ControlGroup("node", root).create()
    assert (root / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_a_new_group_of_version_1_takes_over_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them nothing may be moved into it."""
    root = version_1(tmp_path / "cgroup")
    kernel_makes_files(monkeypatch, root / "cpuset")
    group = ControlGroup("node", root)
    group.create()
    for directory in (root / "cpuset" / "node", root / "cpuset" / "node" / "daemons"):
        assert (directory / "cpuset.cpus").read_text() == "0-3\n"
        assert (directory / "cpuset.mems").read_text() == "0\n"
    assert not (root / "memory" / "node" / "cpuset.cpus").exists()


def test_processors_that_are_set_stay(tmp_path: Path) -> None:
    root = version_1(tmp_path / "cgroup")
    (root / "cpuset" / "node").mkdir()
    (root / "cpuset" / "node" / "cpuset.cpus").write_text("2\n")
    ControlGroup("node", root).create()
    assert (root / "cpuset" / "node" / "cpuset.cpus").read_text() == "2\n"


def test_a_group_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    root = version_2(tmp_path / "cgroup")
    (root / "node").write_text("in the way")
    with pytest.raises(SandboxError, match=r"control group node cannot be made below .*--nodes simulated"):
        ControlGroup("node", root).create()


def test_processes_are_found_however_deep(tmp_path: Path) -> None:
    root = version_1(tmp_path / "cgroup")
    group = ControlGroup("node", root)
    group.create()
    pod = root / "memory" / "node" / "kubepods" / "pod1" / "c1"
    pod.mkdir(parents=True)
    (pod / "cgroup.procs").write_text("12\n13\n")
    (root / "pids" / "node" / "daemons" / "cgroup.procs").write_text("13\n14\n")
    assert group.processes() == {12, 13, 14}  # and not 1, which is the machine's


def test_all_processes_are_killed_also_those_that_come_while_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = version_2(tmp_path / "cgroup")
    group = ControlGroup("node", root)
    group.create()
    members = root / "node" / "daemons" / "cgroup.procs"
    members.write_text("12\n13\n")
    killed: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        killed.append((pid, number))
        if pid == 12:  # it forked just before
            members.write_text("14\n")
        elif pid == 13:
            raise ProcessLookupError
        else:
            members.write_text("")

    monkeypatch.setattr(os, "kill", kill)
    group.kill(5)
    assert {pid for pid, _ in killed} == {12, 13, 14}
    assert {number for _, number in killed} == {signal.SIGKILL}


def test_processes_that_survive_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = version_2(tmp_path / "cgroup")
    group = ControlGroup("node", root)
    group.create()
    (root / "node" / "cgroup.procs").write_text("13\n12\n")
    monkeypatch.setattr(os, "kill", lambda *_: None)
    with pytest.raises(SandboxError, match=r"do not end: 12, 13\. Run `\./rayfort down` again"):
        group.kill(0)


@pytest.mark.parametrize("machine", [version_1, version_2])
def test_remove_takes_all_that_is_below_and_nothing_beside(
    tmp_path: Path, machine: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine(tmp_path / "cgroup")
    group = ControlGroup("node", root)
    group.create()
    for directory in group.directories:
        (directory / "kubepods" / "pod1" / "c1").mkdir(parents=True, exist_ok=True)
    kernel_removes_files(monkeypatch, root)
    before = {path for path in root.rglob("*") if "node" not in path.parts}
    group.remove()
    assert not group.exists
    assert {path for path in root.rglob("*") if "node" not in path.parts} == before
    group.remove()


def test_remove_waits_for_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = version_2(tmp_path / "cgroup")
    group = ControlGroup("node", root)
    group.create()
    real, refusals = Path.rmdir, iter([True, True, False])

    def rmdir(path: Path) -> None:
        if path.name == "daemons" and next(refusals, False):
            raise OSError("Device or resource busy")
        real(path)

    monkeypatch.setattr(Path, "rmdir", rmdir)
    monkeypatch.setattr(cgroup, "_POLL", 0)
    group.remove()
    assert not group.exists


def kernel_makes_files(monkeypatch: pytest.MonkeyPatch, hierarchy: Path) -> None:
    """In cpuset's hierarchy of version 1 a new directory has its files at once, and they are empty."""
    real = Path.mkdir

    def mkdir(path: Path, *arguments: Any, **keywords: Any) -> None:
        real(path, *arguments, **keywords)
        if hierarchy in path.parents:
            for name in ("cpuset.cpus", "cpuset.mems"):
                (path / name).write_text("\n")

    monkeypatch.setattr(Path, "mkdir", mkdir)


def kernel_removes_files(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Files of a group are no obstacle to its end."""
    real = Path.rmdir

    def rmdir(path: Path) -> None:
        for file in path.iterdir() if root in path.parents else ():
            if file.is_file():
                file.unlink()
        real(path)

    monkeypatch.setattr(Path, "rmdir", rmdir)


# --- what the node's programs are told


@pytest.fixture
def kubelet() -> dict[str, Any]:
    made = yaml.safe_load(config.kubelet("198.18.0.2", "10.97.0.0/16", "cluster.local"))
    assert isinstance(made, dict)
    return made


def test_the_kubelet_asks_who_is_there_and_what_they_may(kubelet: dict[str, Any]) -> None:
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authentication"]["x509"] == {"clientCAFile": config.CA}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    assert "readOnlyPort" not in kubelet  # off by default


def test_the_kubelet_speaks_tls_1_3_with_a_certificate_of_the_cluster(kubelet: dict[str, Any]) -> None:
    assert kubelet["tlsMinVersion"] == "VersionTLS13"
    files = {kubelet["tlsCertFile"], kubelet["tlsPrivateKeyFile"]}
    assert files <= set(config.KUBELET_FILES)


def test_the_kubelet_evicts_nothing_and_keeps_every_image(kubelet: dict[str, Any]) -> None:
    # Whatever is not named is off too, but only where something is named and defaults are not merged in.
    assert kubelet["evictionHard"]
    assert set(kubelet["evictionHard"].values()) == {"0%"}  # the kubelet's word for none
    assert "mergeDefaultEvictionSettings" not in kubelet
    assert "evictionSoft" not in kubelet
    assert kubelet["imageGCHighThresholdPercent"] == 100


def test_the_kubelet_runs_where_cgroups_and_swap_are_as_they_are(kubelet: dict[str, Any]) -> None:
    assert (kubelet["failCgroupV1"], kubelet["failSwapOn"]) == (False, False)
    assert kubelet["cgroupDriver"] == "cgroupfs"


def test_all_agree_on_the_address_of_the_clusters_dns(kubelet: dict[str, Any]) -> None:
    assert kubelet["clusterDNS"] == ["10.97.0.10"]
    assert kubelet["clusterDomain"] == "cluster.local"
    assert kubelet["resolvConf"] == config.RESOLV_CONF


def test_nothing_listens_beyond_the_nodes_address(kubelet: dict[str, Any]) -> None:
    assert {kubelet["address"], kubelet["healthzBindAddress"]} == {"198.18.0.2"}


def test_containerd_and_the_kubelet_agree(kubelet: dict[str, Any]) -> None:
    cri = tomllib.loads(config.containerd())["plugins"]["io.containerd.grpc.v1.cri"]
    runc = cri["containerd"]["runtimes"]["runc"]
    assert runc["options"]["SystemdCgroup"] is (kubelet["cgroupDriver"] == "systemd")
    assert cri["sandbox_image"] == config.PAUSE_IMAGE
    assert cri["cni"] == {"bin_dir": config.CNI_BINARIES, "conf_dir": config.CNI_DIRECTORY}
    assert kubelet["containerRuntimeEndpoint"] == f"unix://{config.CONTAINERD_SOCKET}"


def test_containerd_needs_no_right_that_the_machine_may_lack() -> None:
    cri = tomllib.loads(config.containerd())["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True  # CAP_SYS_RESOURCE
    assert cri["disable_apparmor"] is True


def test_kubeadm_is_told_the_same_cluster(kubelet: dict[str, Any]) -> None:
    documents = {
        each["kind"]: each
        for each in yaml.safe_load_all(
            config.kubeadm(
                api_server="198.18.0.2:6443",
                name="here",
                address="198.18.0.2",
                version="v1.36.3",
                service_cidr="10.97.0.0/16",
                cluster_domain="cluster.local",
            )
        )
    }
    init, cluster = documents["InitConfiguration"], documents["ClusterConfiguration"]
    assert init["localAPIEndpoint"] == {"advertiseAddress": "198.18.0.2", "bindPort": 6443}
    assert init["nodeRegistration"]["criSocket"] == kubelet["containerRuntimeEndpoint"]
    assert cluster["controlPlaneEndpoint"] == "198.18.0.2:6443"
    assert cluster["kubernetesVersion"] == "v1.36.3"
    assert cluster["networking"] == {
        "podSubnet": config.POD_CIDR,
        "serviceSubnet": "10.97.0.0/16",
        "dnsDomain": kubelet["clusterDomain"],
    }
    proxy = documents["KubeProxyConfiguration"]
    assert proxy["clusterCIDR"] == config.POD_CIDR
    # By its defaults it would route loopback to Pods and size a table that the whole machine shares.
    assert proxy["iptables"] == {"localhostNodePorts": False}
    assert proxy["nodePortAddresses"] == ["198.18.0.2/32"]
    assert proxy["conntrack"] == {"maxPerCore": 0, "min": 0}


def test_there_are_addresses_for_every_pod(kubelet: dict[str, Any]) -> None:
    pods, services = ipaddress.ip_network(config.POD_CIDR), ipaddress.ip_network("10.97.0.0/16")
    assert pods.num_addresses > 2 * kubelet["maxPods"]  # those of ended Pods are freed a little later
    assert not pods.overlaps(services)
    assert not pods.overlaps(link.POOL)


@pytest.mark.parametrize(
    ("network", "address"),
    [("10.97.0.0/16", "10.97.0.10"), ("10.0.16.0/20", "10.0.16.10"), ("10.96.0.0/24", "10.96.0.10")],
)
def test_dns_is_the_tenth_address(network: str, address: str) -> None:
    assert config.dns_address(network) == address


def test_names_of_the_world_are_asked_of_the_machine() -> None:
    assert config.resolv_conf("198.18.0.1") == "nameserver 198.18.0.1\n"


def test_paths_of_the_node_are_below_its_root(tmp_path: Path) -> None:
    assert config.below(tmp_path, config.KUBELET_CONFIG) == tmp_path / "var/lib/kubelet/config.yaml"
    assert config.below(tmp_path, "relative") == tmp_path / "relative"


# --- the enclosure


@pytest.fixture
def blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Enclosure:
    """An enclosure below a path with blanks, whose holder is this process."""
    made = Enclosure(tmp_path / "a check out" / "state", "here")
    made.group = ControlGroup("node", version_2(tmp_path / "c group"))  # never the machine's
    monkeypatch.setattr(
        ProcessTable, "running", lambda *_: Record("node", os.getpid(), "now", "print", "log")
    )
    return made


def test_a_command_is_a_list_that_no_shell_takes_apart(blank: Enclosure) -> None:
    argument = "a b; $(false) 'c' \"d\""
    command = blank.inside(["printf", "%s", argument])
    assert command[-3:] == ("printf", "%s", argument)
    namespaces = command[command.index("nsenter") :]
    assert namespaces[:2] == ("nsenter", f"--target={os.getpid()}")
    assert {"--mount", "--uts", "--ipc", "--net", "--cgroup"} <= set(namespaces)
    network = blank.on_network(["true"])
    assert network[network.index("nsenter") :] == (
        "nsenter",
        f"--target={os.getpid()}",
        "--net",
        "--",
        "true",
    )


def test_every_command_joins_the_nodes_daemons_first(blank: Enclosure) -> None:
    command = blank.inside(["true"])
    assert command[:2] == ("/bin/sh", str(SCRIPTS / "join.sh"))
    assert command[2 : command.index("--")] == tuple(str(each) for each in blank.group.daemons)


def test_joining_takes_directories_and_arguments_with_blanks(tmp_path: Path) -> None:
    groups = [tmp_path / "one group", tmp_path / "another"]
    for group in groups:
        group.mkdir()
    words = ["a b", "", "*", "$HOME", "--", "c'd"]
    done = subprocess.run(
        ["/bin/sh", SCRIPTS / "join.sh", *groups, "--", "printf", "<%s>", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "".join(f"<{word}>" for word in words)
    pids = {(group / "cgroup.procs").read_text().strip() for group in groups}
    assert len(pids) == 1 and pids.pop().isdecimal()


def test_joining_fails_where_a_group_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", SCRIPTS / "join.sh", tmp_path / "gone", "--", "echo", "ran"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "ran" not in done.stdout


@pytest.mark.parametrize("script", ["holder.sh", "join.sh"])
def test_scripts_are_posix_and_stop_at_the_first_failure(script: str) -> None:
    path = SCRIPTS / script
    done = subprocess.run(["sh", "-n", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/bin/sh"
    assert "set -eu" in lines


def test_the_holder_gets_its_root_as_one_argument(
    blank: Enclosure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[ProcessSpec] = []
    ended = iter([None, None])
    monkeypatch.setattr(ProcessTable, "running", lambda *_: next(ended, None))
    monkeypatch.setattr(ProcessTable, "start", lambda _, spec: started.append(spec))
    monkeypatch.setattr(Enclosure, "_unpack", lambda *_: None)
    with pytest.raises(SandboxError):  # it never runs here
        blank.open(tmp_path / "root.tar.gz")
    (spec,) = started
    assert spec.argv[-3:] == (str(SCRIPTS / "holder.sh"), str(blank.root), "here")
    assert {"unshare", "--propagation=private"} <= set(spec.argv)
    assert spec.cwd == blank.root.parent
    assert set(spec.env) == {"PATH", "LC_ALL"}  # nothing of the user's shell reaches the node


def test_without_a_node_a_command_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"not running\. Run `\./rayfort up`"):
        Enclosure(tmp_path / "state", "here").inside(["true"])


def test_the_link_is_chosen_once_and_kept(tmp_path: Path) -> None:
    place = Enclosure(tmp_path / "state", "here")
    first = place.link
    saved = tmp_path / "state" / "node" / "link.json"
    assert json.loads(saved.read_text())["node"] == first.node
    saved.write_text(json.dumps({"interface": "rayfort0", "host": "198.18.0.1", "node": "198.18.0.2"}))
    assert place.link == Link("rayfort0", "198.18.0.1", "198.18.0.2")
    saved.write_text("{")  # cut off by a crash
    assert place.link == first


def test_a_half_unpacked_root_is_unpacked_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hostname").write_text("node")
    archive = tmp_path / "root archive.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", tmp_path, "etc"], check=True)
    place = Enclosure(tmp_path / "a state", "here")
    left = place.root.with_name("draft-of-a-killed-up")
    left.mkdir(parents=True)
    (left / "half").touch()
    place._unpack(archive)
    assert (place.root / "etc" / "hostname").read_text() == "node"
    assert not (place.root / "half").exists()
    assert not left.exists()
    assert place.root.stat().st_mode & 0o777 == 0o755
    place._unpack(tmp_path / "gone.tar.gz")  # it is there: nothing is read again


def test_what_is_deleted_by_half_is_no_node_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`down` that is killed while it deletes gigabytes: `up` makes a new node, with nothing installed."""
    there = Enclosure(tmp_path, "node")
    (there.root / "usr" / "bin").mkdir(parents=True)
    stamp = there.root.parent / "images.installed"
    stamp.touch()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(enclosure.shutil, "rmtree", killed_at_what_is_there)
        there.remove_files()
    assert not there.root.exists()
    assert not stamp.exists()
    archive = tmp_path / "root.tar"
    subprocess.run(["tar", "--create", "--file", archive, "--files-from", "/dev/null"], check=True)
    there._unpack(archive)
    assert list(there.root.parent.iterdir()) == [there.root]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["node", "root.tar"]
    there.remove_files()
    there.remove_files()
    assert [each.name for each in tmp_path.iterdir()] == ["root.tar"]


def killed_at_what_is_there(path: Path, **_: object) -> None:
    if path.exists():
        raise KeyboardInterrupt


def test_a_failure_in_the_node_names_the_command_and_what_it_said(tmp_path: Path) -> None:
    place = Enclosure(tmp_path / "state", "here")
    with pytest.raises(SandboxError) as error:
        place._unpack(tmp_path / "no archive.tar")
    assert str(error.value).startswith("`tar --extract ")
    assert "no archive.tar" in str(error.value).partition("\n")[2]
    assert not place.root.exists()


def test_closing_what_was_never_open_is_a_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Enclosure(tmp_path / "state", "here")
    monkeypatch.setattr(place, "group", ControlGroup("node", version_2(tmp_path / "cgroup")))
    place.close()
    place.remove_files()
    assert not place.running


def test_two_sandboxes_have_two_groups(tmp_path: Path) -> None:
    one, other = (Enclosure(tmp_path / name, "here").group.name for name in ("one", "other"))
    assert one != other
    assert one.startswith("rayfort-") and shlex.quote(one) == one
