"""Network namespaces, links and routes.

Node 1, with the control plane, has a network namespace without a way out of the machine. A veth pair joins it to the host
(routes to this cluster's addresses only, so plain kubectl and helm work); another joins each further node to node 1.
"""

from .layout import SLOTS, Layout, Network
from .shell import Failure, run, succeeds, wait


def create(layout: Layout) -> Network:
    """Makes node 1's namespace and joins it to the host in the first free slot."""
    space = layout.namespace(1)
    _namespace(space)
    network = _join_host(space)
    (layout.state / "slot").write_text(str(network.slot))
    run("ip", "addr", "add", f"{network.host}/32", "dev", network.host_link)
    run("ip", "link", "set", network.host_link, "up")
    # This kernel need not know `dummy` links; a bridge without ports holds the node's address as well.
    run("ip", "-n", space, "link", "add", "node", "type", "bridge")
    run("ip", "-n", space, "addr", "add", f"{network.node(1)}/32", "dev", "node")
    run("ip", "-n", space, "link", "set", "node", "up")
    run("ip", "-n", space, "link", "set", "host", "up")
    run("ip", "-n", space, "route", "add", f"{network.host}/32", "dev", "host", "src", network.node(1))
    # connect() wants a route before it meets kube-proxy's rules.
    run("ip", "-n", space, "route", "add", network.services, "dev", "node")
    here = ["dev", network.host_link, "src", network.host]
    run("ip", "route", "add", network.node(1), *here)
    for range_ in (network.pods, network.services):
        run("ip", "route", "add", range_, "via", network.node(1), "onlink", *here)
    return network


def create_node(layout: Layout, number: int) -> None:
    """Makes a further node's namespace, joined to node 1."""
    space = layout.namespace(number)
    _namespace(space)
    run("ip", "-n", space, "link", "add", "to-1", "type", "veth", "peer", f"to-{number}", "netns", layout.namespace(1))
    run("ip", "-n", space, "addr", "add", f"{layout.network.node(number)}/32", "dev", "to-1")
    connect(layout, number)


def connect(layout: Layout, number: int) -> None:
    """Takes a node's link up, with the routes that it lost when it went down."""
    network, first, space = layout.network, layout.namespace(1), layout.namespace(number)
    here, there = network.node(1), network.node(number)
    run("ip", "-n", space, "link", "set", "to-1", "up")
    run("ip", "-n", first, "link", "set", f"to-{number}", "up")

    def route(namespace: str, *words: str) -> None:
        run("ip", "-n", namespace, "route", "replace", *words)

    route(space, here, "dev", "to-1", "src", there)
    for range_ in (network.pods, network.services):
        route(space, range_, "via", here, "dev", "to-1", "onlink", "src", there)
    route(first, there, "dev", f"to-{number}", "src", here)
    route(first, network.pods_of(number), "via", there, "dev", f"to-{number}", "onlink", "src", here)


def disconnect(layout: Layout, number: int) -> None:
    run("ip", "-n", layout.namespace(number), "link", "set", "to-1", "down")


def remove(namespace: str) -> None:
    """Removes a namespace with its links, whose other ends and routes go with them."""
    if succeeds("ip", "netns", "pids", namespace):
        wait(f"the end of network namespace {namespace}", lambda: not run("ip", "netns", "pids", namespace).strip())
        run("ip", "netns", "del", namespace)


def _namespace(name: str) -> None:
    run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "set", "lo", "up")
    run("nsenter", f"--net=/run/netns/{name}", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    # Without it, a pod's traffic to a Service whose pod is on the same bridge misses kube-proxy's rules. Where the
    # kernel has no such setting, there is no bridge filter either.
    succeeds("nsenter", f"--net=/run/netns/{name}", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")


def _join_host(space: str) -> Network:
    taken = ""
    for slot in range(SLOTS):
        network = Network(slot)
        try:
            run("ip", "link", "add", network.host_link, "type", "veth", "peer", "host", "netns", space)
            return network
        except Failure as failure:
            if "File exists" not in str(failure):
                raise
            taken = network.host_link
    raise Failure(f"{SLOTS} clusters run on this machine (links textnlp0 to {taken}): stop one with `cluster down`")
