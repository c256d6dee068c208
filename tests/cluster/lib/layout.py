"""Where a cluster's files lie and which addresses it has. Computes only, apart from reading the slot's number."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

# Kept for tests of networks (RFC 2544): no real peer is hidden. Half of it is for pods and nodes, half for Services.
RANGE = "198.18.0.0/15"
_PODS, _SERVICES = "198.18", "198.19"
SLOTS = 16  # clusters side by side
LAST_NODE = 14  # nodes of one cluster; the 16th /24 of a slot holds the nodes' own addresses


@dataclass(frozen=True)
class Network:
    """The addresses of the cluster in one slot: each cluster on a machine has another."""

    slot: int

    @property
    def host_link(self) -> str:
        """The host's end of the veth pair into node 1. Its name is the slot's lock: the kernel gives it out once."""
        return f"textnlp{self.slot}"

    @property
    def pods(self) -> str:
        return f"{_PODS}.{16 * self.slot}.0/20"

    @property
    def services(self) -> str:
        return f"{_SERVICES}.{16 * self.slot}.0/20"

    @property
    def first_service(self) -> str:
        """The address of the Service `kubernetes`."""
        return f"{_SERVICES}.{16 * self.slot}.1"

    @property
    def host(self) -> str:
        """The host on the cluster's network: pods reach a server that a test binds here, and nothing beyond."""
        return f"{_PODS}.{16 * self.slot + 15}.254"

    def node(self, number: int) -> str:
        return f"{_PODS}.{16 * self.slot + 15}.{number}"

    def pods_of(self, number: int) -> str:
        return f"{_PODS}.{16 * self.slot + number}.0/24"


@dataclass(frozen=True)
class Layout:
    """The names and paths of one checkout's cluster."""

    checkout: Path

    @property
    def name(self) -> str:
        """Names network namespaces and cgroups; two checkouts differ."""
        return "textnlp-" + hashlib.sha256(str(self.checkout).encode()).hexdigest()[:8]

    @property
    def state(self) -> Path:
        return self.checkout / "target" / "cluster"

    @property
    def cache(self) -> Path:
        default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "textnlp"
        return Path(os.environ.get("TEXTNLP_CACHE") or default)

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.state / "audit.log"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def images(self) -> Path:
        """The archives that were loaded."""
        return self.state / "images"

    @property
    def environment(self) -> Path:
        return self.state / "env"

    @property
    def programs(self) -> Path:
        """Links to kubectl, helm and kubectl-textnlp: what `env` puts in front of PATH."""
        return self.state / "bin"

    def node(self, number: int) -> Path:
        return self.state / f"node-{number}"

    def nodes(self) -> list[int]:
        """The nodes that were started, running or not."""
        return sorted(int(path.name.removeprefix("node-")) for path in self.state.glob("node-*"))

    def namespace(self, number: int) -> str:
        """The network namespace and the cgroup of a node."""
        return f"{self.name}-{number}"

    @property
    def network(self) -> Network:
        return Network(int((self.state / "slot").read_text()))
