//! What a real API server (kube-apiserver 1.20.2) wrote into its audit log of requests, held against our reading of them.
//!
//! Each line of `testdata/audit.tsv` is a method, a target and the audit event's `verb GROUP/VERSION NAMESPACE RESOURCE NAME
//! SUBRESOURCE`, or the verb alone of a request that is of no object; `-` where there was no event. Those
//! behind `!` we refuse: another reader than this server could take them for something else.

use proto_kubernetes::request::Request;

const AUDIT: &str = include_str!("../testdata/audit.tsv");

/// What we say of it, in the log's words. `None`: refused.
fn ours(method: &str, target: &str) -> Option<String> {
    let asked = match Request::parse(method.as_bytes(), target.as_bytes()).ok()? {
        Request::Path(..) => return Some(method.to_lowercase()),
        Request::Resource(asked) => asked,
    };
    let or = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
    let object = &asked.object;
    let (group, version) = (or(Some(&object.group)), &object.version);
    let (namespace, name) = (or(object.namespace.as_deref()), or(object.name.as_deref()));
    let (resource, subresource) = (&object.resource, or(object.subresource.as_deref()));
    Some(format!("{} {group}/{version} {namespace} {resource} {name} {subresource}", asked.verb.as_str()))
}

#[test]
fn a_real_server_read_each_request_as_we_do() {
    let (mut read, mut refused) = (0, 0);
    for line in AUDIT.lines() {
        let (line, expect_refusal) = line.strip_prefix('!').map_or((line, false), |line| (line, true));
        let [method, target, theirs] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let ours = ours(method, target);
        match expect_refusal {
            true => assert_eq!(ours, None, "{method} {target}"),
            false => assert_eq!(ours.as_deref(), Some(theirs), "{method} {target}"),
        }
        *(if expect_refusal { &mut refused } else { &mut read }) += 1;
    }
    assert_eq!((read, refused), (437, 19));
}
