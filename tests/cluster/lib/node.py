"""A node: its cgroup, its mount namespace, containerd, kubelet and kube-proxy."""

import json
from pathlib import Path

from . import controlplane, network, pki
from .layout import Layout
from .processes import Component
from .shell import Failure, run, succeeds, wait

CGROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "systemd")

# Directories whose paths kubelet, containerd and CNI have built in. Each node has its own, mounted over these.
HOST_DIRECTORIES = ("/var/lib/kubelet", "/var/lib/cni", "/var/lib/containerd", "/var/log/containers", "/var/log/pods")

# Becomes the holder of the node's mount namespace. All mounts that the node makes later end with its last process.
_HOLDER = """\
set -e
for directory in "$@"; do mount --bind "$STATE$directory" "$directory"; done
mount -t tmpfs -o mode=755 run /run
touch "$STATE/mounted"
exec sleep infinity
"""


def start(layout: Layout, binary: Path, number: int, taint: str | None = None) -> None:
    """Makes node `number`, for pods that tolerate `taint`; its network namespace is there already."""
    directory = layout.node(number)
    pki.create_node(layout, number)
    _cgroup(layout.namespace(number))
    for mount in HOST_DIRECTORIES:
        Path(mount).mkdir(parents=True, exist_ok=True)
        (directory / mount[1:]).mkdir(parents=True)
    Component(layout, number, "mounts").start(
        "env", f"STATE={directory}", "unshare", "--mount", "--propagation", "slave",
        "sh", "-c", _HOLDER, "sh", *HOST_DIRECTORIES)
    wait(f"the mounts of node {number}", (directory / "mounted").exists, 10, [directory / "log/mounts.log"])
    _start_containerd(layout, number)
    _start_kubelet(layout, binary, number, taint)
    Component(layout, number, "kube-proxy").start(
        binary, "kube-proxy", "--kubeconfig", pki.directory(layout) / "kube-proxy.kubeconfig",
        "--hostname-override", f"node-{number}", "--proxy-mode", "iptables", "--cluster-cidr", layout.network.pods,
        # The kernel's table of connections is not ours to size.
        "--conntrack-max-per-core", 0, "--conntrack-min", 0,
        "--conntrack-tcp-timeout-established", "0s", "--conntrack-tcp-timeout-close-wait", "0s")


def stop(layout: Layout, number: int) -> None:
    """Loses the node: its kubelet ends and its link goes down. Its containers run on, and reach nobody."""
    if number == 1:
        raise Failure("node 1 carries the control plane: lose another node (`cluster node-up 2` makes one)")
    require(layout, number)
    Component(layout, number, "kubelet").stop()
    network.disconnect(layout, number)


def resume(layout: Layout, number: int) -> None:
    """Brings a lost node back."""
    network.connect(layout, number)
    Component(layout, number, "kubelet").restart(mounts_of=Component(layout, number, "mounts"))


def wait_until_ready(layout: Layout, number: int) -> None:
    logs = [Component(layout, number, name).log for name in ("containerd", "kubelet")]
    wait(f"node-{number} Ready", lambda: _ready(layout, number), 120, logs)


def require(layout: Layout, number: int) -> None:
    if number not in layout.nodes():
        raise Failure(f"there is no node {number}: `cluster node-up {number}` makes it")


def load(layout: Layout, number: int, archive: Path) -> None:
    """Imports an OCI archive into the node's containerd."""
    run(*inside(layout, number), "ctr", "--namespace", "k8s.io", "images", "import", archive)


def inside(layout: Layout, number: int) -> list[object]:
    """What a command begins with to run in the node's network and mount namespaces."""
    holder = Component(layout, number, "mounts").pid()
    return ["nsenter", f"--net=/run/netns/{layout.namespace(number)}", f"--mount=/proc/{holder}/ns/mnt"]


def set_capacity(layout: Layout, number: int, resource: str, count: int) -> None:
    """Gives a node an extended resource, as a device plugin would."""
    key = resource.replace("~", "~0").replace("/", "~1")
    patch = [{"op": "add", "path": f"/status/{field}/{key}", "value": str(count)} for field in ("capacity", "allocatable")]
    run(*controlplane.kubectl(layout), "patch", "node", f"node-{number}", "--subresource", "status",
        "--type", "json", "--patch", json.dumps(patch))


def _ready(layout: Layout, number: int) -> bool:
    condition = '{.status.conditions[?(@.type=="Ready")].status}'
    try:
        return run(*controlplane.kubectl(layout), "get", "node", f"node-{number}", "-o", f"jsonpath={condition}") == "True"
    except Failure:
        return False


def _start_containerd(layout: Layout, number: int) -> None:
    directory = layout.node(number)
    subnet = layout.network.pods_of(number)
    plugins = [
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    (directory / "cni").mkdir()
    (directory / "cni/10-bridge.conflist").write_text(
        json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}, indent=1))
    # A checkout that lies on an overlay itself (a container's root) cannot carry another.
    snapshotter = "native" if run("stat", "-f", "-c", "%T", directory).strip() == "overlayfs" else "overlayfs"
    config = directory / "containerd.toml"
    config.write_text(f"""\
version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "textnlp.dev/pause:test"
# Not every root may lower the score (CAP_SYS_RESOURCE): runc would end without a word.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{directory}/cni"
""")
    containerd = Component(layout, number, "containerd")
    containerd.start("containerd", "--config", config, mounts_of=Component(layout, number, "mounts"))
    wait(f"containerd of node {number}", lambda: succeeds(*inside(layout, number), "ctr", "version"), 30, [containerd.log])


def _start_kubelet(layout: Layout, binary: Path, number: int, taint: str | None) -> None:
    directory, keys, name = layout.node(number), pki.directory(layout), f"node-{number}"
    resolver = layout.state / "resolv.conf"
    resolver.write_text("# The machine's own search domains and name servers are nothing to the cluster.\n")
    config = directory / "kubelet.json"
    config.write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                           "x509": {"clientCAFile": str(keys / "ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(keys / f"{name}.crt"),
        "tlsPrivateKeyFile": str(keys / f"{name}.key"),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.namespace(number)}",
        "clusterDNS": [layout.network.node(1)],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolver),
        "volumePluginDir": str(directory / "volume-plugins"),
        "failSwapOn": False,
        "serializeImagePulls": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        # Renewed every 5 s, so that a lost node is noticed soon.
        "nodeLeaseDurationSeconds": 20,
        "nodeStatusUpdateFrequency": "5s",
        "registerWithTaints": [{"key": taint, "effect": "NoSchedule"}] if taint else [],
    }, indent=1))
    Component(layout, number, "kubelet").start(
        binary, "kubelet", "--config", config, "--kubeconfig", keys / f"{name}.kubeconfig",
        "--hostname-override", name, "--node-ip", layout.network.node(number),
        mounts_of=Component(layout, number, "mounts"))


def _cgroup(name: str) -> None:
    """Makes the cgroup that holds the node's pods: two kubelets must not share one."""
    if (CGROUPS / "cgroup.controllers").exists():  # version 2
        available = (CGROUPS / "cgroup.controllers").read_text().split()
        (CGROUPS / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in available))
        (CGROUPS / name).mkdir(exist_ok=True)
        return
    for controller in _CONTROLLERS:
        if not (CGROUPS / controller).is_dir():
            continue
        (CGROUPS / controller / name).mkdir(exist_ok=True)
        if controller == "cpuset":  # Born empty; nothing could be scheduled in it.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (CGROUPS / controller / name / file).write_text((CGROUPS / controller / file).read_text())
