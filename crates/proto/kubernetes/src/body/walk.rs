//! Where in an object facts stand.
//!
//! A member is looked at by its name **wherever it stands**: a pod's parts are in deployments, jobs, cron jobs, templates and
//! in the kinds of operators, and a list of where would have a gap. So a fact may be found that is none (a custom kind with a
//! member `hostPath` of its own); none is missed of what is put there. Not looked at: labels and annotations, the content of a config map or secret, and schemas of custom kinds.
//!
//! A patch may also take away or loosen what stands there. Said is what it does so to the members that confine, and to commands and their
//! arguments. **Not said**: that a variable or a mount is taken away; what a whole object, or a part of one with images in it, no longer has; and
//! what an apply takes away since its manager said it before and does not now.
//!
//! **Not known**: what an operator makes of its own kinds under names of its own (`containerImage`).

use super::Form;
use super::facts::Fact;
use crate::fault::{self as why, Reason};
use crate::limits::{FACT_BYTES_MAX, FACTS_BYTES_MAX, FACTS_MAX};
use crate::request::Object;
use json::{Kind, Value, folds};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Collects facts of one body.
pub(super) struct Walk<'o> {
    object: &'o Object,
    form: Form,
    /// Of all texts of facts that were found, those that were found before among them.
    bytes: usize,
    pub facts: BTreeSet<Fact>,
}

type Members<'a> = [(Cow<'a, str>, Value<'a>)];

/// What is around a member.
#[derive(Clone, Copy)]
struct Around<'n> {
    /// The name that the object stands under, or the list that it stands in. Empty: it is the whole.
    under: &'n str,
    /// Whether the container says which image it is.
    of_image: bool,
    /// Whether a pointer of a JSON patch goes through the object: what is beside the member stays.
    led: bool,
}

/// Names that mean something: another spelling of the same letters is refused, since some readers do not mind case.
const NAMES: [&str; 48] = [
    "add",
    "aggregationRule",
    "allowPrivilegeEscalation",
    "appArmorProfile",
    "args",
    "capabilities",
    "command",
    "configMap",
    "configMapKeyRef",
    "configMapRef",
    "env",
    "envFrom",
    "ephemeralContainers",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPath",
    "hostPort",
    "hostProcess",
    "image",
    "imagePullSecrets",
    "local",
    "nodeName",
    "persistentVolumeClaim",
    "privileged",
    "procMount",
    "roleRef",
    "rules",
    "runAsUser",
    "seLinuxOptions",
    "seccompProfile",
    "secret",
    "secretKeyRef",
    "secretName",
    "secretRef",
    "secrets",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "serviceAccountToken",
    "subjects",
    "sysctls",
    "volumeDevices",
    "volumeMounts",
    "volumes",
    "workingDir",
    "metadata",
    "spec",
];

/// Kinds of volumes that stay in the cluster, or that are looked at by name.
const VOLUMES: [&str; 10] = [
    "name",
    "emptyDir",
    "configMap",
    "secret",
    "projected",
    "downwardAPI",
    "persistentVolumeClaim",
    "ephemeral",
    "hostPath",
    "image",
];

/// Members whose names are somebody's own.
const MAPS: [&str; 5] = ["labels", "annotations", "matchLabels", "nodeSelector", "selector"];

/// Members that are lists wherever the API's own kinds have them.
const LISTS: [&str; 6] = ["ephemeralContainers", "volumes", "imagePullSecrets", "sysctls", "env", "envFrom"];

/// Members that confine a container.
const CONFINES: [&str; 4] = ["securityContext", "seccompProfile", "appArmorProfile", "capabilities"];

/// Members of a container that say what runs in it, or put other files in the place of the image's.
const RUNS: [&str; 7] = ["command", "args", "workingDir", "env", "envFrom", "volumeMounts", "volumeDevices"];

/// Members of a container that say what the image runs: they change it with whatever is done to them.
const COMMANDS: [&str; 2] = ["command", "args"];

/// Members of a container, and what is in those, that have commands of their own, which run in its image.
const HOOKS: [&str; 7] =
    ["exec", "lifecycle", "livenessProbe", "postStart", "preStop", "readinessProbe", "startupProbe"];

