//! A cluster of Kubernetes, as the tests of what stands before one will find it.
//!
//! `cargo xtask test` runs these where `cargo xtask setup kubernetes` has built the programs.

mod node;

use crate::world::eventually;
use interop::kubernetes::{ADMIN, AGENT, Kubernetes, programs};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::{Finished, finish};
use serde_json::Value;

fn kubectl(cluster: &Kubernetes, who: &str, words: &[&str]) -> Finished {
    finish(&mut cluster.kubectl(who, words), b"", CLIENT_SECONDS_MAX).unwrap()
}

/// The events of a user's answered requests.
fn answered(cluster: &Kubernetes, user: &str) -> Vec<Value> {
    let log = cluster.audit().unwrap();
    // The last line may be in the writing.
    let events = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let events = events.map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["user"]["username"] == user && event["stage"] == "ResponseComplete").collect()
}

#[test]
fn a_cluster_answers_by_its_roles_and_its_audit_log_has_each_request_as_it_was_resolved() {
    let cluster = Kubernetes::start(&programs().unwrap()).unwrap();
    let made = kubectl(&cluster, ADMIN, &["create", "configmap", "c1", "--from-literal", "colour=blue"]);
    assert!(made.status.success(), "{}\n{}", made.all(), cluster.log());
    let read = kubectl(&cluster, ADMIN, &["get", "configmap", "c1", "-o", "jsonpath={.data.colour}"]);
    assert_eq!(read.out(), "blue", "{}", read.all());

    // Nobody has granted anything to the agent.
    let refused = kubectl(&cluster, AGENT, &["get", "configmap", "c1"]);
    assert!(!refused.status.success(), "{}", refused.all());
    assert!(refused.err().contains("Forbidden"), "{}", refused.all());

    let of = |user: &'static str, verb: &'static str, code: u64| {
        eventually("the request in the audit log", || {
            answered(&cluster, user).into_iter().find(|event| {
                let at = &event["objectRef"];
                event["verb"] == verb
                    && at["resource"] == "configmaps"
                    && at["namespace"] == "default"
                    && at["name"] == "c1"
                    && event["responseStatus"]["code"] == code
            })
        })
    };
    let created = of(ADMIN, "create", 201);
    assert_eq!(created["requestObject"]["data"]["colour"], "blue", "{created}");
    assert_eq!(of(ADMIN, "get", 200)["responseObject"]["data"]["colour"], "blue");
    let denied = of(AGENT, "get", 403);
    assert_eq!(denied["annotations"]["authorization.k8s.io/decision"], "forbid", "{denied}");
}
