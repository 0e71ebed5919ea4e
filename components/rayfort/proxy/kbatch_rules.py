"""What is asked of a user's job: what no job may be, and what the settings let jobs be."""

import json
from typing import Final

from rayfort.proxy import kbatch_config as config
from rayfort.proxy import kbatch_template
from rayfort.proxy.kbatch_rule import Rule, each, listed
from rayfort.proxy.kbatch_rules_fixed import FIXED
from rayfort.proxy.kbatch_spec import KbatchProxyArgs

# Domains of keys that Kubernetes, kubectl and kbatch put on jobs, and of those that say no more than a name.
_DOMAINS: Final = (
    "app.kubernetes.io",
    "batch.kubernetes.io",
    "cronjob.kubernetes.io",
    "kbatch.jupyter.org",
    "kubectl.kubernetes.io",
)


def rules(args: KbatchProxyArgs) -> tuple[Rule, ...]:
    """All rules for the jobs of a proxy's users."""
    return (*FIXED, *_chosen(args))


def _terms(path: str, keys: str) -> str:
    """That the terms of a node affinity name known labels alone, and no node by its name."""
    return f"{path}.all(t, !has(t.matchFields) && t.?matchExpressions.orValue([]).all(e, e.key in {keys}))"


def _chosen(args: KbatchProxyArgs) -> tuple[Rule, ...]:
    """The rules that follow from the settings."""
    template = kbatch_template.pod_of(args.job_template)
    nodes = listed(kbatch_template.node_keys(args.profiles, args.job_template))
    taints = listed(kbatch_template.toleration_keys(args.profiles, args.job_template))
    priorities = listed(["", *args.jobs.priority_classes, template.get("priorityClassName", "")])
    classes = listed(["", template.get("runtimeClassName", "")])
    schedulers = listed(["default-scheduler", template.get("schedulerName", "default-scheduler")])
    affinity = "variables.pod.?affinity.?nodeAffinity"
    required = f"{affinity}.?requiredDuringSchedulingIgnoredDuringExecution.?nodeSelectorTerms.orValue([])"
    preferred = (
        f"{affinity}.?preferredDuringSchedulingIgnoredDuringExecution.orValue([]).map(p, p.preference)"
    )
    # Of Jobs that a CronJob makes it is the owner.
    owners = "all(o, o.kind == 'CronJob')" if args.cron_jobs else "size() == 0"
    return (
        *_images(args),
        Rule(
            "priority-class",
            f"variables.pod.?priorityClassName.orValue('') in {priorities}",
            "the job names a priority class that kbatch.jobs.priorityClasses does not list; leave it out",
        ),
        Rule(
            "runtime-class",
            f"variables.pod.?runtimeClassName.orValue('') in {classes}",
            "the runtime class is the platform's to choose; leave runtimeClassName out",
        ),
        Rule(
            "scheduler",
            f"variables.pod.?schedulerName.orValue('default-scheduler') in {schedulers}",
            "the scheduler is the platform's to choose; leave schedulerName out",
        ),
        Rule(
            "node-selector",
            f"variables.pod.?nodeSelector.orValue({{}}).all(key, key in {nodes})",
            "nodeSelector names a label that no profile names; choose a profile",
        ),
        Rule(
            "node-affinity",
            f"{_terms(required, nodes)} && {_terms(preferred, nodes)}",
            "nodeAffinity names a node or a label that no profile names; choose a profile",
        ),
        Rule(
            "tolerations",
            f"variables.pod.?tolerations.orValue([]).all(t, t.?key.orValue('') in {taints})",
            "a toleration names a taint that no profile names; choose a profile",
        ),
        Rule(
            "time-to-live",
            "variables.job.?ttlSecondsAfterFinished.orValue(-1) >= 0 && "
            f"variables.job.?ttlSecondsAfterFinished.orValue(-1) <= {args.job_ttl_seconds}",
            f"finished jobs are kept for at most {args.job_ttl_seconds} seconds; set ttlSecondsAfterFinished",
        ),
        Rule(
            "pods",
            " && ".join(
                f"variables.job.?{field}.orValue(0) <= {args.jobs.max_pods}"
                for field in ("parallelism", "completions", "backoffLimit")
            ),
            f"parallelism, completions and backoffLimit are at most {args.jobs.max_pods}; make them smaller",
        ),
        *(
            Rule(
                f"foreign-{kind}",
                _known_keys(args, kind),
                f"a key of {kind} is of a domain that others than jobs go by; remove it, or have the domain "
                "listed in kbatch.jobs.metadataDomains",
            )
            for kind in ("labels", "annotations")
        ),
        Rule(
            "owners",
            f"request.operation != 'CREATE' || object.metadata.?ownerReferences.orValue([]).{owners}",
            "a job belongs to its user; remove ownerReferences",
        ),
    )


def _known_keys(args: KbatchProxyArgs, kind: str) -> str:
    """That labels or annotations of a new job and its Pods are of domains that nothing else goes by.

    Network plugins, device plugins, queues and webhooks take their orders from annotations and labels, all of
    them with a domain; keys without one are users' own.
    """
    domains = listed((*_DOMAINS, *args.jobs.metadata_domains))
    set_here = config.dynamic_labels(args.namespace) if args.dynamic_users and kind == "labels" else ()
    keys = listed((*set_here, *kbatch_template.metadata_keys(args.job_template, kind)))
    known = f"!key.contains('/') || key.split('/')[0] in {domains} || key in {keys}"
    places = (f"variables.{kind}", f"object.metadata.?{kind}.orValue({{}})")
    all_known = " && ".join(f"{place}.all(key, {known})" for place in places)
    return f"request.operation != 'CREATE' || ({all_known})"


def _images(args: KbatchProxyArgs) -> tuple[Rule, ...]:
    if not args.jobs.allowed_images:
        return ()
    return (
        Rule(
            "images",
            each(" || ".join(_image(name) for name in (*args.jobs.allowed_images, args.jobs.code_image))),
            f"the image is none of {', '.join(args.jobs.allowed_images)}; use one of these",
        ),
    )


def _image(allowed: str) -> str:
    """That an image is of a place or a repository, or this very one; the beginning of a name is neither."""
    image = "c.?image.orValue('')"
    if allowed.endswith(("/", ":", "@")):
        return f"{image}.startsWith({json.dumps(allowed)})"
    rest = " || ".join(f"{image}.startsWith({json.dumps(allowed + mark)})" for mark in "/:@")
    return f"{image} == {json.dumps(allowed)} || {rest}"
