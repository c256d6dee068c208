"""etcd, the API server, the controllers, the scheduler, DNS and the volume provisioner, all in node 1's network namespace."""

import json
from pathlib import Path

from . import pki
from .layout import Layout
from .processes import Component
from .shell import run, succeeds, wait

# A lost node is noticed, and its pods are marked for eviction, in seconds rather than in minutes.
_NODE_LOST, _EVICTION = "20s", "5"

# So that a thousand jobs at once wait for the cluster's work and not for its clients' limits (50 requests a second and
# five Jobs at a time by default).
_CLIENT_LIMITS = ("--kube-api-qps", 2000, "--kube-api-burst", 4000)
_JOBS_AT_ONCE = 20

# All requests with their user, verb and object, once each: what tests count the operator's writes with.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}

_COREFILE = """\
.:53 {{
    errors
    kubernetes cluster.local {{
        kubeconfig "{kubeconfig}"
        pods insecure
    }}
    cache 5
}}
"""


def start_api(layout: Layout, binary: Path) -> None:
    """Starts etcd and the API server; returns before they answer."""
    network, keys = layout.network, pki.directory(layout)
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    Component(layout, 1, "etcd").start(
        binary, "etcd", "--data-dir", layout.state / "etcd", "--log-level", "warn",
        "--unsafe-no-fsync",  # Its data ends with the cluster.
        "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}")
    policy = layout.state / "audit-policy.json"
    policy.write_text(json.dumps(_AUDIT_POLICY))
    Component(layout, 1, "kube-apiserver").start(
        binary, "kube-apiserver", "--etcd-servers", client, "--secure-port", 6443,
        "--bind-address", "0.0.0.0", "--advertise-address", network.node(1),
        "--service-cluster-ip-range", network.services,
        "--tls-cert-file", keys / "apiserver.crt", "--tls-private-key-file", keys / "apiserver.key",
        "--client-ca-file", keys / "ca.crt",
        "--service-account-issuer", "https://kubernetes.default.svc",
        "--service-account-key-file", keys / "service-accounts.pub",
        "--service-account-signing-key-file", keys / "service-accounts.key",
        "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
        "--allow-privileged",  # Refused per namespace by the pod security standard, as on a real cluster.
        "--kubelet-certificate-authority", keys / "ca.crt",
        "--kubelet-client-certificate", keys / "admin.crt", "--kubelet-client-key", keys / "admin.key",
        "--kubelet-preferred-address-types", "InternalIP",  # Node names are in no DNS: logs and exec would fail.
        "--default-not-ready-toleration-seconds", _EVICTION, "--default-unreachable-toleration-seconds", _EVICTION,
        "--audit-policy-file", policy, "--audit-log-path", layout.audit_log, "--audit-log-maxsize", 10000)


def start_controllers(layout: Layout, binary: Path) -> None:
    """Starts everything that works through the API server."""
    keys = pki.directory(layout)
    # A single instance of each: an API server that is away for a while must not end them with a lost lease.
    Component(layout, 1, "kube-controller-manager").start(
        binary, "kube-controller-manager", "--kubeconfig", keys / "kube-controller-manager.kubeconfig",
        "--leader-elect=false", "--use-service-account-credentials",
        "--service-account-private-key-file", keys / "service-accounts.key", "--root-ca-file", keys / "ca.crt",
        "--cluster-signing-cert-file", keys / "ca.crt", "--cluster-signing-key-file", keys / "ca.key",
        "--node-monitor-period", "2s", "--node-monitor-grace-period", _NODE_LOST,
        "--concurrent-job-syncs", _JOBS_AT_ONCE, *_CLIENT_LIMITS)
    Component(layout, 1, "kube-scheduler").start(
        binary, "kube-scheduler", "--kubeconfig", keys / "kube-scheduler.kubeconfig", "--leader-elect=false",
        *_CLIENT_LIMITS)
    layout.volumes.mkdir(exist_ok=True)
    Component(layout, 1, "provisioner").start(
        binary, "provisioner", "--kubeconfig", layout.kubeconfig, "--root", layout.volumes)
    corefile = layout.state / "Corefile"
    corefile.write_text(_COREFILE.format(kubeconfig=layout.kubeconfig))
    Component(layout, 1, "coredns").start(binary, "coredns", "-conf", corefile)


def wait_for_api(layout: Layout) -> None:
    logs = [Component(layout, 1, name).log for name in ("etcd", "kube-apiserver")]
    wait("a ready API server", lambda: ready(layout), 120, logs)


def ready(layout: Layout) -> bool:
    return succeeds(*kubectl(layout), "get", "--raw", "/readyz", "--request-timeout", "2s")


def wait_for_controllers(layout: Layout) -> None:
    """Waits for what pods need: without its default account a namespace refuses them."""
    wait("the default service account", lambda: succeeds(*kubectl(layout), "get", "serviceaccount", "default"), 60,
         [Component(layout, 1, "kube-controller-manager").log])


def apply(layout: Layout, manifest: Path) -> None:
    # As input: kubectl takes a comma in a path for two paths.
    run(*kubectl(layout), "apply", "-f", "-", stdin=manifest.read_text())


def kubectl(layout: Layout) -> list[object]:
    return [layout.programs / "kubectl", "--kubeconfig", layout.kubeconfig]