/// Members of what confines that are rights: without them it confines more.
const RIGHTS: [&str; 5] = ["add", "hostProcess", "privileged", "procMount", "sysctls"];

/// Objects of which a directive says which members stay, since they are one of several kinds.
const RETAINED: [&str; 3] = ["strategy", "updateStrategy", "volumes"];

fn says_image(members: &Members<'_>) -> bool {
    members.iter().any(|(name, value)| name == "image" && matches!(value.kind, Kind::Text(_)))
}

/// Whether a patch takes away what is in a member that confines: something in it is null, or a directive says how much of it stays.
fn takes_away(name: &str, value: &Value<'_>) -> bool {
    match &value.kind {
        Kind::Null => !RIGHTS.contains(&name),
        Kind::Object(members) => {
            members.iter().any(|(name, value)| name.starts_with('$') || takes_away(name, value))
        }
        Kind::Array(items) => items.iter().any(|item| takes_away(name, item)),
        Kind::Bool(_) | Kind::Number | Kind::Text(_) => false,
    }
}

/// Whether a value of a member that confines may confine less than what stood there. What is a fact of its own is none here. `led`: as
/// [`Around`] has it; a value that is put there then takes the place of all that stood there.
fn loosens(name: &str, value: &Value<'_>, led: bool) -> bool {
    let whole = led && !is_led(value);
    match (name, &value.kind) {
        ("add" | "hostProcess" | "privileged" | "procMount" | "sysctls" | "allowPrivilegeEscalation", _) => {
            false
        }
        // Whose files it may use: that it is not root is said beside it.
        ("runAsUser" | "runAsGroup" | "fsGroup" | "fsGroupChangePolicy" | "supplementalGroups", _) => false,
        ("runAsNonRoot" | "readOnlyRootFilesystem", kind) => !matches!(kind, Kind::Bool(true)),
        ("drop", kind) => !drops_all(kind),
        ("seccompProfile" | "appArmorProfile", Kind::Object(members)) => {
            !has(members, "type", |kind| matches!(kind, Kind::Text(of) if is_a_profile(of)))
        }
        ("seLinuxOptions", Kind::Object(members)) => members.is_empty(),
        ("securityContext" | "capabilities" | "windowsOptions", Kind::Object(members)) => {
            whole && !confines(name, members)
                || members.iter().any(|(name, inner)| loosens(name, inner, is_led(value)))
        }
        // No confinement of the API's own.
        (name, _) if CONFINES.contains(&name) => false,
        _ => true,
    }
}

/// Whether a value says by itself all that may be confined there.
fn confines(name: &str, members: &Members<'_>) -> bool {
    const ALL: [&str; 4] =
        ["allowPrivilegeEscalation", "readOnlyRootFilesystem", "runAsNonRoot", "seccompProfile"];
    let drops = |members: &Members<'_>| has(members, "drop", drops_all);
    match name {
        "capabilities" => drops(members),
        "securityContext" => {
            ALL.iter().all(|all| has(members, all, |_| true))
                && has(members, "capabilities", |kind| matches!(kind, Kind::Object(inner) if drops(inner)))
        }
        _ => false,
    }
}

fn has(members: &Members<'_>, name: &str, is: impl Fn(&Kind<'_>) -> bool) -> bool {
    members.iter().any(|(one, value)| one == name && is(&value.kind))
}

fn drops_all(kind: &Kind<'_>) -> bool {
    let all = |item: &Value<'_>| matches!(&item.kind, Kind::Text(text) if text == "ALL");
    matches!(kind, Kind::Array(items) if items.iter().any(all))
}

/// The runtime's own, or none, which is a fact of its own.
fn is_a_profile(of: &str) -> bool {
    matches!(of, "RuntimeDefault" | "Unconfined")
}

/// Whether a value is none of a JSON patch's own but built for a pointer, to what is put or removed: it has no text.
fn is_led(value: &Value<'_>) -> bool {
    value.raw.is_empty()
}

