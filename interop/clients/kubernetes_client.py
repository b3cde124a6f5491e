"""The package `kubernetes` as its manual uses it, told nothing: the cluster is the one that a run's kubeconfig names.

Usage: kubernetes_client.py objects NAMESPACE | pod PORT OTHER. In the pod `box` a program can be started; PORT is one of its own, with an echo,
and to OTHER nobody may connect.
"""

import base64
import os
import sys
import threading

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import portforward, stream

config.load_kube_config()
CORE, APPS = client.CoreV1Api(), client.AppsV1Api()
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


def check(what, got, expect):
    if got != expect:
        sys.exit(f"{what}: {got!r}, not {expect!r}")


def refused(what, status, call):
    """The API's error of a call that is not done."""
    try:
        call()
    except ApiException as why:
        check(what, why.status, status)
        return why.body
    sys.exit(f"{what} was done")


def names(items):
    return sorted(item.metadata.name for item in items)


def maps(namespace):
    def labelled(name, tier, **data):
        return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"tier": tier}), data=data)

    made = CORE.create_namespaced_config_map(namespace, labelled("one", "front", colour="blue"))
    check("what is made", made.data, {"colour": "blue"})
    for n in range(12):
        CORE.create_namespaced_config_map(namespace, labelled(f"many-{n:02}", "back"))
    check("one that is there", CORE.read_namespaced_config_map("one", namespace).data["colour"], "blue")
    check("one of somebody else's", CORE.read_namespaced_config_map("given", namespace).data["number"], "[pii.ssn]")
    refused("one that is not", 404, lambda: CORE.read_namespaced_config_map("none", namespace))
    refused("one that is there already", 409, lambda: CORE.create_namespaced_config_map(namespace, labelled("one", "x")))

    pages, more = [], None
    while more != "":
        page = CORE.list_namespaced_config_map(namespace, limit=5, _continue=more)
        pages.append(names(page.items))
        more = page.metadata._continue or ""
    check("the lengths of pages", [len(page) for page in pages], [5, 5, 4])
    check("all pages", len(set(sum(pages, []))), 14)
    back = CORE.list_namespaced_config_map(namespace, label_selector="tier in (back),tier!=front")
    check("those with a label", names(back.items), [f"many-{n:02}" for n in range(12)])
    field = CORE.list_namespaced_config_map(namespace, field_selector="metadata.name=one")
    check("those with a name", names(field.items), ["one"])
    _, status, headers = CORE.list_config_map_for_all_namespaces_with_http_info(limit=1)
    check("with its head", (status, headers["Content-Type"]), (200, "application/json"))

    def patched(body, **how):
        return CORE.patch_namespaced_config_map("one", namespace, body, **how)

    check("strategic", patched({"data": {"colour": "red"}}).data["colour"], "red")
    check("merge", patched({"data": {"shape": "round"}}, _content_type=MERGE).data["shape"], "round")
    check("json", patched([{"op": "replace", "path": "/data/colour", "value": "green"}]).data["colour"], "green")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"size": "7"}}
    check("apply", patched(body, field_manager="tests", _content_type=APPLY).data["size"], "7")
    body["data"]["colour"] = "mine"
    said = refused("apply of another's field", 409, lambda: patched(body, field_manager="tests", _content_type=APPLY))
    check("says whose", "conflict" in said, True)
    applied = patched(body, field_manager="tests", force=True, _content_type=APPLY)
    check("apply by force", (applied.data["colour"], applied.data["shape"]), ("mine", "round"))

    now = CORE.read_namespaced_config_map("many-00", namespace)
    now.data = {"new": "value"}
    check("replaced", CORE.replace_namespaced_config_map("many-00", namespace, now).data, {"new": "value"})
    refused("replaced by an old one", 409, lambda: CORE.replace_namespaced_config_map("many-00", namespace, now))

    check("deleted", CORE.delete_namespaced_config_map("many-00", namespace)["status"], "Success")
    CORE.delete_collection_namespaced_config_map(namespace, label_selector="tier=back")
    check("what is left", names(CORE.list_namespaced_config_map(namespace).items), ["given", "one"])


