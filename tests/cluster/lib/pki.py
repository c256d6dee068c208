"""The cluster's certificate authority, certificates and kubeconfigs, made with openssl."""

import base64
import json
from pathlib import Path

from .layout import Layout
from .shell import run

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
_DAYS = "3650"


def create(layout: Layout) -> None:
    """Makes the authority and what the control plane and the user need."""
    network = layout.network
    directory(layout).mkdir(parents=True, exist_ok=True)
    run("openssl", "req", "-x509", *_KEY, "-days", _DAYS, "-subj", "/CN=textnlp-test-ca",
        "-keyout", _path(layout, "ca.key"), "-out", _path(layout, "ca.crt"))
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", _path(layout, "service-accounts.key"))
    run("openssl", "ec", "-in", _path(layout, "service-accounts.key"), "-pubout",
        "-out", _path(layout, "service-accounts.pub"))
    addresses = ["127.0.0.1", network.node(1), network.first_service]
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    _certificate(layout, "apiserver", "/CN=kube-apiserver", names, addresses)
    _certificate(layout, "admin", "/O=system:masters/CN=admin", ["admin"])
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        _certificate(layout, name, f"/CN=system:{name}", [name])
        _kubeconfig(layout, name, _path(layout, f"{name}.kubeconfig"))
    _kubeconfig(layout, "admin", layout.kubeconfig)


def create_node(layout: Layout, number: int) -> None:
    name = f"node-{number}"
    _certificate(layout, name, f"/O=system:nodes/CN=system:node:{name}", [name], [layout.network.node(number)])
    _kubeconfig(layout, name, _path(layout, f"{name}.kubeconfig"))


def directory(layout: Layout) -> Path:
    return layout.state / "pki"


def _path(layout: Layout, name: str) -> Path:
    return directory(layout) / name


def _certificate(layout: Layout, name: str, subject: str, names: list[str], addresses: list[str] | None = None) -> None:
    request, extensions = _path(layout, f"{name}.csr"), _path(layout, f"{name}.ext")
    run("openssl", "req", *_KEY, "-subj", subject, "-keyout", _path(layout, f"{name}.key"), "-out", request)
    subjects = [f"DNS:{one}" for one in names] + [f"IP:{one}" for one in addresses or []]
    extensions.write_text(f"subjectAltName={','.join(subjects)}\nextendedKeyUsage=serverAuth,clientAuth\n")
    run("openssl", "x509", "-req", "-in", request, "-CA", _path(layout, "ca.crt"), "-CAkey", _path(layout, "ca.key"),
        "-CAcreateserial", "-days", _DAYS, "-extfile", extensions, "-out", _path(layout, f"{name}.crt"))


def _kubeconfig(layout: Layout, name: str, path: Path) -> None:
    """Writes a kubeconfig that stands alone: it works wherever it is copied to on this machine."""

    def inline(file: str) -> str:
        return base64.b64encode(_path(layout, file).read_bytes()).decode()

    server = f"https://{layout.network.node(1)}:6443"
    path.write_text(json.dumps({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority-data": inline("ca.crt")}}],
        "users": [{"name": name, "user": {"client-certificate-data": inline(f"{name}.crt"),
                                          "client-key-data": inline(f"{name}.key")}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        "current-context": "test",
    }, indent=1))
    path.chmod(0o600)