/// Whether a JSON patch removes what stands there. Null that is put there is a value: of a text, to the server, the empty one.
fn is_removed(value: &Value<'_>) -> bool {
    is_led(value) && matches!(value.kind, Kind::Null)
}

/// Whether an object says that it names a secret.
fn is_a_secret(members: &Members<'_>) -> bool {
    members
        .iter()
        .any(|(name, value)| name == "kind" && matches!(&value.kind, Kind::Text(kind) if kind == "Secret"))
}

impl<'o> Walk<'o> {
    pub(super) fn new(object: &'o Object, form: Form) -> Walk<'o> {
        Walk { object, form, bytes: 0, facts: BTreeSet::new() }
    }

    /// Looks at a whole object, or a part of it from its root on.
    ///
    /// Errors: a member that is not what its name says, or is spelled in another case; too many facts.
    pub(super) fn root(&mut self, value: &Value<'_>) -> Result<(), Reason> {
        let Kind::Object(members) = &value.kind else { return Err(why::NO_OBJECT) };
        if self.object.group == "rbac.authorization.k8s.io" {
            return self.rbac(members);
        }
        if self.is_secret() {
            self.credential(value)?;
        }
        let schema = self.object.group == "apiextensions.k8s.io";
        let content = self.object.is_core("secrets") || self.object.is_core("configmaps");
        match schema || content {
            true => Ok(()),
            false => self.members(members, "", false, is_led(value)),
        }
    }

    /// The members of an object that stands under a name. `hooks`: it is a part of a container that says its image.
    fn members(&mut self, members: &Members<'_>, under: &str, hooks: bool, led: bool) -> Result<(), Reason> {
        // The API's own containers stand in lists.
        let of_image = hooks || !self.object.is_builtin() && says_image(members);
        self.each(members, Around { under, of_image, led })
    }

    fn each(&mut self, members: &Members<'_>, around: Around<'_>) -> Result<(), Reason> {
        for (name, value) in members {
            // How to put there what stands beside it.
            if self.is_directive(name) {
                self.directive(name, around)?;
                continue;
            }
            let name = self.spelled(name)?;
            self.member(name, value, around)?;
            match &value.kind {
                Kind::Object(inner) if MAPS.contains(&name) && flat(inner) => self.annotated(inner)?,
                Kind::Object(inner) => {
                    let hooks = around.of_image && HOOKS.contains(&name);
                    self.members(inner, name, hooks, is_led(value))?;
                }
                Kind::Array(items) => self.items(items, name)?,
                Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Text(_) => {}
            }
        }
        Ok(())
    }

    fn items(&mut self, items: &[Value<'_>], under: &str) -> Result<(), Reason> {
        for item in items {
            match &item.kind {
                Kind::Object(inner) => {
                    let around = Around { under, of_image: says_image(inner), led: is_led(item) };
                    self.each(inner, around)?;
                }
                Kind::Array(items) => self.items(items, under)?,
                Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Text(_) => {}
            }
        }
        Ok(())
    }

    /// A directive that changes what is not said beside it.
    fn directive(&mut self, name: &str, around: Around<'_>) -> Result<(), Reason> {
        let list = name.split_once('/').map(|(_, list)| list);
        if list.is_some_and(|list| COMMANDS.iter().any(|known| folds(list, known))) && !around.of_image {
            self.add(Fact::Runs)?;
        }
        if name == "$retainKeys" && !RETAINED.contains(&around.under) {
            self.add(Fact::Unconfined("securityContext"))?;
            self.add(Fact::Runs)?;
        }
        Ok(())
    }

    /// Whether it is a directive, which strategic patches alone have: elsewhere it is a member like others.
    fn is_directive(&self, name: &str) -> bool {
        self.form == Form::StrategicPatch && name.starts_with('$')
    }

    /// The name that is known by these letters, or the name. Errors: the API's own kinds have it in another case. An operator may
    /// read its kinds either way.
    fn spelled<'n>(&self, name: &'n str) -> Result<&'n str, Reason> {
        match NAMES.iter().find(|known| folds(name, known)) {
            Some(known) if *known != name && self.object.is_builtin() => Err(why::ANOTHER_CASE),
            known => Ok(known.copied().unwrap_or(name)),
        }
    }

