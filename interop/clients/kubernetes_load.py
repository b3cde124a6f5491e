"""Many users who watch many kinds at once, each with a credential of its own, as a console of a cluster does, while objects change.

Usage: kubernetes_load.py ROUNDS. Standard input: JSON with `direct` (a kubeconfig's file, beside the gateway), `users` (kubeconfigs) and
`namespace`. What each watch saw has to be what was changed, in its order, masked where it is governed.
"""

import json
import sys
import threading
import time

from kubernetes import client, config, watch

GIVEN = json.load(sys.stdin)
ROUNDS, NAMESPACE = int(sys.argv[1]), GIVEN["namespace"]
VALUE = "Canary-of-a-watch-7305"


def pod():
    return {"containers": [{"name": "a", "image": "b", "env": [{"name": "MODE", "value": VALUE}]}]}


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": pod()}
# Kind: its API, the name in the client's functions, an object's own fields, and what of them is governed, as it is shown.
KINDS = {
    "ConfigMap": ("CoreV1Api", "config_map", {"data": {"mode": VALUE}}, lambda o: o["data"]["mode"], "[config.kubernetes]"),
    "Secret": ("CoreV1Api", "secret", {"stringData": {"key": VALUE}}, lambda o: o["data"]["key"], "W3NlY3JldC5rdWJlcm5ldGVzXQ=="),
    "Service": ("CoreV1Api", "service", {"spec": {"ports": [{"port": 80}]}}, lambda o: o["spec"]["ports"][0]["port"], 80),
    "ServiceAccount": ("CoreV1Api", "service_account", {}, lambda o: o["kind"], "ServiceAccount"),
    "Pod": ("CoreV1Api", "pod", {"spec": pod()}, lambda o: o["spec"]["containers"][0]["env"][0]["value"], "[config.env]"),
    "Deployment": (
        "AppsV1Api",
        "deployment",
        {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}},
        lambda o: o["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"],
        "[config.env]",
    ),
    "Lease": ("CoordinationV1Api", "lease", {"spec": {"holderIdentity": VALUE}}, lambda o: o["spec"]["holderIdentity"], "[secret.holder]"),
    "Role": ("RbacAuthorizationV1Api", "role", {"rules": []}, lambda o: o["kind"], "Role"),
}


def function(connection, kind, verb):
    api, name = KINDS[kind][:2]
    return getattr(getattr(client, api)(connection), f"{verb}_namespaced_{name}")


def watcher(connection, kind, ready, seen):
    """Lists, watches from there, and keeps what it is told until something is deleted."""
    listed = function(connection, kind, "list")
    version = json.loads(listed(NAMESPACE, _preload_content=False).data)["metadata"]["resourceVersion"]
    ready.release()
    for event in watch.Watch().stream(listed, NAMESPACE, resource_version=version, timeout_seconds=110, deserialize=False):
        seen.append((event["type"], event["object"], time.monotonic()))
        if event["type"] == "DELETED":
            return


def begun(connection, kind, ready):
    seen = []
    thread = threading.Thread(target=watcher, args=(connection, kind, ready, seen), daemon=True)
    thread.start()
    return thread, seen


def change(connection, kind):
    """A life of an object."""
    body = {"kind": kind, "metadata": {"name": "changing"}, **KINDS[kind][2]}
    function(connection, kind, "create")(NAMESPACE, body, _preload_content=False)
    for n in range(ROUNDS):
        function(connection, kind, "patch")("changing", NAMESPACE, {"metadata": {"labels": {"n": str(n)}}}, _preload_content=False)
    function(connection, kind, "delete")("changing", NAMESPACE, grace_period_seconds=0, _preload_content=False)


def events(seen):
    return [(what, told["metadata"]["resourceVersion"]) for what, told, _ in seen]


def main():
    direct = config.new_client_from_config(GIVEN["direct"])
    users = [config.new_client_from_config_dict(user) for user in GIVEN["users"]]
    ready = threading.Semaphore(0)
    beside = {kind: begun(direct, kind, ready) for kind in KINDS}
    through = [(kind, begun(user, kind, ready)) for user in users for kind in KINDS]
    for _ in (*beside, *through):
        if not ready.acquire(timeout=60):
            sys.exit("not all of them watch")
    changing = [threading.Thread(target=change, args=(direct, kind)) for kind in KINDS]
    for thread in changing:
        thread.start()
    for thread in (*changing, *(one for one, _ in beside.values()), *(one for _, (one, _) in through)):
        thread.join(timeout=90)
    late = []
    for kind, (_, seen) in through:
        governed, shown = KINDS[kind][3:]
        expect = beside[kind][1]
        if events(seen) != events(expect) or len(seen) < ROUNDS + 2:
            sys.exit(f"{kind}: {events(seen)}, not {events(expect)}")
        if any(governed(told) != shown or VALUE in json.dumps(told) for _, told, _ in seen):
            sys.exit(f"{kind} is not masked: {seen}")
        late.extend(one[2] - two[2] for one, two in zip(seen, expect))
    late.sort()
    print("watches", len(through), "events", len(late))
    print("behind those beside the gateway: p50 %.3f s, most %.3f s" % (late[len(late) // 2], late[-1]))


main()
