"""Updates both overlays while clients use them: no request may get lost."""

from . import pods
from .cluster import DEV, OF_SERVICE, PROD, Failed, get, kubectl, wait

# Seconds until every pod is replaced. Each starts after the one before it is ready.
ROLLING = 180

# Seconds until the last old pod is gone: preStop, the drain delay, a running scan, and
# what the kubelet needs.
ENDING = 120


def start_load(namespaces=(DEV, PROD)):
    for namespace in namespaces:
        address = get("service", "open-ports", namespace=namespace)["spec"]["clusterIP"]
        secret = {"name": "open-ports-tokens", "key": "tokens", "optional": True}
        env = [
            {"name": "ADDRESS", "value": address},
            {"name": "PORT", "value": "80"},
            {"name": "TOKENS", "valueFrom": {"secretKeyRef": secret}},
        ]
        pods.start(pods.pod("load", "load.py", env=env), namespace=namespace)


def check(report):
    both = {"dev": DEV, "prod": PROD}
    start_load()
    for namespace in both.values():
        pods.wait_until_ready("app=load", namespace)
    old = {namespace: names(namespace) for namespace in both.values()}
    for namespace in both.values():
        kubectl("rollout", "restart", "deployment/open-ports", namespace=namespace)
    for namespace in both.values():
        wait("rollout", "status", "deployment/open-ports", namespace=namespace, seconds=ROLLING)
    for namespace in both.values():
        wait("wait", *old[namespace], "--for=delete", namespace=namespace, seconds=ENDING)
    for overlay, namespace in both.items():
        if left := set(names(namespace)) & set(old[namespace]):
            raise Failed(f"overlay {overlay}: pods from before the update are still there: {left}")
        judge(report, overlay, pods.finish("load", namespace, seconds=90))


def names(namespace):
    return kubectl("get", "pods", "-l", OF_SERVICE, "-o", "name", namespace=namespace).split()


def judge(report, overlay, seen):
    if seen["lost"] or seen["refused"]:
        examples = "\n".join(f"   {text}" for text in seen["examples"])
        raise Failed(f"overlay {overlay}: a rolling update lost {seen['lost']} requests and refused "
                     f"{seen['refused']}; {seen['answered']} were answered\n{examples}")
    # Otherwise the load was not there while the pods were replaced.
    if not seen["announced"]:
        raise Failed(f"overlay {overlay}: no connection was asked to close: {seen}")
    report.passed(f"overlay {overlay}: a rolling update loses none of {seen['answered']} requests; "
                  f"{seen['announced']} connections were asked to close")
