//! A Kubernetes cluster (`kind = "kubernetes"`): a service over HTTP, of which it is known where secrets stand.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use relay::config::{ClusterService, Impersonate};
use vocab::Class;

use super::kubeconfig;
use super::raw::{RawImpersonate, RawMask, RawResource};
use super::resolve::Resolver;
use super::service::PathMask;

/// What says where a cluster is, how it is proved, and who the gateway is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// `upstream = "kubeconfig:FILE"`; `context`: instead of the current one.
    Kubeconfig { file: PathBuf, context: Option<String> },
    /// `upstream = "in-cluster:"`: the service account of the pod that the gateway runs in.
    InCluster,
}

impl Login {
    /// Reads it. Errors: every sentence that is wrong with it.
    pub fn read(&self) -> Result<kubeconfig::Cluster, Vec<String>> {
        match self {
            Login::Kubeconfig { file, context } => kubeconfig::read(file, context.as_deref()),
            Login::InCluster => kubeconfig::in_cluster(),
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Login::Kubeconfig { file, context: None } => write!(f, "{KUBECONFIG}{}", file.display()),
            Login::Kubeconfig { file, context: Some(context) } => {
                write!(f, "{KUBECONFIG}{} (context {context})", file.display())
            }
            Login::InCluster => f.write_str(IN_CLUSTER),
        }
    }
}

const KUBECONFIG: &str = "kubeconfig:";
const IN_CLUSTER: &str = "in-cluster:";

/// What a cluster holds that is masked where a mask names its class and no path.
const CLASSES: [&str; 2] = ["config.kubernetes", "config.env"];

impl Resolver<'_> {
    /// The operator's own places, and what is particular about a cluster.
    pub(super) fn cluster(
        &mut self,
        place: &str,
        raw: Vec<RawMask<'_>>,
        impersonate: Option<RawImpersonate<'_>>,
    ) -> (Vec<PathMask>, ClusterService) {
        let (of_places, of_classes): (Vec<_>, Vec<_>) =
            raw.into_iter().partition(|mask| mask.path.is_some() || mask.column.is_some());
        let mut also = BTreeSet::new();
        for mask in of_classes {
            let Some(class) = mask.class else { continue };
            match Class::new(class.value).filter(|class| CLASSES.contains(&class.as_str())) {
                Some(known) => {
                    also.insert(known);
                }
                None => self.problems.at(
                    &class.span,
                    format!(
                        "a mask of {place}: without a `path`, class is \"config.kubernetes\" (values of config maps) or \
                         \"config.env\" (of variables); secrets and tokens are masked anyway"
                    ),
                ),
            }
            if let Some(kind) = mask.kind {
                self.problems.at(&kind.span, format!("a mask of {place}: `as` goes with a `path`"));
            }
        }
        let impersonate = impersonate.and_then(|raw| self.impersonate(place, raw));
        (self.path_masks(place, of_places), ClusterService { also, impersonate, namespace: None })
    }

    /// `None`: its URL says where it is.
    pub(super) fn login(&mut self, place: &str, raw: &RawResource<'_>) -> Option<Login> {
        let url = raw.upstream.as_ref()?;
        let context = raw.context.as_ref();
        let login = match (url.value.strip_prefix(KUBECONFIG), url.value) {
            (Some(file), _) => {
                if file.is_empty() {
                    self.problems
                        .at(&url.span, format!("{place}: the upstream names no file behind {KUBECONFIG:?}"));
                }
                let context = context.map(|context| context.value.to_owned());
                Some(Login::Kubeconfig { file: self.path(file), context })
            }
            (None, IN_CLUSTER) => Some(Login::InCluster),
            (None, _) => None,
        };
        if let Some(at) = context.filter(|_| !matches!(login, Some(Login::Kubeconfig { .. }))) {
            self.problems.at(
                &at.span,
                format!("{place}: `context` is one of a kubeconfig; write upstream = \"{KUBECONFIG}FILE\""),
            );
        }
        if let Some(ca) = raw.ca.as_ref().filter(|_| login.is_some()) {
            self.problems.at(
                &ca.span,
                format!("{place}: `ca` means nothing here: {} says how the cluster is proved", url.value),
            );
        }
        login
    }

    fn impersonate(&mut self, place: &str, raw: RawImpersonate<'_>) -> Option<Impersonate> {
        let user = raw.user?;
        let mut good = true;
        for name in std::iter::once(&user).chain(&raw.groups) {
            let plain = !name.value.is_empty()
                && name.value.len() <= 253
                && name.value.bytes().all(|b| b.is_ascii_graphic());
            if !plain {
                good = false;
                let what = "a user or group of `impersonate` is a name without blanks, of at most 253 bytes";
                self.problems.at(&name.span, format!("{place}: {what}"));
            }
        }
        let groups = raw.groups.iter().map(|group| group.value.to_owned()).collect();
        good.then(|| Impersonate { user: user.value.to_owned(), groups })
    }
}