    /// One member, by its name.
    fn member(&mut self, name: &str, value: &Value<'_>, around: Around<'_>) -> Result<(), Reason> {
        if self.form.patches() && CONFINES.contains(&name) && self.unconfines(name, value, around) {
            self.add(Fact::Unconfined("securityContext"))?;
        }
        // One who says the image may say what it runs.
        if self.form.patches() && RUNS.contains(&name) && !around.of_image && self.changes(name, value) {
            self.add(Fact::Runs)?;
        }
        match (name, &value.kind) {
            (_, Kind::Null) => Ok(()),
            (name, Kind::Object(_)) if LISTS.contains(&name) && self.object.is_builtin() => {
                Err(why::WRONG_TYPE)
            }
            ("hostNetwork", _) => self.flag(value, Fact::HostNetwork),
            ("hostPID", _) => self.flag(value, Fact::HostPid),
            ("hostIPC", _) => self.flag(value, Fact::HostIpc),
            ("privileged", _) => self.flag(value, Fact::Privileged),
            ("allowPrivilegeEscalation", _) => self.flag(value, Fact::PrivilegeEscalation),
            ("hostProcess", _) => self.flag(value, Fact::HostProcess),
            ("hostPort", _) => self.host_port(value),
            ("runAsUser", Kind::Number) if zero(value.raw) => self.add(Fact::Root),
            ("procMount", Kind::Text(text)) if text != "Default" => self.add(Fact::Unconfined("procMount")),
            ("seccompProfile", Kind::Object(inner)) => self.profile(inner, Fact::Unconfined("seccomp")),
            ("appArmorProfile", Kind::Object(inner)) => self.profile(inner, Fact::Unconfined("apparmor")),
            ("seLinuxOptions", Kind::Object(inner)) if !inner.is_empty() => {
                self.add(Fact::Unconfined("selinux"))
            }
            ("ephemeralContainers", Kind::Array(items)) if !items.is_empty() => {
                self.add(Fact::EphemeralContainer)
            }
            ("serviceAccountToken", Kind::Object(_)) => self.add(Fact::Token),
            ("volumes", Kind::Array(items)) => self.volumes(items),
            ("capabilities" | "sysctls" | "env", _) => self.listed(name, value),
            _ => self.reference(name, value),
        }
    }

    /// Whether a patch may take away what confines. One who says the image may say how it is confined, as in a whole object, but not by
    /// taking away; and so may one who puts a larger part there, which has an image in it.
    fn unconfines(&self, name: &str, value: &Value<'_>, around: Around<'_>) -> bool {
        let of_whole = around.of_image || self.form == Form::JsonPatch && !around.led;
        takes_away(name, value) || !of_whole && loosens(name, value, around.led)
    }

    /// Whether a patch changes with a member what runs. Of a command that is anything; variables and mounts are put there, and nothing is
    /// where they are null, an empty list, or one of what is deleted alone.
    fn changes(&self, name: &str, value: &Value<'_>) -> bool {
        match &value.kind {
            _ if COMMANDS.contains(&name) => true,
            Kind::Null => false,
            Kind::Array(items) => !items.iter().all(|item| self.deletes(name, item)),
            Kind::Bool(_) | Kind::Number | Kind::Text(_) | Kind::Object(_) => true,
        }
    }

    /// Whether an item of a list is taken from it: in lists that strategic patches merge, by the one member that tells it from others. Where
    /// there is no list yet, some servers put the item there as it stands.
    fn deletes(&self, list: &str, item: &Value<'_>) -> bool {
        match &item.kind {
            Kind::Null => true,
            Kind::Object(members) => {
                let patch = |kind: &Kind<'_>| matches!(kind, Kind::Text(text) if text == "delete");
                self.form == Form::StrategicPatch
                    && matches!(list, "env" | "volumeMounts" | "volumeDevices")
                    && has(members, "$patch", patch)
                    && members.len() <= 2
                    && flat(members)
            }
            Kind::Bool(_) | Kind::Number | Kind::Text(_) | Kind::Array(_) => false,
        }
    }