def secrets(namespace):
    def said(secret):
        return {key: base64.b64decode(value) for key, value in secret.data.items()}

    body = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"password": "Canary-of-a-client-4410"})
    check("a secret that is made", said(CORE.create_namespaced_secret(namespace, body)), {"password": b"[secret.kubernetes]"})
    one = CORE.read_namespaced_secret("s", namespace)
    check("a secret", (said(one), one.type), ({"password": b"[secret.kubernetes]"}, "Opaque"))
    written = refused("a secret that is written back", 400, lambda: CORE.replace_namespaced_secret("s", namespace, one))
    check("why it is", "is a mask that the gateway gave" in written, True)
    check("in a list", [said(s) for s in CORE.list_namespaced_secret(namespace, field_selector="metadata.name=s").items], [said(one)])
    CORE.delete_namespaced_secret("s", namespace)


def deployments(namespace):
    env = [client.V1EnvVar(name="MODE", value="Value-of-a-variable-2093")]
    container = client.V1Container(name="web", image="nginx:1.25", env=env)
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "web"}), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(replicas=2, selector={"matchLabels": {"app": "web"}}, template=template)
    body = client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    made = APPS.create_namespaced_deployment(namespace, body)
    check("a variable", made.spec.template.spec.containers[0].env[0].value, "[config.env]")
    scaled = APPS.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 3}})
    check("a scale", scaled.spec.replicas, 3)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1.26"}]}}}}
    patched = APPS.patch_namespaced_deployment("web", namespace, image)
    check("a strategic patch of a list", len(patched.spec.template.spec.containers), 1)
    seen = APPS.read_namespaced_deployment("web", namespace)
    # What was read whole is not written back: its variable is a mask.
    said = refused("a mask", 400, lambda: APPS.replace_namespaced_deployment("web", namespace, seen))
    check("why", "is a mask that the gateway gave" in said, True)
    APPS.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")

    manifest = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "y"}, "spec": {"ports": [{"port": 80}]}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "y"}},
    ]
    made = utils.create_from_yaml(client.ApiClient(), yaml_objects=manifest, namespace=namespace)
    check("made of YAML", len(made), 2)
    # A server of 1.20 answers with a Status, where a later one has the object.
    CORE.delete_namespaced_service("y", namespace, _preload_content=False)
    said = refused("a deletion that a rule forbids", 403, lambda: CORE.delete_namespaced_service_account("y", namespace))
    check("which rule", '"clients-keep"' in said and "This one stays." in said, True)


def watched(namespace):
    version = CORE.list_namespaced_config_map(namespace).metadata.resource_version
    seen = []

    def change():
        for n in range(3):
            body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="w"), data={"n": str(n)})
            if n == 0:
                CORE.create_namespaced_config_map(namespace, body)
            else:
                CORE.replace_namespaced_config_map("w", namespace, body)
        CORE.delete_namespaced_config_map("w", namespace)

    changing = threading.Thread(target=change)
    changing.start()
    for event in watch.Watch().stream(CORE.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=30):
        seen.append((event["type"], event["object"].data["n"]))
        if event["type"] == "DELETED":
            break
    changing.join()
    check("a watch", seen, [("ADDED", "0"), ("MODIFIED", "1"), ("MODIFIED", "2"), ("DELETED", "2")])
    # One that the server ends: nothing happens in it.
    check("a watch in vain", list(watch.Watch().stream(CORE.list_namespaced_service_account, namespace, field_selector="metadata.name=none", timeout_seconds=1)), [])


def discovered(namespace):
    check("its version", client.VersionApi().get_code().major, "1")
    groups = [group.name for group in client.ApisApi().get_api_versions().groups]
    check("its groups", "apps" in groups and "coordination.k8s.io" in groups, True)
    check("kinds", "secrets" in [kind.name for kind in CORE.get_api_resources().resources], True)

    cache = os.path.join(os.environ["HOME"], "discovered.json")
    whole = dynamic.DynamicClient(client.ApiClient(), cache_file=cache)
    leases = whole.resources.get(api_version="coordination.k8s.io/v1", kind="Lease")
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    check("made", leases.create(body=body, namespace=namespace).spec.holderIdentity, "me")
    body["spec"]["holderIdentity"] = "you"
    applied = leases.server_side_apply(body=body, name="l", namespace=namespace, field_manager="tests", force_conflicts=True)
    check("applied", applied.spec.holderIdentity, "you")
    patched = leases.patch(body={"spec": {"leaseDurationSeconds": 5}}, name="l", namespace=namespace, content_type=MERGE)
    check("patched", patched.spec.leaseDurationSeconds, 5)
    check("listed", [one.metadata.name for one in leases.get(namespace=namespace).items], ["l"])
    check("watched", [event["type"] for event in leases.watch(namespace=namespace, timeout=1)], ["ADDED"])
    check("deleted", leases.delete(name="l", namespace=namespace).status, "Success")


