//! What a Table shows of an object beside its name and age: the API server writes its cells, and says of none which member it is
//! of.
//!
//! Spec: pkg/printers/internalversion/printers.go of Kubernetes 1.20 to 1.34, for kinds that people look at. A custom kind has the
//! columns that its definition says, and other servers have theirs: of those nothing is known.

use crate::request::Object;

/// The members, each one value, of which tables of such objects have cells, as pointers (RFC 6901) without escapes; `*` is any name, and 0 any index.
/// `None`: not known.
pub fn cells(object: &Object) -> Option<impl Iterator<Item = Vec<String>>> {
    if object.subresource.as_deref().is_some_and(|sub| sub != "status") {
        return None;
    }
    let own: &[&str] = match object.kind().as_str() {
        "pods" => &PODS,
        "services" => &SERVICES,
        "nodes" => &NODES,
        "events" => &EVENTS,
        "persistentvolumeclaims" => &CLAIMS,
        "namespaces" => &["status/phase"],
        "secrets" => &["type"],
        // What is counted is no value.
        "configmaps" | "serviceaccounts" => &[],
        "ingresses.networking.k8s.io" => &INGRESSES,
        "cronjobs.batch" => &CRON_JOBS,
        "deployments.apps" | "replicasets.apps" | "statefulsets.apps" | "daemonsets.apps" | "jobs.batch" => {
            &WORKLOADS
        }
        _ => return None,
    };
    let pointer = |text: &&str| text.split('/').map(str::to_owned).collect();
    Some(OF_ALL.iter().chain(own).map(pointer))
}

const OF_ALL: [&str; 4] =
    ["metadata/name", "metadata/namespace", "metadata/creationTimestamp", "metadata/deletionTimestamp"];

const PODS: [&str; 33] = [
    "spec/nodeName",
    "spec/readinessGates/0/conditionType",
    "spec/containers/0/name",
    "spec/initContainers/0/name",
    "spec/initContainers/0/restartPolicy",
    "status/phase",
    "status/reason",
    "status/podIP",
    "status/podIPs/0/ip",
    "status/nominatedNodeName",
    "status/conditions/0/type",
    "status/conditions/0/status",
    "status/conditions/0/reason",
    "status/containerStatuses/0/name",
    "status/containerStatuses/0/ready",
    "status/containerStatuses/0/started",
    "status/containerStatuses/0/restartCount",
    "status/containerStatuses/0/state/running/startedAt",
    "status/containerStatuses/0/state/waiting/reason",
    "status/containerStatuses/0/state/terminated/reason",
    "status/containerStatuses/0/state/terminated/signal",
    "status/containerStatuses/0/state/terminated/exitCode",
    "status/containerStatuses/0/lastState/terminated/finishedAt",
    "status/initContainerStatuses/0/name",
    "status/initContainerStatuses/0/ready",
    "status/initContainerStatuses/0/started",
    "status/initContainerStatuses/0/restartCount",
    "status/initContainerStatuses/0/state/running/startedAt",
    "status/initContainerStatuses/0/state/waiting/reason",
    "status/initContainerStatuses/0/state/terminated/reason",
    "status/initContainerStatuses/0/state/terminated/signal",
    "status/initContainerStatuses/0/state/terminated/exitCode",
    "status/initContainerStatuses/0/lastState/terminated/finishedAt",
];

const WORKLOADS: [&str; 29] = [
    "spec/replicas",
    "spec/completions",
    "spec/parallelism",
    "spec/suspend",
    "spec/selector/matchLabels/*",
    "spec/selector/matchExpressions/0/key",
    "spec/selector/matchExpressions/0/operator",
    "spec/selector/matchExpressions/0/values/0",
    "spec/template/spec/nodeSelector/*",
    "spec/template/spec/containers/0/name",
    "spec/template/spec/containers/0/image",
    "status/replicas",
    "status/readyReplicas",
    "status/updatedReplicas",
    "status/availableReplicas",
    "status/desiredNumberScheduled",
    "status/currentNumberScheduled",
    "status/numberReady",
    "status/updatedNumberScheduled",
    "status/numberAvailable",
    "status/active",
    "status/ready",
    "status/succeeded",
    "status/failed",
    "status/startTime",
    "status/completionTime",
    "status/conditions/0/type",
    "status/conditions/0/status",
    "status/conditions/0/reason",
];

const CRON_JOBS: [&str; 12] = [
    "spec/schedule",
    "spec/timeZone",
    "spec/suspend",
    "status/active",
    "status/lastScheduleTime",
    "spec/jobTemplate/spec/selector/matchLabels/*",
    "spec/jobTemplate/spec/selector/matchExpressions/0/key",
    "spec/jobTemplate/spec/selector/matchExpressions/0/operator",
    "spec/jobTemplate/spec/selector/matchExpressions/0/values/0",
    "spec/jobTemplate/spec/template/spec/containers/0/name",
    "spec/jobTemplate/spec/template/spec/containers/0/image",
    "metadata/labels/*",
];

const SERVICES: [&str; 13] = [
    "spec/type",
    "spec/clusterIP",
    "spec/clusterIPs/0",
    "spec/externalIPs/0",
    "spec/externalName",
    "spec/ports/0/name",
    "spec/ports/0/port",
    "spec/ports/0/nodePort",
    "spec/ports/0/protocol",
    "spec/selector/*",
    "status/loadBalancer/ingress/0/ip",
    "status/loadBalancer/ingress/0/hostname",
    "spec/loadBalancerIP",
];

const NODES: [&str; 10] = [
    "metadata/labels/*",
    "spec/unschedulable",
    "status/conditions/0/type",
    "status/conditions/0/status",
    "status/addresses/0/type",
    "status/addresses/0/address",
    "status/nodeInfo/kubeletVersion",
    "status/nodeInfo/osImage",
    "status/nodeInfo/kernelVersion",
    "status/nodeInfo/containerRuntimeVersion",
];

const EVENTS: [&str; 28] = [
    "firstTimestamp",
    "lastTimestamp",
    "eventTime",
    "count",
    "type",
    "reason",
    "message",
    "note",
    "action",
    "series/count",
    "series/lastObservedTime",
    "source/component",
    "source/host",
    "deprecatedSource/component",
    "deprecatedSource/host",
    "deprecatedFirstTimestamp",
    "deprecatedLastTimestamp",
    "deprecatedCount",
    "reportingComponent",
    "reportingController",
    "reportingInstance",
    "involvedObject/kind",
    "involvedObject/name",
    "involvedObject/fieldPath",
    "regarding/kind",
    "regarding/name",
    "regarding/fieldPath",
    "related/name",
];

const CLAIMS: [&str; 9] = [
    "spec/volumeName",
    "spec/storageClassName",
    "spec/volumeAttributesClassName",
    "spec/volumeMode",
    "spec/accessModes/0",
    "status/phase",
    "status/accessModes/0",
    "status/capacity/storage",
    "metadata/annotations/*",
];

const INGRESSES: [&str; 5] = [
    "spec/ingressClassName",
    "spec/rules/0/host",
    "status/loadBalancer/ingress/0/ip",
    "status/loadBalancer/ingress/0/hostname",
    "metadata/annotations/*",
];