    /// What names an image, a path, a node or another object.
    fn reference(&mut self, name: &str, value: &Value<'_>) -> Result<(), Reason> {
        match (name, &value.kind) {
            ("image", Kind::Text(text)) => self.add(Fact::Image(text.to_string())),
            ("image", Kind::Object(inner)) if inner.iter().any(|(name, _)| folds(name, "reference")) => {
                self.named(inner, &["reference"], Fact::Image)
            }
            // A custom kind's, in parts: which image it is cannot be said.
            ("image", Kind::Object(_)) => self.add(Fact::Image(String::new())),
            ("hostPath", Kind::Text(text)) => self.add(Fact::HostPath(text.to_string())),
            ("hostPath" | "local", Kind::Object(inner)) => self.named(inner, &["path"], Fact::HostPath),
            ("nodeName", Kind::Text(text)) if !text.is_empty() => self.add(Fact::Node(text.to_string())),
            ("serviceAccount" | "serviceAccountName", Kind::Text(text)) if !text.is_empty() => {
                self.add(Fact::ServiceAccount(text.to_string()))
            }
            ("persistentVolumeClaim", Kind::Object(inner)) => self.named(inner, &["claimName"], Fact::Claim),
            ("configMap" | "configMapRef" | "configMapKeyRef", Kind::Object(inner)) => {
                self.named(inner, &["name"], Fact::ConfigMap)
            }
            (_, Kind::Text(text)) if is_a_secrets_name(name) && !text.is_empty() => {
                self.add(Fact::Secret(text.to_string()))
            }
            (_, Kind::Object(_) | Kind::Array(_)) if names_a_secret(name) => self.secret(value),
            ("azureFile", Kind::Object(_)) => self.secret(value),
            (_, Kind::Object(inner)) if is_a_secret(inner) => self.secret(value),
            (_, Kind::Array(items)) => items.iter().try_for_each(|item| match &item.kind {
                Kind::Object(inner) if is_a_secret(inner) => self.secret(item),
                _ => Ok(()),
            }),
            _ => Ok(()),
        }
    }

    /// An object that names a secret, or a list of them. A text alone may be a secret itself, and is none that is said.
    fn secret(&mut self, value: &Value<'_>) -> Result<(), Reason> {
        match &value.kind {
            Kind::Object(inner) => {
                let named =
                    |name: &str| inner.iter().any(|(n, v)| n == name && matches!(v.kind, Kind::Text(_)));
                if !named("name") && !named("secretName") {
                    return Ok(());
                }
                // One of another namespace has that beside its name.
                let text = |name: &str| {
                    inner.iter().find_map(|(n, value)| match &value.kind {
                        Kind::Text(text) if n == name && !text.is_empty() => Some(text.to_string()),
                        _ => None,
                    })
                };
                let elsewhere = text("namespace").or_else(|| text("secretNamespace"));
                match (elsewhere, text("name").or_else(|| text("secretName"))) {
                    (Some(namespace), Some(name)) => self.add(Fact::SecretOf { namespace, name }),
                    _ => self.named(inner, &["name", "secretName"], Fact::Secret),
                }
            }
            Kind::Array(items) => {
                let objects = items.iter().filter(|item| matches!(item.kind, Kind::Object(_)));
                objects.into_iter().try_for_each(|item| self.secret(item))
            }
            Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Text(_) => Ok(()),
        }
    }

    /// A secret that the cluster puts a token into, or that lets its bearer in: it says whom by an annotation, or nobody knows.
    fn credential(&mut self, value: &Value<'_>) -> Result<(), Reason> {
        const OF: &str = "kubernetes.io/service-account.name";
        let top = value.object()?;
        let annotations = top.object("metadata")?.map(|metadata| metadata.object("annotations"));
        let of = annotations.transpose()?.flatten().map(|annotations| annotations.text(OF));
        match (of.transpose()?.flatten(), top.text("type")?) {
            (Some(name), _) => self.add(Fact::Credential(name.to_owned())),
            (None, Some("kubernetes.io/service-account-token" | "bootstrap.kubernetes.io/token")) => {
                self.add(Fact::Credential(String::new()))
            }
            (None, _) => Ok(()),
        }
    }