def objects(namespace):
    for part in (maps, secrets, deployments, watched, discovered):
        part(namespace)
        print(part.__name__)


def run(*command, **how):
    return stream(CORE.connect_get_namespaced_pod_exec, "box", "default", command=list(command), **how)


def executed():
    both = {"stderr": True, "stdin": False, "stdout": True, "tty": False}
    check("what a command says", run("sh", "-c", "echo out", **both), "out\n")
    check("a value in it", run("sh", "-c", "a=536-22; echo $a-8391", **both), "[pii.ssn]\n")

    running = run("sh", "-c", "read line; echo got $line; echo err >&2; exit 7", stderr=True, stdin=True, stdout=True, tty=False, _preload_content=False)
    running.write_stdin("a line\n")
    out, err = "", ""
    while running.is_open():
        running.update(timeout=10)
        out += running.read_stdout() if running.peek_stdout() else ""
        err += running.read_stderr() if running.peek_stderr() else ""
    check("output", out, "got a line\n")
    check("error", err, "err\n")
    check("status", running.returncode, 7)
    running.close()

    many = run("sh", "-c", "yes 0123456789abcde | head -c 3000000", _preload_content=False, **both)
    many.run_forever(timeout=60)
    check("much", (len(many.read_stdout()), many.returncode), (3000000, 0))

    raw = run("cat", stderr=False, stdin=True, stdout=True, tty=False, binary=True, _preload_content=False)
    raw.write_stdin(bytes(range(256)))
    seen = b""
    while len(seen) < 256 and raw.is_open():
        seen += raw.read_stdout(timeout=10) or b""
    check("every byte", seen, bytes(range(256)))
    raw.close()
    try:
        sys.exit(f"a command that a rule forbids: {run('rm', '-f', '/tmp/x', **both)}")
    except ApiException as why:
        check("a command that a rule forbids", "403 Forbidden" in why.reason and "This agent deletes nothing." in why.reason, True)


def attached(name):
    running = stream(CORE.connect_get_namespaced_pod_attach, name, "default", stderr=True, stdin=True, stdout=True, tty=False, _preload_content=False)
    for line in ("one", "two"):
        running.write_stdin(line + "\n")
        check("an answer", running.readline_stdout(timeout=30), "got " + line)
    running.write_stdin("tell\n")
    check("what it is not told", running.readline_stdout(timeout=30), "[pii.ssn]")
    running.write_stdin("bye\n")
    running.run_forever(timeout=30)
    check("status", running.returncode, 0)


def followed():
    lines = CORE.read_namespaced_pod_log("told", "default", follow=True, _preload_content=False)
    check("a log", b"".join(lines.stream()), b"first\n[pii.ssn]\nlast\n")
    check("its end", CORE.read_namespaced_pod_log("told", "default", tail_lines=1), "last\n")
    watching = watch.Watch().stream(CORE.read_namespaced_pod_log, "told", "default")
    check("a log that is watched", list(watching), ["first", "[pii.ssn]", "last"])


def forwarded(port, other):
    ports = portforward(CORE.connect_get_namespaced_pod_portforward, "box", "default", ports=port)
    echo = ports.socket(int(port))
    echo.settimeout(20)
    echo.sendall(b"to and fro")
    check("an echo", echo.recv(100), b"to and fro")
    check("what failed", ports.error(int(port)), None)
    echo.close()
    try:
        sys.exit(f"a port that a rule forbids: {portforward(CORE.connect_get_namespaced_pod_portforward, 'box', 'default', ports=other)}")
    except ApiException as why:
        check("a port that a rule forbids", "403 Forbidden" in why.reason and "Not this port." in why.reason, True)


def pod(*ports):
    executed()
    print("executed")
    followed()
    print("followed")
    forwarded(*ports)
    print("forwarded")


{"attached": attached, "objects": objects, "pod": pod}[sys.argv[1]](*sys.argv[2:])
print("kubernetes: done")