    /// Whether the object is a secret.
    pub(super) fn is_secret(&self) -> bool {
        self.object.is_core("secrets")
    }

    /// A fact for each text that stands under one of `names`.
    fn named(
        &mut self,
        members: &Members<'_>,
        names: &[&str],
        fact: fn(String) -> Fact,
    ) -> Result<(), Reason> {
        for (name, value) in members {
            match names.iter().find(|known| folds(name, known)) {
                None => continue,
                Some(known) if *known != &**name && self.object.is_builtin() => {
                    return Err(why::ANOTHER_CASE);
                }
                Some(_) => {}
            }
            match &value.kind {
                Kind::Text(text) => self.add(fact(text.to_string()))?,
                Kind::Null => {}
                Kind::Bool(_) | Kind::Number | Kind::Array(_) | Kind::Object(_) => self.wrong_type()?,
            }
        }
        Ok(())
    }

    /// A member that is not what its name says is none that is looked for where a kind is somebody's own. Errors: it is the API's.
    fn wrong_type(&self) -> Result<(), Reason> {
        if self.object.is_builtin() { Err(why::WRONG_TYPE) } else { Ok(()) }
    }

    /// What is null is taken away, or means nothing.
    fn listed(&mut self, name: &str, value: &Value<'_>) -> Result<(), Reason> {
        match (name, &value.kind) {
            ("capabilities", Kind::Object(members)) => {
                for (name, value) in members {
                    if self.spelled(name)? == "add" {
                        self.texts(value, Fact::Capability)?;
                    }
                }
            }
            ("sysctls", Kind::Array(items)) => {
                for item in items {
                    match &item.kind {
                        Kind::Object(inner) => self.named(inner, &["name"], Fact::Sysctl)?,
                        Kind::Null => {}
                        Kind::Text(text) if !self.object.is_builtin() => {
                            let name = text.split('=').next().unwrap_or_default();
                            self.add(Fact::Sysctl(name.to_owned()))?;
                        }
                        _ => self.wrong_type()?,
                    }
                }
            }
            // The API's own are a list.
            ("sysctls", Kind::Object(members)) => {
                for (name, _) in members.iter().filter(|(_, value)| !matches!(value.kind, Kind::Bool(_))) {
                    self.add(Fact::Sysctl(name.to_string()))?;
                }
            }
            ("env", Kind::Array(items)) => {
                for item in items {
                    self.env(item)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A fact for each text of a list.
    fn texts(&mut self, value: &Value<'_>, fact: fn(String) -> Fact) -> Result<(), Reason> {
        match &value.kind {
            Kind::Null => Ok(()),
            Kind::Array(items) => items.iter().try_for_each(|item| match &item.kind {
                Kind::Text(text) => self.add(fact(text.to_string())),
                Kind::Null => Ok(()),
                _ => self.wrong_type(),
            }),
            Kind::Text(text) if !self.object.is_builtin() => self.add(fact(text.to_string())),
            _ => self.wrong_type(),
        }
    }

    fn env(&mut self, item: &Value<'_>) -> Result<(), Reason> {
        let Kind::Object(inner) = &item.kind else { return Ok(()) };
        let literal =
            inner.iter().any(|(name, value)| name == "value" && matches!(value.kind, Kind::Text(_)));
        if literal { self.named(inner, &["name"], Fact::Env) } else { Ok(()) }
    }

    /// Volumes of kinds that lead out of the cluster, or that are not known.
    fn volumes(&mut self, items: &[Value<'_>]) -> Result<(), Reason> {
        for item in items {
            let Kind::Object(inner) = &item.kind else { continue };
            for (name, value) in inner {
                if value.is_structured() && !VOLUMES.contains(&&**name) && !self.is_directive(name) {
                    self.add(Fact::Volume(name.to_string()))?;
                }
            }
        }
        Ok(())
    }

    fn profile(&mut self, members: &Members<'_>, fact: Fact) -> Result<(), Reason> {
        let unconfined = |kind: &Kind<'_>| matches!(kind, Kind::Text(of) if of == "Unconfined");
        for (name, value) in members.iter().filter(|(name, _)| folds(name, "type")) {
            match &value.kind {
                _ if name != "type" && self.object.is_builtin() => return Err(why::ANOTHER_CASE),
                kind if unconfined(kind) => self.add(fact.clone())?,
                Kind::Text(_) | Kind::Null => {}
                _ => self.wrong_type()?,
            }
        }
        Ok(())
    }

    /// Confinement was said in annotations before it had members.
    fn annotated(&mut self, annotations: &Members<'_>) -> Result<(), Reason> {
        for (name, value) in annotations {
            let without = match &value.kind {
                Kind::Text(text) => text == "unconfined",
                Kind::Null => self.form.patches(),
                Kind::Bool(_) | Kind::Number | Kind::Array(_) | Kind::Object(_) => false,
            };
            let of = |prefix: &str| name.starts_with(prefix) && without;
            if of("container.apparmor.security.beta.kubernetes.io/") {
                self.add(Fact::Unconfined("apparmor"))?;
            }
            if of("seccomp.security.alpha.kubernetes.io/")
                || of("container.seccomp.security.alpha.kubernetes.io/")
            {
                self.add(Fact::Unconfined("seccomp"))?;
            }
        }
        Ok(())
    }

    fn host_port(&mut self, value: &Value<'_>) -> Result<(), Reason> {
        match &value.kind {
            Kind::Number if zero(value.raw) => Ok(()),
            Kind::Number => self.add(Fact::HostPort(value.raw.to_owned())),
            _ if self.object.is_builtin() => Err(why::WRONG_TYPE),
            _ if !is_on(value) => Ok(()),
            Kind::Object(members) => members.iter().try_for_each(|(_, inner)| self.host_port(inner)),
            Kind::Array(items) => items.iter().try_for_each(|item| self.host_port(item)),
            Kind::Text(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                self.add(Fact::HostPort(text.to_string()))
            }
            Kind::Null | Kind::Bool(_) | Kind::Text(_) => self.add(Fact::HostPort(String::new())),
        }
    }

    fn flag(&mut self, value: &Value<'_>, fact: Fact) -> Result<(), Reason> {
        match &value.kind {
            Kind::Bool(_) => {}
            _ => self.wrong_type()?,
        }
        if is_on(value) { self.add(fact) } else { Ok(()) }
    }

    fn rbac(&mut self, members: &Members<'_>) -> Result<(), Reason> {
        for (name, value) in members {
            self.spelled(name)?;
            match (&**name, &value.kind) {
                ("aggregationRule", Kind::Object(_)) => self.add(Fact::Aggregates)?,
                ("rules", Kind::Array(items)) => there(items).try_for_each(|rule| self.rule(rule))?,
                ("roleRef", Kind::Object(_)) => {
                    let role = value.object()?;
                    let (kind, name) =
                        (role.text_or_empty("kind")?.to_owned(), role.text_or_empty("name")?.to_owned());
                    self.add(Fact::Role { kind, name })?;
                }
                ("subjects", Kind::Array(items)) => there(items).try_for_each(|one| self.subject(one))?,
                ("aggregationRule" | "rules" | "roleRef" | "subjects", Kind::Null) => {}
                ("aggregationRule" | "rules" | "roleRef" | "subjects", _) => return Err(why::WRONG_TYPE),
                _ => {}
            }
        }
        Ok(())
    }

    fn subject(&mut self, value: &Value<'_>) -> Result<(), Reason> {
        let one = value.object()?;
        self.add(Fact::Subject {
            kind: one.text_or_empty("kind")?.to_owned(),
            namespace: one.text("namespace")?.filter(|text| !text.is_empty()).map(str::to_owned),
            name: one.text_or_empty("name")?.to_owned(),
        })
    }

    /// Each verb on each kind, or path. Of a patch a rule may be a part: what it does not say is all.
    fn rule(&mut self, value: &Value<'_>) -> Result<(), Reason> {
        let rule = value.object()?;
        if is_led(value) && rule.members().iter().all(|(name, value)| takes_rights(name, value)) {
            return Ok(());
        }
        let texts = |name: &str| -> Result<Vec<String>, Reason> {
            there(rule.items(name)?).map(|item| Ok(item.text()?.to_owned())).collect()
        };
        let or_all = |texts: Vec<String>| if texts.is_empty() { vec!["*".to_owned()] } else { texts };
        let (verbs, groups) = (or_all(texts("verbs")?), texts("apiGroups")?);
        let (resources, paths) = (texts("resources")?, texts("nonResourceURLs")?);
        let kinds = match (resources.is_empty(), paths.is_empty()) {
            (true, false) => Vec::new(),
            (_, _) => or_all(resources),
        };
        let groups = if groups.is_empty() { vec!["*".to_owned()] } else { groups };
        for verb in &verbs {
            for path in &paths {
                self.add(Fact::Grant { verb: verb.clone(), on: path.clone() })?;
            }
            for (kind, group) in kinds.iter().flat_map(|kind| groups.iter().map(move |group| (kind, group))) {
                let on = if group.is_empty() { kind.clone() } else { format!("{kind}.{group}") };
                self.add(Fact::Grant { verb: verb.clone(), on })?;
            }
        }
        Ok(())
    }

    fn add(&mut self, fact: Fact) -> Result<(), Reason> {
        for text in fact.texts() {
            if text.len() > FACT_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(why::BAD_FACT);
            }
            self.bytes += text.len();
        }
        self.facts.insert(fact);
        match self.facts.len() > FACTS_MAX || self.bytes > FACTS_BYTES_MAX {
            true => Err(why::TOO_MANY_FACTS),
            false => Ok(()),
        }
    }
}

/// `secret`, `secretRef`, `imagePullSecrets`, `nodePublishSecretRef`, an operator's `credentialsSecret`.
fn names_a_secret(name: &str) -> bool {
    json::folded(name).contains("secret")
}

/// Whether a text under this name is a secret's name and not a secret (`clientSecret`): `secretName`, `tlsSecretRef`.
fn is_a_secrets_name(name: &str) -> bool {
    let name = json::folded(name);
    name.ends_with("secretname") || name.ends_with("secretref")
}

/// What of a list stays when a JSON patch takes something from it.
fn there<'v, 'a>(items: &'v [Value<'a>]) -> impl Iterator<Item = &'v Value<'a>> {
    items.iter().filter(|item| !is_removed(item))
}

/// Whether a JSON patch takes from a rule of a role what it permits. Without names of objects it permits more.
fn takes_rights(name: &str, value: &Value<'_>) -> bool {
    let taken = match &value.kind {
        Kind::Array(items) => is_led(value) && items.iter().all(is_removed),
        _ => is_removed(value),
    };
    taken && matches!(name, "apiGroups" | "nonResourceURLs" | "resources" | "verbs")
}

/// Whether a value says yes, or something in it does: an operator's own kinds have a switch in many forms, and one that is off says so by
/// `enabled`.
fn is_on(value: &Value<'_>) -> bool {
    match &value.kind {
        Kind::Null => false,
        Kind::Bool(flag) => *flag,
        Kind::Number => !zero(value.raw),
        Kind::Text(text) => !matches!(&*text.to_ascii_lowercase(), "" | "0" | "false" | "no" | "off" | "n"),
        Kind::Array(items) => items.iter().any(is_on),
        Kind::Object(members) => {
            let off = |kind: &Kind<'_>| matches!(kind, Kind::Bool(false));
            !has(members, "enabled", off) && members.iter().any(|(_, value)| is_on(value))
        }
    }
}

/// Whether all values of an object are texts and the like: then its names are somebody's own.
fn flat(members: &Members<'_>) -> bool {
    members.iter().all(|(_, value)| !value.is_structured())
}

/// Whether a number is 0, however it is written.
fn zero(raw: &str) -> bool {
    raw.parse::<f64>().is_ok_and(|number| number == 0.0)
}
